#include "spool/spool.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weft::spool {
namespace {

constexpr uint64_t kQueueBytes = 32 << 20;  // one payload more than this is taken by an empty queue
constexpr uint64_t kGroupBytes = 8 << 20;   // a group is written and synced early beyond this
constexpr std::chrono::seconds kRefusingTime{1};
constexpr std::chrono::seconds kCursorSyncInterval{1};

int64_t SteadyNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

base::ConfigBlock Describe(Options& o) {
  return {
      "spool",
      {{"directory", &o.directory,
        "folder for batches that cannot be delivered yet; one weft per folder; empty = off"},
       {"acknowledge",
        &o.acknowledge,
        "when an OTLP client is answered: memory (at once), durable (on disk) or delivered (the "
        "collector has it)",
        0,
        INT64_MAX,
        {"memory", "durable", "delivered"}},
       {"max_bytes", &o.max_bytes, "bytes on disk; above it the oldest data goes first", 1 << 20,
        int64_t{1} << 50},
       {"segment_bytes", &o.segment_bytes, "bytes of one file, at most a quarter of max_bytes",
        64 << 10, 1 << 30},
       {"commit_milliseconds", &o.commit_milliseconds,
        "milliseconds; at most one sync to disk in this time", 0, 1000}}};
}

base::Result<std::unique_ptr<Spool>> Spool::Open(const Options& options, Deps deps) {
  base::Result<std::unique_ptr<Log>> log =
      Log::Open({options.directory, static_cast<uint64_t>(options.max_bytes),
                 static_cast<uint64_t>(options.segment_bytes)},
                {deps.files, deps.clock, deps.ledger, deps.metrics});
  if (!log.ok()) return log.status();
  for (const std::string& problem : (*log)->problems()) SPDLOG_ERROR("spool: {}", problem);
  return std::unique_ptr<Spool>(new Spool(options, std::move(deps), std::move(*log)));
}

Spool::Spool(const Options& options, Deps deps, std::unique_ptr<Log> log)
    : commit_interval_(options.commit_milliseconds),
      max_bytes_(static_cast<uint64_t>(options.max_bytes)),
      deps_(std::move(deps)),
      log_(std::move(log)),
      refusing_gauge_(deps_.metrics.Get(base::MetricKind::kGauge, "weft_spool_refusing",
                                        "1 while the disk takes nothing.")),
      queued_bytes_gauge_(deps_.metrics.Get(base::MetricKind::kGauge, "weft_spool_queued_bytes",
                                            "Bytes appended and not yet durable.")),
      drained_records_(deps_.metrics.Get(base::MetricKind::kCounter,
                                         "weft_spool_drained_records_total",
                                         "Records read back from disk.")),
      spared_records_(
          deps_.metrics.Get(base::MetricKind::kCounter, "weft_spool_spared_records_total",
                            "Records that were delivered before they had to be written to disk.")) {
  has_unread_ = log_->HasUnread();
  worker_ = std::thread([this] { Run(); });
}

Spool::~Spool() { Close(); }

void Spool::Close() {
  if (!worker_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    work_.closing = true;
  }
  wake_.notify_one();
  worker_.join();
}

bool Spool::HasRoom(uint64_t bytes) const {
  if (refusing_ && SteadyNs() < refusing_until_ns_) return false;
  const uint64_t queued = queued_bytes_;
  return queued == 0 || queued + bytes <= kQueueBytes;
}

bool Spool::Append(base::Gathered&& payload, const RecordMeta& meta, bool claimed, AppendDone done,
                   NotNeeded not_needed) {
  if (!HasRoom(payload.size)) return false;
  Queue({std::move(payload), meta, claimed, std::move(done), std::move(not_needed)});
  return true;
}

void Spool::AppendLast(base::Gathered&& payload, const RecordMeta& meta, AppendDone done) {
  Queue({std::move(payload), meta, /*claimed=*/false, std::move(done), nullptr});
}

void Spool::Queue(AppendWork&& append) {
  queued_bytes_ += append.payload.size;
  bool wakes;
  {
    std::lock_guard lock(mutex_);
    work_.append_bytes += append.payload.size;
    work_.appends.push_back(std::move(append));
    wakes = anything_wakes_ || work_.urgent();
  }
  if (wakes) wake_.notify_one();
}

bool Spool::Fits(uint64_t bytes) const {
  return bytes <= kMaxPayloadBytes && RecordBytes(bytes) + 2 * kFirstRecord <= max_bytes_;
}

void Spool::Flush(std::function<void()> done) {
  {
    std::lock_guard lock(mutex_);
    work_.flushes.push_back(std::move(done));
  }
  wake_.notify_one();
}

void Spool::Read(uint64_t max_bytes, ReadDone done) {
  {
    std::lock_guard lock(mutex_);
    work_.reads.push_back({max_bytes, std::move(done)});
  }
  wake_.notify_one();
}

void Spool::Settle(const RecordKey& key) { Queue({key, &Log::Settle}); }
void Spool::Reject(const RecordKey& key) { Queue({key, &Log::Reject}); }
void Spool::Release(const RecordKey& key) { Queue({key, &Log::Release}); }

// Does not wake the worker at once: a round of settles costs one write of the cursor.
void Spool::Queue(const SettleWork& settle) {
  std::lock_guard lock(mutex_);
  if (work_.settles.empty() && anything_wakes_) wake_.notify_one();
  work_.settles.push_back(settle);
}

bool Spool::Work::urgent() const {
  return closing || !reads.empty() || !flushes.empty() || append_bytes >= kGroupBytes;
}

Spool::Work Spool::Take() {
  std::unique_lock lock(mutex_);
  const auto due = [this] { return !work_.empty(); };
  const Steady::time_point now = Steady::now();
  if (!group_.empty()) {
    // Below.
  } else if (settled_) {
    wake_.wait_until(lock, cursor_saved_ + commit_interval_, due);
  } else if (cursor_synced_ < cursor_saved_) {
    wake_.wait_until(lock, std::max(now, cursor_synced_ + kCursorSyncInterval), due);
  } else {
    wake_.wait(lock, due);
  }
  // Until the next sync is due, what comes is left to gather: one round of writes instead of one a
  // batch, and none for what the collector has by then.
  if (!group_.empty() || !work_.appends.empty()) {
    anything_wakes_ = false;
    wake_.wait_until(lock, last_commit_ + commit_interval_, [this] { return work_.urgent(); });
    anything_wakes_ = true;
  }
  return std::exchange(work_, Work{});
}

void Spool::Run() {
  for (bool closing = false; !closing;) {
    Work work = Take();
    closing = work.closing;
    for (const SettleWork& settle : work.settles) {
      ((*log_).*settle.how)(settle.key);
      settled_ = true;
    }
    Spare(&work.appends);
    for (AppendWork& append : work.appends) Write(std::move(append));
    const bool now = closing || !work.flushes.empty();
    if (!group_.empty() && (now || Steady::now() >= last_commit_ + commit_interval_)) CommitGroup();
    for (std::function<void()>& done : work.flushes) deps_.post(std::move(done));
    for (ReadWork& read : work.reads) {
      std::vector<Record> records = log_->Read(read.max_bytes);
      drained_records_.Add(records.size());
      settled_ = true;  // damage that was passed is settled too
      deps_.post([done = std::move(read.done),
                  records = std::make_shared<std::vector<Record>>(std::move(records))] {
        done(std::move(*records));
      });
    }
    SaveCursor(closing);
    has_unread_ = log_->HasUnread();
  }
}

// Takes out what nobody needs on disk any more. It ends on the data thread, as everything does.
void Spool::Spare(std::vector<AppendWork>* appends) {
  const auto needed = [](const AppendWork& a) { return !a.not_needed || !*a.not_needed; };
  const auto first = std::stable_partition(appends->begin(), appends->end(), needed);
  if (first == appends->end()) return;
  auto spared = std::make_shared<std::vector<AppendWork>>(std::make_move_iterator(first),
                                                          std::make_move_iterator(appends->end()));
  appends->erase(first, appends->end());
  spared_records_.Add(spared->size());
  for (const AppendWork& append : *spared) queued_bytes_ -= append.payload.size;
  deps_.post([spared] { spared->clear(); });
}

void Spool::Write(AppendWork&& append) {
  append.key = log_->Append(append.payload, append.meta, append.claimed);
  if (!append.key.ok()) {
    // What is before it is good. This one gets one more chance, in a new segment.
    CommitGroup();
    append.key = log_->Append(append.payload, append.meta, append.claimed);
    if (!append.key.ok()) {
      if (error_log_.Allow(deps_.clock.MonotonicNs()))
        SPDLOG_ERROR("spool: {}", std::string(append.key.status().message()));
      Refuse();
      std::vector<AppendWork> failed;
      failed.push_back(std::move(append));
      return Answer(std::move(failed));
    }
  }
  group_bytes_ += append.payload.size;
  group_.push_back(std::move(append));
  if (group_bytes_ >= kGroupBytes) CommitGroup();
}

void Spool::CommitGroup() {
  if (group_.empty()) return;
  if (base::Status status = log_->Commit(); !status.ok()) {
    if (error_log_.Allow(deps_.clock.MonotonicNs()))
      SPDLOG_ERROR("spool: {}", std::string(status.message()));
    WriteGroupAgain();
  } else {
    refusing_ = false;
    refusing_gauge_.Set(0);
  }
  last_commit_ = Steady::now();
  group_bytes_ = 0;
  has_unread_ = log_->HasUnread();
  Answer(std::exchange(group_, {}));
}

void Spool::WriteGroupAgain() {
  for (AppendWork& append : group_)
    append.key = log_->Append(append.payload, append.meta, append.claimed);
  const base::Status status = log_->Commit();
  if (status.ok()) return;
  for (AppendWork& append : group_)
    if (append.key.ok()) append.key = status;
  Refuse();
}

void Spool::Refuse() {
  refusing_until_ns_ = SteadyNs() + std::chrono::nanoseconds(kRefusingTime).count();
  refusing_ = true;
  refusing_gauge_.Set(1);
}

void Spool::Answer(std::vector<AppendWork> group) {
  uint64_t bytes = 0;
  for (AppendWork& append : group) {
    bytes += append.payload.size;
    append.payload = {};
  }
  queued_bytes_gauge_.Set(static_cast<int64_t>(queued_bytes_ -= bytes));
  deps_.post([group = std::make_shared<std::vector<AppendWork>>(std::move(group))] {
    for (AppendWork& append : *group)
      if (append.done) append.done(std::move(append.key));
  });
}

void Spool::SaveCursor(bool closing) {
  const Steady::time_point now = Steady::now();
  const bool sync = closing || now >= cursor_synced_ + kCursorSyncInterval;
  if (!closing && !sync && (!settled_ || now < cursor_saved_ + commit_interval_)) return;
  if (!settled_ && cursor_synced_ >= cursor_saved_ && !closing) return;
  settled_ = false;
  // A failure costs duplicates after a crash, no data; it is counted.
  (void)log_->SaveCursor(sync);
  cursor_saved_ = now;
  if (sync) cursor_synced_ = now;
}

}  // namespace weft::spool
