// WorkerQueue: the stage in front of an exporter that works on a thread of its own. It takes
// batches on the data thread, never says busy, sheds by its own cap, keeps the ledger row of its
// exporter balanced until the batch is handed to the worker, and ends within a deadline.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "base/ledger.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::model {

// Spans that are not dropped.
uint64_t LiveSpans(const OtlpBatch& batch);

// Threads: Push from one, Start and Stop from its owner. Order: Start? Push* Stop*. Owns: the
// worker thread and what is queued. The exporter stops it before it lets go of anything that `work`
// uses.
class WorkerQueue {
 public:
  // On the worker thread, with the number of live spans, which is held in the ledger: `work` says
  // where they have gone.
  using Work = std::function<void(OtlpBatch&&, uint64_t spans)>;

  // `full_reason`: under which name spans are shed for want of room. All outlive it.
  WorkerQueue(base::LedgerRow& ledger, base::Metric& queued_bytes, uint64_t max_bytes,
              std::string full_reason, Work work);
  // As Stop with no time left.
  ~WorkerQueue();
  WorkerQueue(const WorkerQueue&) = delete;
  WorkerQueue& operator=(const WorkerQueue&) = delete;

  void Start();
  // Always kTaken; batches without live spans vanish, those that come after Stop are shed.
  PushResult Push(OtlpBatch&& batch);
  // Works off what is queued, until `deadline`; what remains is shed, reason "shutdown".
  void Stop(std::chrono::steady_clock::time_point deadline);

  // On the worker thread: the deadline of Stop has passed, leave off.
  bool Expired() const;
  // Books spans that the worker could not bring out.
  void Shed(std::string_view reason, uint64_t spans);

 private:
  struct Entry {
    OtlpBatch batch;
    uint64_t spans = 0;
  };
  void Run();

  base::LedgerRow& ledger_;
  base::Metric& queued_bytes_;
  const std::string full_reason_;
  const Work work_;
  base::BoundedQueue<Entry> queue_;
  std::thread worker_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> deadline_{0};  // ns of steady_clock; read once `stopping_` is set
};

}  // namespace weft::model
