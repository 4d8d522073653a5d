#include "spool/spool_sink.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "base/log.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"

namespace weft::spool {
namespace {

using model::PushResult;
using model::ReceiptFailure;
using model::ReceiptLevel;
using std::chrono::milliseconds;

constexpr uint64_t kReadBytes = 2 << 20;
constexpr uint64_t kSmallestWindow = 1 << 20;
constexpr uint64_t kLargestWindow = 16 << 20;
constexpr milliseconds kStartDelay{500};
constexpr milliseconds kBusyDelay{100};
constexpr milliseconds kDiskRetryDelay{1000};

base::Gathered PayloadOf(const model::OtlpBatch& batch) {
  if (batch.signal == model::Signal::kTraces) return protocols::otlp::Gather(batch);
  base::Gathered out;
  out.Add(batch.bytes->view());
  out.owners.push_back(batch.bytes);
  return out;
}

RecordMeta MetaOf(model::Signal signal, uint64_t items, const model::ReceiptRef& receipt) {
  const std::string_view source = receipt ? receipt->wish().source : "";
  return {signal, static_cast<uint32_t>(std::min<uint64_t>(items, UINT32_MAX)),
          source.empty() ? "kernel" : source};
}

// What the exporter gets with a batch that is on disk, or on its way there.
constexpr std::string_view kOwnSource = "spool";
model::ReceiptRef OwnReceipt(ReceiptLevel wish) {
  return std::make_shared<model::Receipt>(nullptr, 0, model::ReceiptWish{wish, kOwnSource});
}

}  // namespace

struct SpoolSink::Entry {
  model::ReceiptHold hold;
  base::Gathered payload;  // until it is durable; shares the batch's bytes
  RecordMeta meta;
  bool claimed = false;  // the exporter has it too
  std::optional<RecordKey> key;
  bool answered = false;  // by the exporter
  bool settled = false;   // delivered or refused for good
  // The same for the worker of the spool, which then need not write it.
  std::shared_ptr<std::atomic<bool>> not_needed = std::make_shared<std::atomic<bool>>(false);
};

SpoolSink::SpoolSink(SinkDeps deps)
    : deps_(std::move(deps)),
      overflow_items_(deps_.metrics.Get(base::MetricKind::kCounter,
                                        "weft_spool_overflow_items_total",
                                        "Items that went to disk because the exporter was busy.")),
      undecodable_records_(deps_.metrics.Get(base::MetricKind::kCounter,
                                             "weft_spool_undecodable_records_total",
                                             "Records whose bytes are no longer a request.")),
      window_(kSmallestWindow) {}

SpoolSink::~SpoolSink() {
  for (const EntryRef& entry : unwritten_) last_.insert(entry);
  for (const EntryRef& entry : last_) {
    deps_.ledger.In(entry->meta.items);
    deps_.ledger.Lose(base::Loss::kShed, "disk_refused", entry->meta.items);
  }
}

// Many nodes come back at the same time as their collector does.
void SpoolSink::Start() { Schedule(Jittered(kStartDelay)); }

PushResult SpoolSink::Push(model::OtlpBatch&& batch) {
  if (stopped_) return PushResult::kBusy;
  const uint64_t items = batch.live_count();
  const ReceiptLevel wish = batch.receipt ? batch.receipt->wish().level : ReceiptLevel::kTaken;
  if (items > 0 && wish == ReceiptLevel::kDurable) return PushDurable(std::move(batch), items);
  if (deps_.exporter.Push(std::move(batch)) == PushResult::kTaken) return PushResult::kTaken;
  if (items == 0 || wish == ReceiptLevel::kDelivered) return PushResult::kBusy;
  return Overflow(std::move(batch), items);
}

PushResult SpoolSink::Overflow(model::OtlpBatch&& batch, uint64_t items) {
  if (!unwritten_.empty()) return PushResult::kBusy;
  auto entry = std::make_shared<Entry>();
  entry->payload = PayloadOf(batch);
  entry->meta = MetaOf(batch.signal, items, batch.receipt);
  if (!deps_.spool.Fits(entry->payload.size) || !AppendEntry(entry, false))
    return PushResult::kBusy;
  overflow_items_.Add(items);
  model::OtlpBatch gone = std::move(batch);
  entry->hold = model::ReceiptHold(std::move(gone.receipt));
  return PushResult::kTaken;
}

PushResult SpoolSink::PushDurable(model::OtlpBatch&& batch, uint64_t items) {
  auto entry = std::make_shared<Entry>();
  entry->payload = PayloadOf(batch);
  entry->meta = MetaOf(batch.signal, items, batch.receipt);
  // Delivered is more than durable.
  if (!deps_.spool.Fits(entry->payload.size)) return deps_.exporter.Push(std::move(batch));
  if (!deps_.spool.HasRoom(entry->payload.size))
    return ExporterIsWell() ? deps_.exporter.Push(std::move(batch)) : PushResult::kBusy;
  entry->hold = model::ReceiptHold(std::move(batch.receipt));
  // The sooner it is delivered, the less is written.
  const model::ReceiptRef inner = OwnReceipt(ReceiptLevel::kDelivered);
  batch.receipt = inner;
  entry->claimed = deps_.exporter.Push(std::move(batch)) == PushResult::kTaken;
  const model::ReceiptRef outer = entry->hold.receipt();
  if (!AppendEntry(entry, entry->claimed)) {
    // The disk began to refuse just now. The exporter's word will do, if it has the batch.
    if (!entry->claimed) {
      entry->hold.Cancel();
      batch.receipt = outer;
      return PushResult::kBusy;
    }
    entry->payload = {};
  }
  if (entry->claimed) {
    inner->When(ReceiptLevel::kDelivered,
                [this, alive = std::weak_ptr<int>(alive_), entry, receipt = inner.get()](bool yes) {
                  if (!alive.expired()) OnSettled(entry, yes, receipt->failure());
                });
  } else {
    overflow_items_.Add(items);
    model::OtlpBatch gone = std::move(batch);
  }
  return PushResult::kTaken;
}

bool SpoolSink::AppendEntry(const EntryRef& entry, bool claimed) {
  base::Gathered payload = entry->payload;
  return deps_.spool.Append(
      std::move(payload), entry->meta, claimed,
      [this, alive = std::weak_ptr<int>(alive_), entry](base::Result<RecordKey> key) {
        if (!alive.expired()) OnAppended(entry, std::move(key));
      },
      entry->not_needed);
}

bool SpoolSink::Keep(model::Signal signal, const base::Gathered& payload, uint64_t items,
                     const model::ReceiptRef& receipt) {
  const model::ReceiptWish wish = receipt ? receipt->wish() : model::ReceiptWish{};
  if (wish.source == kOwnSource) return true;
  if (wish.level != ReceiptLevel::kTaken) return false;
  auto entry = std::make_shared<Entry>();
  entry->payload = payload;
  entry->meta = MetaOf(signal, items, receipt);
  last_.insert(entry);
  base::Gathered bytes = payload;
  deps_.spool.AppendLast(std::move(bytes), entry->meta,
                         [this, alive = std::weak_ptr<int>(alive_), entry](auto key) {
                           if (alive.expired()) return;
                           // What the disk refuses now stays in the list, and is shed with it.
                           if (key.ok()) last_.erase(entry);
                           ++last_answers_;
                           FinishIfDone(false);
                         });
  ++last_appends_;
  return true;
}

void SpoolSink::Finish(std::chrono::nanoseconds budget, std::function<void()> done) {
  finished_ = std::move(done);
  deps_.run_after(budget, [this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) FinishIfDone(true);
  });
  FinishIfDone(false);
}

void SpoolSink::FinishIfDone(bool late) {
  if (!finished_ || (last_answers_ < last_appends_ && !late)) return;
  std::exchange(finished_, nullptr)();
}

void SpoolSink::OnAppended(const EntryRef& entry, base::Result<RecordKey> key) {
  if (key.ok()) {
    entry->payload = {};
    entry->key = *key;
    if (entry->answered) {
      entry->settled ? deps_.spool.Settle(*key) : deps_.spool.Release(*key);
    }
    entry->hold.Durable();
    // Nobody has the bytes in memory: their credit goes back.
    if (!entry->claimed || entry->answered) entry->hold.Drop();
    if (!entry->claimed) Schedule(Jittered(kBusyDelay));
    return;
  }
  const model::ReceiptRef& receipt = entry->hold.receipt();
  const bool promised = receipt == nullptr || receipt->wish().level == ReceiptLevel::kTaken;
  if (!entry->claimed && promised) {
    // The client has been told already, so it stays in memory until the disk takes it.
    unwritten_.push_back(entry);
    if (unwritten_.size() == 1)
      deps_.run_after(kDiskRetryDelay, [this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired()) AppendAgain();
      });
    return;
  }
  entry->payload = {};
  // The exporter's word will do, if it is to come soon.
  if (!entry->claimed || entry->answered || !ExporterIsWell())
    entry->hold.Fail(ReceiptFailure::kLost);
}

void SpoolSink::AppendAgain() {
  std::deque<EntryRef> entries = std::exchange(unwritten_, {});
  while (!entries.empty() && AppendEntry(entries.front(), false)) entries.pop_front();
  if (entries.empty()) return;
  // Those that were handed over may come back; they queue up behind these.
  unwritten_ = std::move(entries);
  deps_.run_after(kDiskRetryDelay, [this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) AppendAgain();
  });
}

void SpoolSink::OnSettled(const EntryRef& entry, bool delivered, ReceiptFailure failure) {
  entry->answered = true;
  entry->settled = delivered || failure == ReceiptFailure::kRejected;
  if (delivered) {
    entry->hold.Delivered();
  } else if (entry->settled) {
    entry->hold.Fail(failure);
  } else if (entry->key || entry->payload.size == 0) {
    entry->hold.Drop();  // durable, or it had nothing but the exporter
  }
  if (!entry->key) {
    // If it is written nevertheless, OnAppended will see.
    if (entry->settled) entry->payload = {}, entry->not_needed->store(true);
    return;
  }
  entry->settled ? deps_.spool.Settle(*entry->key) : deps_.spool.Release(*entry->key);
}

void SpoolSink::Schedule(std::chrono::nanoseconds delay) {
  if (scheduled_ || stopped_) return;
  scheduled_ = true;
  deps_.run_after(delay, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    scheduled_ = false;
    Pump();
  });
}

void SpoolSink::Pump() {
  if (stopped_ || reading_ || !PushStalled()) return;
  if (draining_bytes_ >= window_ || !deps_.spool.has_unread()) return;
  reading_ = true;
  deps_.spool.Read(std::min(kReadBytes, window_ - draining_bytes_),
                   [this, alive = std::weak_ptr<int>(alive_)](std::vector<Record> records) {
                     if (!alive.expired()) OnRecords(std::move(records));
                   });
}

void SpoolSink::OnRecords(std::vector<Record> records) {
  reading_ = false;
  for (Record& record : records) {
    draining_bytes_ += record.payload->size();
    Drained drained;
    if (MakeBatch(std::move(record), &drained)) stalled_.push_back(std::move(drained));
  }
  if (!records.empty()) return Pump();
  // The disk may not be readable now.
  if (deps_.spool.has_unread()) Schedule(Jittered(kDiskRetryDelay));
}

bool SpoolSink::MakeBatch(Record&& record, Drained* out) {
  out->key = record.key;
  model::OtlpBatch& batch = out->batch;
  batch.signal = record.signal;
  batch.items = record.key.items;
  if (batch.signal != model::Signal::kTraces) {
    batch.bytes = std::move(record.payload);
    return true;
  }
  const auto report = protocols::otlp::Index(std::move(record.payload), &batch);
  if (report.status == protocols::otlp::IndexStatus::kDone && batch.live_count() > 0) return true;
  undecodable_records_.Add(1);
  SPDLOG_ERROR("spool: record {} of segment {} is no request: {}", out->key.ordinal,
               out->key.segment, report.reason);
  draining_bytes_ -= out->key.payload_bytes;
  deps_.spool.Reject(out->key);
  return false;
}

// False while the exporter is busy.
bool SpoolSink::PushStalled() {
  while (!stalled_.empty()) {
    Drained& next = stalled_.front();
    const model::ReceiptRef receipt = OwnReceipt(ReceiptLevel::kTaken);
    next.batch.receipt = receipt;
    if (deps_.exporter.Push(std::move(next.batch)) == PushResult::kBusy) {
      window_ = std::max(kSmallestWindow, window_ / 2);
      Schedule(Jittered(kBusyDelay));
      return false;
    }
    const RecordKey key = next.key;
    stalled_.pop_front();
    receipt->When(ReceiptLevel::kDelivered, [this, alive = std::weak_ptr<int>(alive_), key,
                                             inner = receipt.get()](bool delivered) {
      if (!alive.expired()) OnDrained(key, delivered, inner->failure());
    });
  }
  return true;
}

void SpoolSink::OnDrained(const RecordKey& key, bool delivered, ReceiptFailure failure) {
  draining_bytes_ -= key.payload_bytes;
  if (delivered || failure == ReceiptFailure::kRejected) {
    deps_.spool.Settle(key);
    window_ = std::min(kLargestWindow, window_ + key.payload_bytes);
    Schedule(std::chrono::nanoseconds(0));
  } else {
    deps_.spool.Release(key);
    Schedule(Jittered(kDiskRetryDelay));
  }
}

std::chrono::nanoseconds SpoolSink::Jittered(std::chrono::nanoseconds around) {
  std::uniform_int_distribution<int64_t> spread(around.count() / 2, around.count() * 3 / 2);
  return std::chrono::nanoseconds(spread(random_));
}

}  // namespace weft::spool
