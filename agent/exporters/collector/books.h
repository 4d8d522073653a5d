// Books: what all lanes of one exporter share: the byte budget of the queue, the ledger row, the
// metrics, and the few words that are said about losses.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/clock.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "exporters/collector/options.h"
#include "exporters/collector/reply.h"
#include "exporters/collector/request.h"

namespace weft::exporters::collector {

// Everything outlives the exporter.
struct Deps {
  base::LedgerRow& ledger;  // "exporter collector", in spans
  base::MetricRegistry& metrics;
  const base::Clock& clock;
  // Data points and log records; null: they go into `ledger` too.
  base::LedgerRow* other_signals = nullptr;
  // Gets the bytes of what a peer has refused for good, at most kQuarantinedBytes each; may be
  // empty.
  std::function<void(model::Signal, std::string_view reason, const base::Gathered&)> quarantine =
      {};
  // Asked for what is still held when a drain ends; true: somebody has it, or will have it, beyond
  // the end of the process, and it is out, not lost. `receipt` may be null. May be empty.
  std::function<bool(model::Signal, const base::Gathered&, uint64_t items,
                     const model::ReceiptRef& receipt)>
      keep = {};
};
inline constexpr uint64_t kQuarantinedBytes = 1 << 20;

// Threads: the data thread.
class Books {
 public:
  Books(const Options& options, Deps deps);

  // A batch of more than half of the queue gets in when the queue is less than half full, which
  // others wait for when there was no room for one just now: one such batch may overdraw the queue.
  bool Admit(uint64_t charge);
  uint64_t held_bytes() const { return held_bytes_; }
  uint64_t now_ns() const { return deps_.clock.MonotonicNs(); }

  void TookSpans(model::Signal signal, uint64_t count);
  // Changes what the queue is charged for.
  void Charge(uint64_t bytes);
  void Uncharge(uint64_t bytes);
  // Each ends the request: its promises are settled when the caller lets go of it.
  void Delivered(const Request& request, const Outcome& outcome);
  void Rejected(Request* request, const Outcome& outcome);
  // At the end: kept by Deps::keep, or shed.
  void KeepOrShed(Item&& item, std::string_view reason);

  struct Counters {
    explicit Counters(base::MetricRegistry& registry);
    base::Metric &sent_spans, &failed_spans, &sent_points, &failed_points, &sent_records,
        &failed_records, &queue_size, &queue_capacity, &in_flight;
    base::Metric &requests, &sent_bytes, &retries, &busy, &reachable, &credentials_refused;
    base::Metric &destinations, &quarantined, &reassigned;
  };
  Counters counters;

 private:
  base::LedgerRow& Row(model::Signal signal);
  base::Metric& Sent(model::Signal signal);
  base::Metric& Failed(model::Signal signal);
  void Shed(Request* request, std::string_view reason);
  void Release(const Request& request);

  const uint64_t queue_bytes_;
  const Deps deps_;
  uint64_t held_bytes_ = 0;
  uint64_t reserved_until_ns_ = 0;  // for a large one
  base::LogLimiter rejection_log_{10'000'000'000};
};

}  // namespace weft::exporters::collector
