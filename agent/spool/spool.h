// Spool: the log with its thread. The data thread hands over records and gets its answers posted
// back; the worker writes them, shares one sync among many, reads records back and keeps the
// cursor. No call here waits for the disk, except Open and Close.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "spool/log.h"

namespace weft::spool {

struct Options {
  std::string directory = "";  // empty = off
  std::string acknowledge = "durable";
  int64_t max_bytes = int64_t{4} << 30;
  int64_t segment_bytes = 64 << 20;
  int64_t commit_milliseconds = 20;
};

// The block spool; points into `options`.
base::ConfigBlock Describe(Options& options);

// Everything outlives the spool.
struct Deps {
  const base::Clock& clock;
  base::LedgerRow& ledger;  // "spool", in items
  base::MetricRegistry& metrics;
  // Runs a task on the data thread; called from the worker.
  std::function<void(std::function<void()>)> post;
  FileLayer& files = PosixFiles();
};

// Threads: the data thread; callbacks come there, through Deps::post.
// Owns: the folder and the worker.
class Spool {
 public:
  using AppendDone = std::function<void(base::Result<RecordKey>)>;
  using ReadDone = std::function<void(std::vector<Record>)>;
  // Set once nobody needs the record on disk any more. If it has not been written by then, it never
  // is, and its AppendDone is not called.
  using NotNeeded = std::shared_ptr<const std::atomic<bool>>;

  // Fails: the folder cannot be used, or another process uses it.
  static base::Result<std::unique_ptr<Spool>> Open(const Options& options, Deps deps);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // `done` gets the record's key once it is durable, or why it could not be kept. `claimed`: see
  // Log. False without room in the queue or while the disk refuses: `payload` is then untouched.
  // `not_needed`: see there.
  [[nodiscard]] bool Append(base::Gathered&& payload, const RecordMeta& meta, bool claimed,
                            AppendDone done, NotNeeded not_needed = nullptr);
  // At the end, for what is in memory anyway: whether there is room or not.
  void AppendLast(base::Gathered&& payload, const RecordMeta& meta, AppendDone done);
  // Whether Append would take `bytes` now.
  bool HasRoom(uint64_t bytes) const;
  // Whether a record of `bytes` could ever be kept.
  bool Fits(uint64_t bytes) const;
  // `done` comes behind the answers to everything that was appended before; what of it is kept is
  // on disk by then.
  void Flush(std::function<void()> done);
  // The oldest unclaimed records, at least one if there is one; claims them.
  void Read(uint64_t max_bytes, ReadDone done);
  void Settle(const RecordKey& key);
  void Reject(const RecordKey& key);  // see Log
  void Release(const RecordKey& key);

  // As of the worker's last round.
  bool has_unread() const { return has_unread_; }
  // The disk has refused the last append; tried again every second.
  bool refusing() const { return refusing_; }
  const std::vector<std::string>& problems() const { return log_->problems(); }

  // Writes and syncs what was appended, saves the cursor, ends the worker. Callbacks are still
  // posted. Safe twice.
  void Close();

 private:
  using Steady = std::chrono::steady_clock;
  struct AppendWork {
    base::Gathered payload;
    RecordMeta meta;
    bool claimed = false;
    AppendDone done;
    NotNeeded not_needed;
    base::Result<RecordKey> key = base::Error("not written");
  };
  struct ReadWork {
    uint64_t max_bytes = 0;
    ReadDone done;
  };
  struct SettleWork {
    RecordKey key;
    void (Log::*how)(const RecordKey&) = &Log::Settle;
  };
  struct Work {
    std::vector<AppendWork> appends;
    uint64_t append_bytes = 0;
    std::vector<ReadWork> reads;
    std::vector<SettleWork> settles;
    std::vector<std::function<void()>> flushes;
    bool closing = false;
    bool empty() const {
      return appends.empty() && reads.empty() && settles.empty() && flushes.empty() && !closing;
    }
    // Not to be left until the next sync.
    bool urgent() const;
  };

  Spool(const Options& options, Deps deps, std::unique_ptr<Log> log);
  void Run();
  void Queue(AppendWork&& append);
  void Queue(const SettleWork& settle);
  Work Take();
  void Spare(std::vector<AppendWork>* appends);
  void Write(AppendWork&& append);
  void CommitGroup();
  void WriteGroupAgain();
  void Refuse();
  void Answer(std::vector<AppendWork> group);
  void SaveCursor(bool closing);

  const std::chrono::milliseconds commit_interval_;
  const uint64_t max_bytes_;
  Deps deps_;
  std::unique_ptr<Log> log_;  // the worker's, once it runs
  base::Metric &refusing_gauge_, &queued_bytes_gauge_, &drained_records_, &spared_records_;

  std::mutex mutex_;
  std::condition_variable wake_;
  Work work_;                   // guarded by mutex_
  bool anything_wakes_ = true;  // the worker; likewise

  std::atomic<uint64_t> queued_bytes_{0};  // appended and not yet answered
  std::atomic<bool> has_unread_{false}, refusing_{false};
  std::atomic<int64_t> refusing_until_ns_{0};

  // The worker's own.
  std::vector<AppendWork> group_;  // written, not yet synced
  uint64_t group_bytes_ = 0;
  Steady::time_point last_commit_{}, cursor_saved_{}, cursor_synced_{};
  bool settled_ = false;
  base::LogLimiter error_log_{10'000'000'000};
  std::thread worker_;
};

}  // namespace weft::spool
