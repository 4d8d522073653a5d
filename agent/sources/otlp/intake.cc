#include "sources/otlp/intake.h"

#include <algorithm>

#include "protocols/otlp/index.h"

namespace weft::sources::otlp {
namespace {

namespace wire = protocols::otlp;
using base::Loss;
using base::MetricKind;

constexpr uint64_t kPeerKnownNs = 1'000'000'000, kPeerUnknownNs = 100'000'000;

base::Metric& TransportMetric(base::MetricRegistry& metrics, std::string_view receiver,
                              std::string_view transport, std::string_view verb,
                              std::string_view what) {
  return metrics.Get(MetricKind::kCounter,
                     "otelcol_receiver_" + std::string(verb) + "_" + std::string(what) + "_total",
                     verb == "accepted" ? "Items taken into the pipeline."
                                        : "Items that could not be taken into the pipeline.",
                     {{"receiver", std::string(receiver)}, {"transport", std::string(transport)}});
}

}  // namespace

TransportMetrics::TransportMetrics(base::MetricRegistry& metrics, std::string_view receiver,
                                   std::string_view transport, std::string_view what)
    : accepted(TransportMetric(metrics, receiver, transport, "accepted", what)),
      refused(TransportMetric(metrics, receiver, transport, "refused", what)) {}

Intake::Intake(std::string name, const Deps& deps, model::Sink<model::OtlpBatch>& next)
    : name_(std::move(name)),
      deps_(deps),
      next_(next),
      requests_(deps_.ledger.Row("receiver " + name_ + " requests", "requests")),
      spans_(deps_.ledger.Row("receiver " + name_, "spans")),
      repaired_(deps_.metrics.Get(MetricKind::kCounter, "weft_sources_otlp_repaired_strings_total",
                                  "Strings that were not UTF-8 and had their bad bytes replaced.",
                                  {{"receiver", name_}})) {}

Outcome Intake::Reject(std::string_view ledger_reason, std::string text) {
  requests_.In(1);
  requests_.Lose(Loss::kRejected, ledger_reason, 1);
  Outcome outcome;
  outcome.verdict = Verdict::kMalformed;
  outcome.reason = std::move(text);
  return outcome;
}

Outcome Intake::Shed(std::string_view reason) {
  requests_.In(1);
  requests_.Lose(Loss::kShed, reason, 1);
  Outcome outcome;
  outcome.verdict = Verdict::kBusy;
  outcome.retry_after = RetryAfter();
  return outcome;
}

std::chrono::milliseconds Intake::RetryAfter() {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  if (refusing_since_ns_ == 0) refusing_since_ns_ = now_ns;
  const std::chrono::milliseconds refusing((now_ns - refusing_since_ns_) / 1'000'000);
  const auto wait = std::clamp(refusing, kShortestRetry, kLongestRetry);
  return wait + wait * (refusals_++ % 8) / 8;
}

bool Intake::Recharge(net::Request& request, uint64_t bytes) {
  const uint64_t held = request.charge.bytes();
  if (bytes > held) return request.charge.Take(bytes - held);
  if (bytes < held) request.charge.Return(held - bytes);
  return true;
}

base::SharedPacked Intake::TakePacked(net::Request& request, bool is_body) const {
  base::SharedPacked packed = std::move(request.packed);
  if (packed == nullptr) return nullptr;
  if (is_body && packed->compression == deps_.pass_on) return packed;
  request.charge.Return(packed->bytes.size());
  return nullptr;
}

// What comes in is booked together with what became of it: the push in between may take long, and
// whoever reads the ledger meanwhile must not take that for a loss.
Outcome Intake::Take(net::Request& request, base::ByteBuffer&& bytes, uint64_t unreadable,
                     TransportMetrics& transport) {
  if (stopped_) return Shed("stopped");
  const bool is_body = &bytes == &request.body;
  base::SharedPacked packed = TakePacked(request, is_body);
  // A body that is passed on as it came has been paid for.
  if (!is_body && !Recharge(request, bytes.size())) return Shed("no_credit");
  model::OtlpBatch batch;
  const wire::IndexReport report = wire::Index(base::Share(std::move(bytes)), &batch);
  if (report.status == wire::IndexStatus::kBad) return Reject("malformed", report.reason);
  if (report.status == wire::IndexStatus::kTooManySpans) {
    Outcome outcome = Reject(
        "too_many_spans", "more than " + std::to_string(wire::kMaxSpans) + " spans in one request");
    outcome.verdict = Verdict::kTooManySpans;
    return outcome;
  }
  if (report.bad_utf8 != 0) repaired_.Add(report.bad_utf8);
  if (report.bad_utf8 == 0 && !batch.edited) batch.packed = std::move(packed);
  const uint64_t offered = report.spans + unreadable;
  const uint64_t zero_ids = report.zero_ids + unreadable;
  const uint64_t spans = offered - zero_ids;
  Outcome outcome;
  outcome.rejected = zero_ids;
  if (spans > 0 && !Push(request, std::move(batch), &outcome)) {
    spans_.In(offered);
    spans_.Lose(Loss::kShed, "busy", offered);
    transport.refused.Add(offered);
    return Shed("busy");
  }
  requests_.In(1);
  requests_.Out(1);
  spans_.In(offered);
  spans_.Out(spans);
  transport.accepted.Add(spans);
  if (zero_ids != 0) {
    spans_.Lose(Loss::kRejected, "zero_id", zero_ids);
    transport.refused.Add(zero_ids);
  }
  return outcome;
}

Outcome Intake::TakeOpaque(net::Request& request, base::ByteBuffer&& bytes, model::Signal signal,
                           uint64_t items, base::LedgerRow& row, TransportMetrics& transport) {
  if (stopped_) return Shed("stopped");
  Outcome outcome;
  const bool is_body = &bytes == &request.body;
  base::SharedPacked packed = TakePacked(request, is_body);
  if (!is_body && !Recharge(request, bytes.size())) return Shed("no_credit");
  if (items > 0) {
    model::OtlpBatch batch;
    batch.packed = std::move(packed);
    batch.signal = signal;
    batch.items = items;
    batch.bytes = base::Share(std::move(bytes));
    if (!Push(request, std::move(batch), &outcome)) {
      row.In(items);
      row.Lose(Loss::kShed, "busy", items);
      transport.refused.Add(items);
      return Shed("busy");
    }
  }
  requests_.In(1);
  requests_.Out(1);
  row.In(items);
  row.Out(items);
  transport.accepted.Add(items);
  return outcome;
}

bool Intake::Push(net::Request& request, model::OtlpBatch&& batch, Outcome* outcome) {
  batch.sender = Sender(request);
  base::ByteCredit* const credit = request.charge.credit();
  const model::ReceiptRef receipt = std::make_shared<model::Receipt>(
      credit, request.charge.Release(), model::ReceiptWish{deps_.acknowledge, name_});
  batch.receipt = receipt;
  if (deps_.before_push) deps_.before_push();
  if (next_.Push(std::move(batch)) == model::PushResult::kBusy) return false;
  refusing_since_ns_ = 0;
  receipt->Reach(model::ReceiptLevel::kTaken);
  if (deps_.acknowledge > model::ReceiptLevel::kTaken) outcome->pending = receipt;
  return true;
}

model::ProcessRef Intake::Sender(const net::Request& request) {
  if (deps_.peers == nullptr || !request.peer.known()) return nullptr;
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  if (request.peer != peer_ || now_ns >= peer_until_ns_) {
    peer_ = request.peer;
    peer_process_ = deps_.peers->TcpPeer(request.peer);
    peer_until_ns_ = now_ns + (peer_process_ ? kPeerKnownNs : kPeerUnknownNs);
  }
  return peer_process_;
}

}  // namespace weft::sources::otlp
