// FlightWindow: how many bytes may be on their way to one destination. It grows with what the peer
// takes, shrinks when it fails or when its answers take much longer than they did at their best,
// and starts small after an outage, so that the agents of a cluster do not fall upon a collector
// that has just come back: from then on the peer's own answers set the pace.
#pragma once

#include <cstdint>

namespace weft::exporters::collector {

// Units: bytes, nanoseconds. One request may always be on its way, whatever its size.
class FlightWindow {
 public:
  // `most_bytes`: never more than that; `step_bytes`: about one request.
  FlightWindow(uint64_t most_bytes, uint64_t step_bytes);

  bool HasRoom(uint64_t bytes) const { return open_ == 0 || open_ + bytes <= window_; }
  uint64_t open_bytes() const { return open_; }
  uint64_t window_bytes() const { return window_; }

  void Sent(uint64_t bytes) { open_ += bytes; }
  // Taken by the peer `latency_ns` after it was sent.
  void Taken(uint64_t bytes, uint64_t latency_ns, uint64_t now_ns);
  // Not taken for a reason that calls for less. Once a round: those that were on their way together
  // are refused together. A peer that meanwhile takes others is refusing, not drowning: it loses an
  // eighth, down to a floor at which the flow goes on; one that takes nothing loses half.
  void Refused(uint64_t bytes, uint64_t sent_ns, uint64_t now_ns);
  // Whether it has taken something in the last two rounds, as told by a request of the last one.
  bool TakesOthers(uint64_t sent_ns, uint64_t now_ns) const;
  // Settled in a way that says nothing about the load.
  void Closed(uint64_t bytes) { open_ -= bytes < open_ ? bytes : open_; }
  // Back to one request.
  void Restart();

 private:
  bool SlowedDown(uint64_t latency_ns, uint64_t now_ns);

  const uint64_t most_, step_;
  uint64_t window_, fast_until_;  // grows by what was taken below it, by a step a round above
  uint64_t open_ = 0;
  // The shortest answers of this and of the last half minute.
  uint64_t best_ns_ = UINT64_MAX, last_best_ns_ = UINT64_MAX, best_since_ns_ = 0;
  uint64_t cut_at_ns_ = 0, taken_at_ns_ = 0;
};

}  // namespace weft::exporters::collector
