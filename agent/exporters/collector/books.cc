#include "exporters/collector/books.h"

#include <algorithm>
#include <utility>

namespace weft::exporters::collector {
namespace {

using base::MetricKind;
using model::Signal;

const base::Labels kLabels = {{"exporter", "otlp"}};
// Longer than whoever was told "not now" (the spool, an SDK) waits before it asks again.
constexpr uint64_t kReservedNs = 2'000'000'000;

}  // namespace

Books::Counters::Counters(base::MetricRegistry& r)
    : sent_spans(r.Get(MetricKind::kCounter, "otelcol_exporter_sent_spans_total",
                       "spans that the collector has acknowledged", kLabels)),
      failed_spans(r.Get(MetricKind::kCounter, "otelcol_exporter_send_failed_spans_total",
                         "spans given up: rejected by the collector or left at shutdown", kLabels)),
      sent_points(r.Get(MetricKind::kCounter, "otelcol_exporter_sent_metric_points_total",
                        "data points that the collector has acknowledged", kLabels)),
      failed_points(r.Get(MetricKind::kCounter, "otelcol_exporter_send_failed_metric_points_total",
                          "data points given up", kLabels)),
      sent_records(r.Get(MetricKind::kCounter, "otelcol_exporter_sent_log_records_total",
                         "log records (and profiles) that the collector has acknowledged",
                         kLabels)),
      failed_records(r.Get(MetricKind::kCounter, "otelcol_exporter_send_failed_log_records_total",
                           "log records (and profiles) given up", kLabels)),
      queue_size(r.Get(MetricKind::kGauge, "otelcol_exporter_queue_size",
                       "bytes held until delivered", kLabels)),
      queue_capacity(r.Get(MetricKind::kGauge, "otelcol_exporter_queue_capacity",
                           "bytes that may be held", kLabels)),
      in_flight(r.Get(MetricKind::kGauge, "otelcol_exporter_in_flight_requests",
                      "requests sent and not answered", kLabels)),
      requests(r.Get(MetricKind::kCounter, "weft_exporter_collector_requests_total",
                     "requests sent, repeated ones included")),
      sent_bytes(r.Get(MetricKind::kCounter, "weft_exporter_collector_sent_bytes_total",
                       "bytes of requests after compression")),
      retries(r.Get(MetricKind::kCounter, "weft_exporter_collector_retries_total",
                    "requests that will be sent again")),
      busy(r.Get(MetricKind::kCounter, "weft_exporter_collector_busy_answers_total",
                 "batches not taken because the queue was full")),
      reachable(r.Get(MetricKind::kGauge, "weft_exporter_collector_reachable",
                      "destinations that answer; 0 while none does")),
      credentials_refused(r.Get(MetricKind::kGauge, "weft_exporter_collector_credentials_refused",
                                "destinations that refuse our credentials")),
      destinations(r.Get(MetricKind::kGauge, "weft_exporter_collector_destinations",
                         "destinations, reachable or not")),
      quarantined(r.Get(MetricKind::kCounter, "weft_exporter_collector_quarantined_spans_total",
                        "single spans found to be what a peer refuses for good")),
      reassigned(r.Get(MetricKind::kCounter, "weft_exporter_collector_reassigned_spans_total",
                       "spans that moved to another destination with their trace")) {}

Books::Books(const Options& options, Deps deps)
    : counters(deps.metrics),
      queue_bytes_(static_cast<uint64_t>(options.queue_bytes)),
      deps_(std::move(deps)) {
  counters.queue_capacity.Set(options.queue_bytes);
}

base::LedgerRow& Books::Row(Signal signal) {
  return signal == Signal::kTraces || deps_.other_signals == nullptr ? deps_.ledger
                                                                     : *deps_.other_signals;
}

base::Metric& Books::Sent(Signal signal) {
  return signal == Signal::kTraces    ? counters.sent_spans
         : signal == Signal::kMetrics ? counters.sent_points
                                      : counters.sent_records;
}

base::Metric& Books::Failed(Signal signal) {
  return signal == Signal::kTraces    ? counters.failed_spans
         : signal == Signal::kMetrics ? counters.failed_points
                                      : counters.failed_records;
}

void Books::TookSpans(Signal signal, uint64_t count) {
  Row(signal).In(count);
  Row(signal).Held(static_cast<int64_t>(count));
}

bool Books::Admit(uint64_t charge) {
  const uint64_t half = queue_bytes_ / 2;
  if (charge <= half) {
    const bool reserved = reserved_until_ns_ > 0 && now_ns() < reserved_until_ns_;
    return held_bytes_ + charge <= (reserved ? half : queue_bytes_);
  }
  const bool fits = held_bytes_ < half;
  reserved_until_ns_ = fits ? 0 : now_ns() + kReservedNs;
  return fits;
}

void Books::Charge(uint64_t bytes) {
  held_bytes_ += bytes;
  counters.queue_size.Set(static_cast<int64_t>(held_bytes_));
}

void Books::Uncharge(uint64_t bytes) {
  held_bytes_ -= bytes;
  counters.queue_size.Set(static_cast<int64_t>(held_bytes_));
}

void Books::Release(const Request& request) {
  Row(request.signal()).Held(-static_cast<int64_t>(request.spans()));
  Uncharge(request.charge());
}

void Books::Delivered(const Request& request, const Outcome& outcome) {
  const uint64_t spans = request.spans();
  const uint64_t rejected = std::min(outcome.rejected_spans, spans);
  Row(request.signal()).Out(spans - rejected);
  Sent(request.signal()).Add(spans - rejected);
  if (rejected > 0) {
    Row(request.signal()).Lose(base::Loss::kRejected, outcome.reason, rejected);
    Failed(request.signal()).Add(rejected);
  }
  // Also with nothing rejected the peer may have something to say: a warning, no reason to retry.
  if ((rejected > 0 || !outcome.message.empty()) && rejection_log_.Allow(now_ns()))
    spdlog::warn("collector rejected {} of {} spans: {}", rejected, spans, outcome.message);
  Release(request);
}

void Books::Rejected(Request* request, const Outcome& outcome) {
  const uint64_t spans = request->spans();
  request->MarkFailed(model::ReceiptFailure::kRejected);
  Row(request->signal()).Lose(base::Loss::kRejected, outcome.reason, spans);
  Failed(request->signal()).Add(spans);
  if (spans == 1 && request->signal() == Signal::kTraces) counters.quarantined.Add(1);
  if (deps_.quarantine && request->bytes() <= kQuarantinedBytes)
    deps_.quarantine(request->signal(), outcome.reason, request->Payload());
  if (rejection_log_.Allow(now_ns()))
    spdlog::warn("collector rejected {} spans, {}: {}", spans, outcome.reason, outcome.message);
  Release(*request);
}

void Books::KeepOrShed(Item&& item, std::string_view reason) {
  Request request;
  request.items.push_back(std::move(item));
  const Item& kept = request.items.front();
  const model::ReceiptRef receipt = kept.promise ? kept.promise->hold.receipt() : nullptr;
  if (!deps_.keep || !deps_.keep(kept.signal, kept.payload, kept.spans, receipt))
    return Shed(&request, reason);
  request.MarkFailed(model::ReceiptFailure::kLost);  // not delivered
  Row(kept.signal).Out(kept.spans);
  Release(request);
}

void Books::Shed(Request* request, std::string_view reason) {
  const uint64_t spans = request->spans();
  request->MarkFailed(model::ReceiptFailure::kLost);
  Row(request->signal()).Lose(base::Loss::kShed, reason, spans);
  Failed(request->signal()).Add(spans);
  Release(*request);
}

}  // namespace weft::exporters::collector
