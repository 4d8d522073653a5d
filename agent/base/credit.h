// ByteCredit: the process-wide budget of bytes that have entered and not yet left. Every byte takes
// credit at the rim before work is done on it; the Receipt of its batch gives it back. Exact,
// unlike a queue's own capacity.
#pragma once

#include <atomic>
#include <cstdint>

namespace weft::base {

// Threads: any. Cost: one atomic add per call.
class ByteCredit {
 public:
  explicit ByteCredit(uint64_t limit_bytes) : limit_(limit_bytes) {}
  // True and `n` bytes taken, or false and nothing changed.
  [[nodiscard]] bool Take(uint64_t n) {
    if (used_.fetch_add(n, std::memory_order_relaxed) + n <= limit_) return true;
    used_.fetch_sub(n, std::memory_order_relaxed);
    return false;
  }
  void Return(uint64_t n) { used_.fetch_sub(n, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};
};

}  // namespace weft::base
