// Logging: one line per fact, to stderr. Never per span or per record; repeated conditions go
// through a LogLimiter.
#pragma once

#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdint>

namespace weft::base {

using LogLevel = spdlog::level::level_enum;

// Pattern and level for the whole process; call once at start.
void InitLog(LogLevel level);

// Lets one call in `period_ns` through. Threads: any.
class LogLimiter {
 public:
  explicit LogLimiter(uint64_t period_ns) : period_ns_(period_ns) {}
  bool Allow(uint64_t now_ns) {
    uint64_t last = last_ns_.load(std::memory_order_relaxed);
    if (last != 0 && now_ns - last < period_ns_) return false;
    return last_ns_.compare_exchange_strong(last, now_ns);
  }

 private:
  const uint64_t period_ns_;
  std::atomic<uint64_t> last_ns_{0};
};

}  // namespace weft::base
