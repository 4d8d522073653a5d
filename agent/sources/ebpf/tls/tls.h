// Tls: plaintext of TLS connections. It loads the programs of bpf/probes/tls.bpf.c beside those of
// the capture, whose maps they share, and lets Discovery place them. The records arrive in the same
// rings as all others, marked as plaintext; nothing here reads them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "sources/ebpf/capture.h"
#include "sources/ebpf/object.h"
#include "sources/ebpf/tls/discovery.h"

namespace weft::sources::ebpf::tls {

// Threads: the loop's. Owns: the programs and their attachments; must die before the object whose
// maps it shares.
class Tls {
 public:
  // `object` is tls.bpf.c, opened and not loaded. Every process that runs now is looked at before
  // this returns; that takes a while, so `meanwhile` is called between its parts, for a ring that
  // must not fill. Fails: the kernel refuses the programs; nothing is left then.
  static base::Result<std::unique_ptr<Tls>> Start(std::unique_ptr<Object> object,
                                                  const Options& options, const base::Clock& clock,
                                                  base::MetricRegistry& metrics,
                                                  const std::function<void()>& meanwhile);
  ~Tls();

  // Looks for new libraries. Call it with every drain.
  void Tick();
  std::vector<FamilyReport> Report() const;

 private:
  struct State;
  explicit Tls(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// `capture.tls` and a row for each family; `running` may be null, and `outcome` says why.
std::vector<FeatureReport> Features(const base::Status& outcome, const Tls* running);

}  // namespace weft::sources::ebpf::tls
