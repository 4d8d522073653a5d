#include "exporters/collector/flight_window.h"

#include <algorithm>

namespace weft::exporters::collector {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kBestPeriodNs = 30'000 * kMillisecond;
// Answers below that are never a sign of load; above it those of kSlowFactor times the best are.
constexpr uint64_t kNeverSlowNs = 100 * kMillisecond;
constexpr uint64_t kSlowFactor = 4, kMuchSlower = 64;
// Requests on their way to a peer that refuses some and takes others.
constexpr uint64_t kFloorSteps = 4;

}  // namespace

FlightWindow::FlightWindow(uint64_t most_bytes, uint64_t step_bytes)
    : most_(std::max(most_bytes, step_bytes)),
      step_(std::max<uint64_t>(step_bytes, 1)),
      window_(most_),
      fast_until_(most_) {}

void FlightWindow::Taken(uint64_t bytes, uint64_t latency_ns, uint64_t now_ns) {
  const bool was_used = open_ + bytes >= window_ / 2;
  Closed(bytes);
  taken_at_ns_ = now_ns;
  if (SlowedDown(latency_ns, now_ns)) {
    // Once a round: the answers on their way were slowed by the window before the cut.
    if (now_ns - cut_at_ns_ < latency_ns) return;
    cut_at_ns_ = now_ns;
    const bool much = latency_ns / kMuchSlower > std::min(best_ns_, last_best_ns_);
    window_ = std::max(step_, much ? window_ / 2 : window_ / 8 * 7);
    fast_until_ = window_;
  } else if (was_used || window_ < most_) {
    const uint64_t gain = window_ < fast_until_ ? bytes : step_ * bytes / window_;
    window_ = std::min(most_, window_ + std::max<uint64_t>(gain, 1));
  }
}

void FlightWindow::Refused(uint64_t bytes, uint64_t sent_ns, uint64_t now_ns) {
  Closed(bytes);
  if (sent_ns < cut_at_ns_) return;
  cut_at_ns_ = now_ns;
  const uint64_t less = TakesOthers(sent_ns, now_ns)
                            ? std::max(kFloorSteps * step_, window_ / 8 * 7)
                            : std::max(step_, window_ / 2);
  window_ = std::min(window_, less);
  fast_until_ = window_;
}

bool FlightWindow::TakesOthers(uint64_t sent_ns, uint64_t now_ns) const {
  return taken_at_ns_ > 0 && now_ns - taken_at_ns_ <= 2 * (now_ns - sent_ns);
}

void FlightWindow::Restart() {
  window_ = std::min(step_, most_);
  fast_until_ = window_;
}

bool FlightWindow::SlowedDown(uint64_t latency_ns, uint64_t now_ns) {
  if (now_ns - best_since_ns_ > kBestPeriodNs) {
    last_best_ns_ = best_ns_;
    best_ns_ = UINT64_MAX;
    best_since_ns_ = now_ns;
  }
  best_ns_ = std::min(best_ns_, latency_ns);
  const uint64_t best = std::min(best_ns_, last_best_ns_);
  return latency_ns > kNeverSlowNs && latency_ns / kSlowFactor > best;
}

}  // namespace weft::exporters::collector
