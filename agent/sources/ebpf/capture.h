// Capture: the source that sees what every process of the machine sends and receives on its TCP
// sockets, without touching the processes. It loads the BPF programs of bpf/, drains their per-CPU
// rings on a timer of the data loop and pushes what came as SegmentBatches. It also knows which
// process owns which local address and port, for receivers that ask who sent them a batch.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "base/result.h"
#include "model/lookup.h"
#include "model/segment.h"
#include "model/sink.h"
#include "net/event_loop.h"
#include "sources/ebpf/go/options.h"
#include "sources/ebpf/tls/options.h"

namespace weft::sources::ebpf {

// The block `capture`.
struct Options {
  bool enabled = true;
  int64_t head_bytes = 4096;        // copied per direction and message; 64..16384
  int64_t ring_bytes = 8 << 20;     // per CPU; all rings together at most 64 MiB
  int64_t max_connections = 65536;  // with traffic of interest; what is not in use is forgotten.
                                    // Maps of the kernel side are sized by it
  int64_t cgroup_bytes_per_second = 64 << 20;  // of one cgroup, of what goes to the rings;
                                               // 0: any
  std::string data_hook = "auto";              // a rung of the hook ladder, or the best that works
  tls::Options tls;                            // a block of its own: tls::Describe
  go::Options go;                              // the same: go::Describe
};
// The fields point into `options`, which must outlive the block.
base::ConfigBlock Describe(Options& options);

// One line of `weft doctor`: a feature, the rung of its ladder that is in use, or why there is
// none.
struct FeatureReport {
  std::string name;  // "capture", "capture.data_hook.fentry", …
  bool on = false;
  std::string rung;    // "tp_btf sock_*_length"
  std::string reason;  // of being off; empty when on
};

// Tries what Start would do and leaves nothing behind. Cost: loads and verifies the programs.
std::vector<FeatureReport> Probe(const Options& options = Options{});

// Threads: the loop's. Owns: programs, maps, rings, the table of connections.
// Fails: Start without root, BTF or the tracepoints; nothing is left attached then.
// Order: Start? (Drain | SetMessageEnd | lookups)* Stop*.
class Capture final : public model::Source, public model::PeerLookup {
 public:
  // All references must outlive the Capture.
  struct Deps {
    net::EventLoop& loop;
    const base::Clock& clock;
    model::WorkloadLookup& workload;
    model::Sink<model::SegmentBatch>& sink;
    base::Ledger& ledger;
    base::MetricRegistry& metrics;
  };
  Capture(const Options& options, const Deps& deps);
  ~Capture() override;

  std::string_view Name() const override { return "ebpf"; }
  base::Status Start() override;
  // Detaches, drains what is left into the sink, frees everything.
  void Stop(std::chrono::steady_clock::time_point deadline) override;

  // Everything that the kernel has recorded until now reaches the sink before this returns. For
  // callers whose next step depends on it; the timer drains otherwise.
  void Drain();

  // The message that now travels in this direction ends before `position`: what follows it is
  // copied again although the direction's copy budget is spent. Cost: one map update (a syscall),
  // so call it only for messages whose end lies beyond what was captured.
  void SetMessageEnd(model::ConnectionId connection, model::Direction direction, uint64_t position);

  // An address that is not known yet costs a Drain, so it reaches the sink.
  model::ProcessRef TcpPeer(const model::Endpoint& peer) override;
  model::ProcessRef UdpPeer(const model::Endpoint& peer) override;

  bool running() const;
  // One row for the feature itself, then every rung of the hook ladder.
  std::vector<FeatureReport> features() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weft::sources::ebpf
