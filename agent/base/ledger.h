// The books: every stage and edge counts what came in, what went out, what was lost (verb and
// reason) and what it still holds, once per batch. At rest in = out + lost + held for every row;
// /debug/ledger prints them, tests assert it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace weft::base {

// The three ways to lose data: no room, bad data, a table that had to forget.
enum class Loss { kShed, kRejected, kEvicted };
std::string_view LossName(Loss loss);

// One row. Threads: any (relaxed atomics). Counts are in the row's unit.
class LedgerRow {
 public:
  struct Lost {
    Loss verb;
    std::string reason;
    std::atomic<uint64_t> count{0};
  };

  LedgerRow(std::string stage, std::string unit)
      : stage_(std::move(stage)), unit_(std::move(unit)) {}
  const std::string& stage() const { return stage_; }
  const std::string& unit() const { return unit_; }

  void In(uint64_t n) { in_.fetch_add(n, std::memory_order_relaxed); }
  void Out(uint64_t n) { out_.fetch_add(n, std::memory_order_relaxed); }
  // Signed change of what is held.
  void Held(int64_t delta) { held_.fetch_add(delta, std::memory_order_relaxed); }
  void Lose(Loss verb, std::string_view reason, uint64_t n);

  uint64_t in() const { return in_.load(std::memory_order_relaxed); }
  uint64_t out() const { return out_.load(std::memory_order_relaxed); }
  int64_t held() const { return held_.load(std::memory_order_relaxed); }
  // A copy: {verb, reason, count}.
  struct LostCount {
    Loss verb;
    std::string reason;
    uint64_t count;
  };
  std::vector<LostCount> lost() const;
  uint64_t lost_total() const;
  // What the row says at one moment.
  struct Counts {
    uint64_t in = 0, out = 0;
    int64_t held = 0;
    std::vector<LostCount> lost;
    uint64_t lost_total() const;
    bool Balanced() const { return in == out + lost_total() + static_cast<uint64_t>(held); }
  };
  // The row may be moving, and its columns are read one after the other: reads again, a few times
  // at most, until they balance. One reading that balances is proof enough.
  Counts Settled() const;
  bool Balanced() const { return Settled().Balanced(); }

 private:
  const std::string stage_;
  const std::string unit_;
  std::atomic<uint64_t> in_{0}, out_{0};
  std::atomic<int64_t> held_{0};
  mutable std::mutex mutex_;  // guards the list, not the counts
  std::deque<Lost> lost_;
};

// How Settled() reads: the first counts of `read` that balance, or else the last.
LedgerRow::Counts ReadUntilBalanced(const std::function<LedgerRow::Counts()>& read);

// Owns: its rows; they live as long as it. Threads: any.
class Ledger {
 public:
  // A new row, in order of creation (the order of the pipeline). `unit`: "spans", "records",
  // "bytes", ….
  LedgerRow& Row(std::string stage, std::string unit);
  // Rows in creation order.
  std::vector<const LedgerRow*> rows() const;
  bool Balanced() const;
  std::string Text() const;
  std::string Json() const;

 private:
  mutable std::mutex mutex_;
  std::deque<LedgerRow> rows_;
};

}  // namespace weft::base
