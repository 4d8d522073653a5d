#include "base/clock.h"

#include <ctime>

namespace weft::base {
namespace {

uint64_t Read(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

}  // namespace

uint64_t SystemClock::MonotonicNs() const { return Read(CLOCK_MONOTONIC); }

int64_t SystemClock::UnixOffsetNs() const {
  // Two monotonic reads around the wall clock: the middle is at most half a read away from it.
  uint64_t before = Read(CLOCK_MONOTONIC);
  uint64_t wall = Read(CLOCK_REALTIME);
  uint64_t after = Read(CLOCK_MONOTONIC);
  return static_cast<int64_t>(wall - (before + (after - before) / 2));
}

}  // namespace weft::base
