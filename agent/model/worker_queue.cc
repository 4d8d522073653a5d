#include "model/worker_queue.h"

#include <utility>

namespace weft::model {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint64_t kQueueItems = 1 << 20;
constexpr uint64_t kItemOverhead = 256;
constexpr milliseconds kWait{50};

uint64_t HeldBytes(const OtlpBatch& batch) {
  uint64_t bytes = batch.size_bytes() + batch.extra.size() + kItemOverhead +
                   batch.spans.capacity() * sizeof(SpanRef);
  for (const std::string& append : batch.appends) bytes += append.size();
  return bytes;
}

}  // namespace

uint64_t LiveSpans(const OtlpBatch& batch) {
  uint64_t live = 0;
  for (const SpanRef& span : batch.spans) live += span.dropped ? 0 : 1;
  return live;
}

WorkerQueue::WorkerQueue(base::LedgerRow& ledger, base::Metric& queued_bytes, uint64_t max_bytes,
                         std::string full_reason, Work work)
    : ledger_(ledger),
      queued_bytes_(queued_bytes),
      full_reason_(std::move(full_reason)),
      work_(std::move(work)),
      queue_(kQueueItems, max_bytes) {}

WorkerQueue::~WorkerQueue() { Stop(steady_clock::now()); }

void WorkerQueue::Start() {
  if (!worker_.joinable() && !stopping_) worker_ = std::thread([this] { Run(); });
}

PushResult WorkerQueue::Push(OtlpBatch&& batch) {
  Entry entry;
  const uint64_t spans = entry.spans = LiveSpans(batch);
  entry.batch = std::move(batch);
  if (spans == 0) return PushResult::kTaken;
  ledger_.In(spans);
  ledger_.Held(static_cast<int64_t>(spans));
  if (stopping_) {
    Shed("shutdown", spans);
  } else if (uint64_t bytes = HeldBytes(entry.batch); !queue_.TryPush(std::move(entry), bytes)) {
    Shed(full_reason_, spans);
  }
  return PushResult::kTaken;
}

void WorkerQueue::Stop(steady_clock::time_point deadline) {
  deadline_ = deadline.time_since_epoch().count();
  stopping_ = true;
  if (worker_.joinable()) worker_.join();
  Entry entry;
  while (queue_.Pop(&entry, milliseconds(0))) Shed("shutdown", entry.spans);
}

bool WorkerQueue::Expired() const {
  return stopping_ && steady_clock::now().time_since_epoch().count() >= deadline_;
}

void WorkerQueue::Run() {
  while (!Expired()) {
    Entry entry;
    if (queue_.Pop(&entry, stopping_ ? milliseconds(0) : kWait)) {
      work_(std::move(entry.batch), entry.spans);
    } else if (stopping_) {
      break;
    }
    queued_bytes_.Set(static_cast<int64_t>(queue_.bytes()));
  }
}

void WorkerQueue::Shed(std::string_view reason, uint64_t spans) {
  ledger_.Lose(base::Loss::kShed, reason, spans);
  ledger_.Held(-static_cast<int64_t>(spans));
}

}  // namespace weft::model
