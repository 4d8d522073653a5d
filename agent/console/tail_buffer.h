// TailBuffer: the last spans as they left, for `weft tail`. Nobody asks most of the time, so it
// keeps nothing until somebody has asked within the last ten seconds, and then at most 4 MiB of
// encoded requests, each with a number.
//
//   reader:  Read(cursor) ── requests numbered >= cursor ──▶ text, next cursor
//   sink:    Push ── wanted? no: one atomic load ── yes: encode, number, forget the oldest over the
//   cap
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::console {

// Threads: Push from the data thread, the rest from any.
// Cost: one relaxed load per batch while nobody looks.
class TailBuffer final : public model::Sink<model::OtlpBatch> {
 public:
  static constexpr uint64_t kMaxBytes = 4 << 20;
  static constexpr uint64_t kInterestNs = 10'000'000'000;

  TailBuffer(const base::Clock& clock, base::MetricRegistry& metrics);

  // Always kTaken. The fan-out may skip the call (and the copy it needs) while wanted() is false.
  model::PushResult Push(model::OtlpBatch&& batch) override;
  bool wanted() const { return wanted_.load(std::memory_order_relaxed); }

  struct Page {
    std::vector<base::SharedBytes> requests;  // encoded ExportTraceServiceRequests, in order
    uint64_t next_cursor = 0;
    uint64_t skipped = 0;  // requests between the cursor and the oldest one still here
  };
  // Everything from `cursor` on, oldest first, up to `max_bytes` (at least one request). Renews the
  // interest. A cursor of 0 starts with whatever is held.
  Page Read(uint64_t cursor, uint64_t max_bytes);
  // Forgets everything when nobody has asked for kInterestNs; called once a second.
  void Expire();

 private:
  struct Entry {
    uint64_t number;
    base::SharedBytes request;
  };
  const base::Clock& clock_;
  base::Metric& kept_;
  base::Metric& shed_;
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;  // guards the rest
  std::deque<Entry> entries_;
  uint64_t bytes_ = 0;
  uint64_t next_ = 1;
  uint64_t asked_ns_ = 0;
};

// The spans of one encoded request, one line each: text in columns, or a JSON object.
// {"time_unix_nano","service","kind","name","status","duration_ns","origin","trace_id","span_id","parent_span_id"}
void AppendTailText(base::ByteView request, std::string* out);
void AppendTailJson(base::ByteView request, std::string* out);

}  // namespace weft::console
