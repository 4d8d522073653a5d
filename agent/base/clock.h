// Time as a value that is passed in: stages ask a Clock, tests crank a FakeClock. Kernel records
// carry CLOCK_MONOTONIC; spans carry nanoseconds since the Unix epoch; ToUnix converts with an
// offset that is re-sampled, so that durations come from the monotonic clock alone.
#pragma once

#include <cstdint>

namespace weft::base {

class Clock {
 public:
  virtual ~Clock() = default;
  // CLOCK_MONOTONIC, ns.
  virtual uint64_t MonotonicNs() const = 0;
  // Added to a monotonic time it gives ns since the Unix epoch. Re-sampled by the implementation.
  virtual int64_t UnixOffsetNs() const = 0;

  uint64_t ToUnixNs(uint64_t monotonic_ns) const {
    return monotonic_ns + static_cast<uint64_t>(UnixOffsetNs());
  }
  uint64_t UnixNs() const { return ToUnixNs(MonotonicNs()); }
};

// The kernel's clocks. Threads: any.
class SystemClock final : public Clock {
 public:
  uint64_t MonotonicNs() const override;
  int64_t UnixOffsetNs() const override;
};

// A clock that stands still until a test moves it.
class FakeClock final : public Clock {
 public:
  uint64_t MonotonicNs() const override { return now_ns_; }
  int64_t UnixOffsetNs() const override { return offset_ns_; }
  void Advance(uint64_t ns) { now_ns_ += ns; }

 private:
  uint64_t now_ns_ = 1'000'000'000;
  int64_t offset_ns_ = 1'700'000'000'000'000'000;
};

}  // namespace weft::base
