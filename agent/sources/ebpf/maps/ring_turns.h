// RingTurns: which rings are read next when they hold more than is taken at once, so that the
// records of all of them still come in order of time: the ring that lags behind is read until it
// has caught up, and what the others gave waits as long.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft::sources::ebpf {

// Threads: one. Order: (IsDue? Note*)* EndRound, and again.
class RingTurns {
 public:
  static constexpr uint64_t kAllRead = UINT64_MAX;

  void Add() { rings_.emplace_back(); }
  bool IsDue(size_t ring) const {
    return !rings_[ring].has_more || rings_[ring].last_ns <= horizon_ns_;
  }
  // The ring was read. `last_ns`: the time of the last record that came; 0 when none did.
  void Note(size_t ring, bool has_more, uint64_t last_ns) {
    rings_[ring].has_more = has_more;
    rings_[ring].last_ns = std::max(rings_[ring].last_ns, last_ns);
  }
  // Until when everything has been read; kAllRead when no ring was left with more.
  uint64_t EndRound() {
    horizon_ns_ = kAllRead;
    for (const Ring& ring : rings_) {
      if (ring.has_more) horizon_ns_ = std::min(horizon_ns_, ring.last_ns);
    }
    return horizon_ns_;
  }

 private:
  struct Ring {
    bool has_more = false;
    uint64_t last_ns = 0;
  };
  std::vector<Ring> rings_;
  uint64_t horizon_ns_ = kAllRead;
};

}  // namespace weft::sources::ebpf
