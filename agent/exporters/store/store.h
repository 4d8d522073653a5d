// Store: the recent traces in memory, for the console. It keeps spans as encoded OTLP, grouped by
// trace, and forgets the trace that was touched longest ago when its bytes are used up: that is its
// purpose and no loss. A thread of its own does the work behind a bounded queue; a question never
// holds it up for longer than it takes to copy references.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "exporters/store/trace_table.h"
#include "model/lookup.h"
#include "model/otlp_batch.h"
#include "model/sink.h"
#include "model/worker_queue.h"

namespace weft::exporters::store {

struct Options {
  bool enabled = true;
  int64_t max_bytes = 64 << 20;
  int64_t queue_bytes = 8 << 20;
};

// The block exporters.store; points into `options`.
base::ConfigBlock Describe(Options& options);

// Everything outlives the store.
struct Deps {
  base::LedgerRow& ledger;  // "exporter store", in spans
  base::MetricRegistry& metrics;
};

// Threads: Push from one, Start and Stop from its owner, the queries from any.
// Order: Start? Push* Stop*; queries at any time.
class Store final : public model::Sink<model::OtlpBatch>, public model::TraceQuery {
 public:
  Store(Options options, Deps deps);
  ~Store() override;

  void Start() { queue_.Start(); }
  // Always kTaken; sheds "store_queue_full" when there is no room and "shutdown" after Stop.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override {
    return queue_.Push(std::move(batch));
  }
  // Takes in what is queued, until `deadline`; what remains is shed, reason "shutdown". The traces
  // stay and can be asked for.
  void Stop(std::chrono::steady_clock::time_point deadline) { queue_.Stop(deadline); }

  std::vector<std::string> Services() const override;
  std::vector<std::pair<std::string, int>> Operations(std::string_view service) const override;
  // Newest (by last span received) first. Service, operation and tags must match in one span; a tag
  // is an attribute of the span or its resource, or `error` = `true` for the status error. The
  // times are those of the whole trace.
  std::vector<TraceBytes> Find(const Filter& filter) const override;
  std::optional<TraceBytes> Get(const base::TraceId& id) const override;
  // Calls from a service to another one, in the traces that are here.
  std::vector<Dependency> Dependencies() const override;

 private:
  void Insert(model::OtlpBatch&& batch, uint64_t spans);
  // Up to `limit` traces that pass the cheap part of `filter` and were touched before `*cursor`,
  // newest first; moves the cursor. Empty at the end.
  std::vector<TraceSnapshot> Page(const Filter& filter, size_t limit, uint64_t* cursor) const;

  const Options options_;
  Deps deps_;
  base::Metric &bytes_, &traces_, &evicted_traces_;

  mutable std::mutex mutex_;  // guards table_; held per batch or per page
  TraceTable table_;
  // Last: its thread uses all of the above.
  model::WorkerQueue queue_;
};

}  // namespace weft::exporters::store
