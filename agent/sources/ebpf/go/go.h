// Go: what Go programs need beyond the sockets: plaintext of crypto/tls, and for which request a
// goroutine works. It loads the programs of bpf/probes/go.bpf.c beside those of the capture, whose
// maps they share, and lets Discovery place them. Records arrive in the same rings as all others.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "sources/ebpf/capture.h"
#include "sources/ebpf/go/discovery.h"
#include "sources/ebpf/object.h"

namespace weft::sources::ebpf::go {

// Threads: the loop's. Owns: the programs and their attachments; must die before the object whose
// maps it shares.
class Go {
 public:
  // `object` is go.bpf.c, opened and not loaded. Every process that runs now is looked at before
  // this returns, with calls of `meanwhile` in between, for a ring that must not fill. Fails: the
  // kernel refuses the programs; nothing is left then.
  static base::Result<std::unique_ptr<Go>> Start(std::unique_ptr<Object> object,
                                                 const Options& options, const base::Clock& clock,
                                                 base::MetricRegistry& metrics,
                                                 const std::function<void()>& meanwhile);
  ~Go();

  // Looks for new programs. Call it with every drain.
  void Tick();
  Report report() const;

 private:
  struct State;
  explicit Go(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// `capture.go` and its parts; `running` may be null, and `outcome` says why.
std::vector<FeatureReport> Features(const base::Status& outcome, const Go* running);

}  // namespace weft::sources::ebpf::go
