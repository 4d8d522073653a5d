// A spool with its thread, and a data thread that a test turns by hand.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "log_fixture.h"
#include "spool/spool.h"

namespace weft::spool {

// Threads: Post from any, the rest from the test's.
class HandLoop {
 public:
  using Task = std::function<void()>;

  void Post(Task task) {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    wake_.notify_one();
  }
  void RunAfter(std::chrono::nanoseconds, Task task) { timers_.push_back(std::move(task)); }
  // Fires every timer that is set now, whatever its delay.
  void Tick() {
    for (Task& task : std::exchange(timers_, {})) task();
  }
  size_t timers() const { return timers_.size(); }
  // Runs posted tasks until `done`, or gives up.
  bool RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      std::unique_lock lock(mutex_);
      if (!wake_.wait_until(lock, deadline, [this] { return !tasks_.empty(); })) return false;
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
    return true;
  }
  void RunPosted() {
    for (;;) {
      std::unique_lock lock(mutex_);
      if (tasks_.empty()) return;
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  std::vector<Task> timers_;
};

class SpoolFixture : public testing::Test {
 protected:
  void OpenSpool(FileLayer& layer, const std::string& folder) {
    Options options;
    options.directory = folder;
    options.commit_milliseconds = commit_milliseconds;
    options.max_bytes = max_bytes;
    auto opened =
        Spool::Open(options, {clock, *ledger, metrics,
                              [this](HandLoop::Task task) { loop.Post(std::move(task)); }, layer});
    ASSERT_TRUE(opened.ok()) << opened.status();
    spool = std::move(*opened);
  }
  void OpenSpool() { OpenSpool(files, "/spool"); }
  std::vector<Record> Read(uint64_t max_bytes = 1 << 20) {
    std::vector<Record> out;
    bool done = false;
    spool->Read(max_bytes, [&](std::vector<Record> records) {
      out = std::move(records);
      done = true;
    });
    EXPECT_TRUE(loop.RunUntil([&] { return done; }));
    return out;
  }

  int64_t commit_milliseconds = 1, max_bytes = int64_t{1} << 32;
  ModelFiles files;
  base::SystemClock clock;
  base::Ledger books;
  base::LedgerRow* ledger = &books.Row("spool", "items");
  base::MetricRegistry metrics;
  HandLoop loop;
  std::unique_ptr<Spool> spool;
};

}  // namespace weft::spool
