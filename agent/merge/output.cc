// The way out of merge: encode what is ready, hand it on, keep what the next stage has no room for;
// and the books.
#include <utility>

#include "merge/state.h"

namespace weft::merge {
namespace {

base::Metric* Counter(base::MetricRegistry& metrics, const char* name, const char* help,
                      const base::Labels& labels = {}) {
  return &metrics.Get(base::MetricKind::kCounter, name, help, labels);
}
base::Metric* Gauge(base::MetricRegistry& metrics, const char* name, const char* help) {
  return &metrics.Get(base::MetricKind::kGauge, name, help);
}

}  // namespace

Merge::State::Meters::Meters(Deps& deps)
    : exchanges(deps.ledger.Row("merge exchanges", "exchanges")),
      sdk_spans(deps.ledger.Row("merge spans", "spans")) {
  base::MetricRegistry& m = deps.metrics;
  constexpr char kHits[] = "weft_merge_hits_total";
  constexpr char kHitsHelp[] = "Kernel views joined with an SDK span, by the side that was seen.";
  hits[static_cast<size_t>(model::Role::kClient)] =
      Counter(m, kHits, kHitsHelp, {{"side", "client"}});
  hits[static_cast<size_t>(model::Role::kServer)] =
      Counter(m, kHits, kHitsHelp, {{"side", "server"}});
  edge = Counter(m, "weft_merge_edge_total",
                 "Of the hits, those without wire context: by process, time, method and path.");
  adopted = Counter(m, "weft_merge_adopted_total",
                    "SDK root spans that became children of the call that the kernel saw.");
  late = Counter(m, "weft_merge_late_total",
                 "Kernel views that came after their SDK span and were absorbed.");
  ambiguous = Counter(m, "weft_merge_ambiguous_total",
                      "SDK spans left alone because several kernel views fitted.");
  unsampled = Counter(m, "weft_merge_unsampled_total",
                      "Exchanges dropped because their context says not sampled.");
  overflow = Counter(m, "weft_merge_hold_overflow_total",
                     "Exchanges emitted early because merge.hold_max_bytes was reached.");
  forgotten = Counter(m, "weft_merge_forgotten_keys_total",
                      "Remembered SDK spans that made room before their time.");
  emitted = Counter(m, "weft_merge_kernel_spans_total", "Spans that only the kernel saw.");
  held = Gauge(m, "weft_merge_held", "Exchanges in the window.");
  held_bytes =
      Gauge(m, "weft_merge_held_bytes", "Bytes of the window and of what waits behind it.");
  uncovered = Gauge(m, "weft_merge_uncovered_processes", "Processes without a speaking SDK.");
  processes = Gauge(m, "weft_merge_processes", "Processes known.");
}

void Merge::State::Send() {
  dropped_.clear();
  if (!ready_.empty()) {
    const uint64_t spans = ready_.size();
    counts_.emitted += spans;
    model::OtlpBatch batch = encoder_.Encode(ready_);
    ready_.clear();
    const size_t bytes = batch.size_bytes();
    outbox_bytes_ += bytes;
    outbox_.push_back({std::move(batch), spans, bytes});
  }
  DrainOutbox();
}

void Merge::State::DrainOutbox() {
  while (!outbox_.empty()) {
    Parcel& parcel = outbox_.front();
    if (deps_.next.Push(std::move(parcel.batch)) == model::PushResult::kBusy) break;
    meters_.exchanges.Out(parcel.spans);
    meters_.exchanges.Held(-static_cast<int64_t>(parcel.spans));
    outbox_bytes_ -= parcel.bytes;
    outbox_.pop_front();
  }
  ShedOutbox(max_bytes_, "exporter_busy");
}

// Newest first: what has waited longest is nearest to leaving.
void Merge::State::ShedOutbox(size_t limit_bytes, std::string_view reason) {
  while (outbox_bytes_ > limit_bytes) {
    const Parcel& newest = outbox_.back();
    meters_.exchanges.Lose(base::Loss::kShed, reason, newest.spans);
    meters_.exchanges.Held(-static_cast<int64_t>(newest.spans));
    outbox_bytes_ -= newest.bytes;
    outbox_.pop_back();
  }
}

void Merge::State::CountPass() {
  meters_.exchanges.In(counts_.opened);
  meters_.exchanges.Out(counts_.merged);
  if (counts_.unsampled != 0) {
    meters_.exchanges.Lose(base::Loss::kShed, "unsampled", counts_.unsampled);
  }
  meters_.exchanges.Held(static_cast<int64_t>(counts_.opened) -
                         static_cast<int64_t>(counts_.merged + counts_.unsampled));
  for (size_t side = 0; side < 2; ++side) meters_.hits[side]->Add(counts_.hits[side]);
  meters_.edge->Add(counts_.edge);
  meters_.adopted->Add(counts_.adopted);
  meters_.late->Add(counts_.late);
  meters_.ambiguous->Add(counts_.ambiguous);
  meters_.unsampled->Add(counts_.unsampled);
  meters_.overflow->Add(counts_.overflow);
  meters_.forgotten->Add(counts_.forgotten);
  meters_.emitted->Add(counts_.emitted);
  meters_.held->Set(static_cast<int64_t>(window_.size()));
  meters_.held_bytes->Set(static_cast<int64_t>(window_.bytes() + outbox_bytes_));
  meters_.uncovered->Set(static_cast<int64_t>(processes_.uncovered()));
  meters_.processes->Set(static_cast<int64_t>(processes_.size()));
  counts_ = {};
}

}  // namespace weft::merge
