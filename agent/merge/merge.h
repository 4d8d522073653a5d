// Merge: the reason why weft exists. It gets what the kernel saw of every HTTP exchange and what
// SDKs say about the same operations, and emits each operation once: the SDK's span with the wire's
// facts added, or a span of its own where no SDK speaks. SDK spans never wait; kernel views are
// held until the SDK had its chance. The rules, and why they are so:
// docs/adr/0005-merge-exact-rules.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/sink.h"
#include "model/span.h"

namespace weft::merge {

// Config block "merge".
struct Options {
  // How long a finished kernel view waits for the SDK's span: a little more than the 5 s after
  // which SDKs export. Also how long a new process may stay silent after the end of its first
  // exchange before it counts as uncovered.
  int64_t hold_seconds = 6;
  int64_t hold_max_bytes = 32 << 20;  // of held views; over it the oldest is emitted early
  int64_t remembered_keys = 16'384;   // SDK spans whose kernel view may still come; 2 s each
  std::string unsampled = "drop";     // drop | keep: exchanges whose context says "not sampled"
};
base::ConfigBlock Describe(Options& options);

// The references outlive the Merge.
struct Deps {
  const base::Clock& clock;
  base::Ledger& ledger;
  base::MetricRegistry& metrics;
  model::Sink<model::OtlpBatch>& next;
  // Resource attributes of spans that weft makes itself, beside those of the process: host.name, ….
  std::vector<std::pair<std::string, std::string>> resource;
  std::string version;  // of weft
};

// Threads: one. Order: ((spans().Push | batches().Push) Tick*)* Flush.
// Cost: a batch of a process of which no exchange was ever seen costs one hash lookup; otherwise
// one or two hash probes a span. About half a microsecond an exchange, encoding included.
class Merge {
 public:
  Merge(Options options, Deps deps);
  ~Merge();
  Merge(const Merge&) = delete;
  Merge& operator=(const Merge&) = delete;

  // From normalize. Always kTaken.
  model::Sink<model::SpanBatch>& spans();
  // From receivers. kBusy when the stage behind is: the batch is then as it was.
  model::Sink<model::OtlpBatch>& batches();
  // Emits what has been held long enough and retries what the next stage had no room for. Call it
  // every 100 ms or so.
  void Tick();
  // Emits everything that is held, finished or not. For shutdown, after the last Push. False if the
  // next stage had no room for all of it: call again until the deadline.
  bool Flush();
  // The deadline has passed: what Flush could not pass on is shed, reason "shutdown".
  void Abandon();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace weft::merge
