#include "exporters/collector/collector.h"

#include <algorithm>
#include <utility>

#include "base/inflate.h"
#include "protocols/otlp/gather.h"

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds kBackoffMin = milliseconds(200);
constexpr nanoseconds kBackoffMax = seconds(30);
// The channel already spaces out its attempts to connect; a call made meanwhile waits for the next.
constexpr nanoseconds kConnectionBackoffMax = seconds(1);
constexpr nanoseconds kDrainBackoffMax = milliseconds(500);
constexpr nanoseconds kCredentialsBackoff = seconds(30);
constexpr milliseconds kLongestHint = std::chrono::hours(1);
// So many retryable answers in a row, without a success between, mean that the peer is not well.
constexpr uint32_t kUnwell = 4;
// Further requests that may be spent on finding the bad span of a rejected request; every success
// gives one back. A peer that rejects everything is not asked many times for each batch.
constexpr uint32_t kIsolationBudget = 64;
constexpr uint64_t kSmallestBatch = 64 << 10;

const base::Labels kLabels = {{"exporter", "otlp"}};

}  // namespace

Collector::Counters::Counters(base::MetricRegistry& r)
    : sent_spans(r.Get(base::MetricKind::kCounter, "otelcol_exporter_sent_spans_total",
                       "spans that the collector has acknowledged", kLabels)),
      failed_spans(r.Get(base::MetricKind::kCounter, "otelcol_exporter_send_failed_spans_total",
                         "spans given up: rejected by the collector or left at shutdown", kLabels)),
      queue_size(r.Get(base::MetricKind::kGauge, "otelcol_exporter_queue_size",
                       "bytes held until delivered", kLabels)),
      queue_capacity(r.Get(base::MetricKind::kGauge, "otelcol_exporter_queue_capacity",
                           "bytes that may be held", kLabels)),
      in_flight(r.Get(base::MetricKind::kGauge, "otelcol_exporter_in_flight_requests",
                      "requests sent and not answered", kLabels)),
      requests(r.Get(base::MetricKind::kCounter, "weft_exporter_collector_requests_total",
                     "requests sent, repeated ones included")),
      sent_bytes(r.Get(base::MetricKind::kCounter, "weft_exporter_collector_sent_bytes_total",
                       "bytes of requests after compression")),
      retries(r.Get(base::MetricKind::kCounter, "weft_exporter_collector_retries_total",
                    "requests that will be sent again")),
      busy(r.Get(base::MetricKind::kCounter, "weft_exporter_collector_busy_answers_total",
                 "batches not taken because the queue was full")),
      connected(r.Get(base::MetricKind::kGauge, "weft_exporter_collector_reachable",
                      "1 while the collector answers")),
      credentials_refused(r.Get(base::MetricKind::kGauge,
                                "weft_exporter_collector_credentials_refused",
                                "1 while the collector refuses our credentials")) {}

Collector::Collector(Options options, Deps deps, std::unique_ptr<Transport> transport,
                     std::unique_ptr<TimerQueue> timers)
    : options_(std::move(options)),
      queue_bytes_(static_cast<uint64_t>(options_.queue_bytes)),
      deps_(deps),
      counters_(deps.metrics),
      transport_(std::move(transport)),
      timers_(std::move(timers)),
      encoding_(options_.compression == "none" ? "" : options_.compression),
      batch_bytes_(static_cast<uint64_t>(options_.max_batch_bytes)),
      window_(static_cast<uint64_t>(options_.max_in_flight)),
      isolation_budget_(kIsolationBudget) {
  counters_.queue_capacity.Set(options_.queue_bytes);
  counters_.connected.Set(1);
}

Collector::~Collector() {
  alive_.reset();
  ShedAll();
  timers_->Cancel(flush_timer_);
  timers_->Cancel(drain_timer_);
}

PushResult Collector::Push(model::OtlpBatch&& batch) {
  uint64_t charge = ChargeOf(batch);
  if (draining_ || (held_bytes_ > 0 && held_bytes_ + charge > queue_bytes_)) {
    counters_.busy.Add(1);
    return PushResult::kBusy;
  }
  uint64_t spans = LiveSpans(batch);
  if (spans == 0) {
    if (batch.receipt) batch.receipt->Reach(model::ReceiptLevel::kDelivered);
    batch = {};
    return PushResult::kTaken;
  }
  deps_.ledger.In(spans);
  deps_.ledger.Held(static_cast<int64_t>(spans));
  for (Item& item : MakeItems(std::move(batch), spans, batch_bytes_)) {
    held_bytes_ += item.charge;
    pending_bytes_ += item.payload.size;
    pending_.push_back(std::move(item));
  }
  batch = {};
  counters_.queue_size.Set(static_cast<int64_t>(held_bytes_));
  Pump();
  return PushResult::kTaken;
}

// Sends while there is something to send and a place in flight. A reply may come from within Call:
// then the loop that is already running carries on.
void Collector::Pump() {
  if (pumping_) return;
  pumping_ = true;
  while (StartOne()) {
  }
  pumping_ = false;
  if (pending_.empty()) flush_due_ = false;
  if (!pending_.empty() && !flush_due_ && flush_timer_ == 0) ArmFlush();
  counters_.in_flight.Set(static_cast<int64_t>(flying_.size()));
  if (draining_ && drained_ && idle()) FinishDrain();
}

bool Collector::StartOne() {
  uint64_t limit = gate_ == Gate::kOpen ? window_ : 1;
  if (flying_.size() >= limit) return false;
  if (!ready_.empty()) {
    Request request = std::move(ready_.front());
    ready_.pop_front();
    Send(std::move(request));
    return true;
  }
  // Behind a closed gate the requests that wait are older than what is pending: they go first.
  if (gate_ != Gate::kOpen && !waiting_.empty()) return false;
  if (pending_.empty() || (pending_bytes_ < batch_bytes_ && !flush_due_)) return false;
  Send(Form());
  return true;
}

Request Collector::Form() {
  Request request;
  uint64_t bytes = 0;
  while (!pending_.empty()) {
    Item& item = pending_.front();
    if (bytes > 0 && bytes + item.payload.size > batch_bytes_) break;
    bytes += item.payload.size;
    pending_bytes_ -= item.payload.size;
    request.items.push_back(std::move(item));
    pending_.pop_front();
  }
  return request;
}

void Collector::Send(Request&& request) {
  base::Gathered payload = request.Payload();
  std::string encoding;
  if (!encoding_.empty()) Compress(&payload, &encoding);
  request.id = next_id_++;
  request.timer = 0;
  uint64_t id = request.id;
  counters_.requests.Add(1);
  counters_.sent_bytes.Add(payload.size);
  flying_.emplace(id, std::move(request));
  transport_->Call(std::move(payload), encoding,
                   [this, id, alive = std::weak_ptr<int>(alive_)](CallReply&& reply) {
                     if (!alive.expired()) OnReply(id, std::move(reply));
                   });
}

// Every attempt compresses anew: the compressed form is not kept beside the original.
void Collector::Compress(base::Gathered* payload, std::string* encoding) {
  base::Compression compression;
  if (!base::CompressionFromName(encoding_, &compression)) return;
  base::ByteBuffer flat = protocols::otlp::Flatten(*payload);
  base::ByteBuffer packed;
  if (!base::Deflate(compression, flat.view(), &packed).ok()) return;
  auto owner = base::Share(std::move(packed));
  *payload = {};
  payload->Add(owner->view());
  payload->owners.push_back(owner);
  *encoding = encoding_;
}

void Collector::OnReply(uint64_t id, CallReply&& reply) {
  auto found = flying_.find(id);
  if (found == flying_.end()) return;  // given up meanwhile
  Request request = std::move(found->second);
  flying_.erase(found);
  Outcome outcome = Judge(reply, options_.retry_exhausted);
  if (!reply.transport_error && outcome.verdict != Verdict::kRetrySlowly &&
      outcome.verdict != Verdict::kRetry)
    OpenGate();
  switch (outcome.verdict) {
    case Verdict::kDelivered:
      Deliver(std::move(request), outcome);
      break;
    case Verdict::kRetry:
    case Verdict::kRetryConnection:
    case Verdict::kRetrySlowly:
      RetryLater(std::move(request), reply, outcome);
      break;
    case Verdict::kTooLarge:
      SendInHalves(std::move(request), outcome);
      break;
    case Verdict::kRejected:
      if (FallBackToPlain(reply))
        ready_.push_front(std::move(request));
      else
        Isolate(std::move(request), outcome);
      break;
  }
  Pump();
}

void Collector::Deliver(Request&& request, const Outcome& outcome) {
  uint64_t spans = request.spans();
  uint64_t rejected = std::min(outcome.rejected_spans, spans);
  window_ = std::min(window_ + 1, static_cast<uint64_t>(options_.max_in_flight));
  isolation_budget_ = std::min(isolation_budget_ + 1, kIsolationBudget);
  deps_.ledger.Out(spans - rejected);
  counters_.sent_spans.Add(spans - rejected);
  if (rejected > 0) {
    deps_.ledger.Lose(base::Loss::kRejected, outcome.reason, rejected);
    counters_.failed_spans.Add(rejected);
  }
  // Also with nothing rejected the peer may have something to say: a warning, no reason to retry.
  if ((rejected > 0 || !outcome.message.empty()) && rejection_log_.Allow(deps_.clock.MonotonicNs()))
    spdlog::warn("collector rejected {} of {} spans: {}", rejected, spans, outcome.message);
  Release(spans, request.charge());
}

void Collector::RetryLater(Request&& request, const CallReply& reply, const Outcome& outcome) {
  counters_.retries.Add(1);
  ++request.attempts;
  window_ = std::max<uint64_t>(1, window_ / 2);
  ++failures_in_a_row_;
  nanoseconds longest = kBackoffMax;
  if (outcome.verdict == Verdict::kRetryConnection) {
    CloseGate(Gate::kConnection, outcome);
    longest = kConnectionBackoffMax;
  } else if (outcome.verdict == Verdict::kRetrySlowly) {
    CloseGate(Gate::kCredentials, outcome);
  } else if (failures_in_a_row_ >= kUnwell) {
    CloseGate(Gate::kConnection, outcome);
  }
  if (draining_) longest = kDrainBackoffMax;
  nanoseconds delay = Backoff(request.attempts, longest);
  if (outcome.verdict == Verdict::kRetrySlowly && !draining_)
    delay = Backoff(UINT32_MAX, kCredentialsBackoff) + kCredentialsBackoff / 4;
  request.peer_set_the_time = reply.retry_delay.has_value();
  if (reply.retry_delay) {
    // The hint is a floor; the jitter above it spreads the agents that got the same one.
    nanoseconds hint = std::clamp(*reply.retry_delay, milliseconds(0), kLongestHint);
    delay = std::max(delay, hint + Backoff(1, kBackoffMin));
  }
  Wait(std::move(request), delay);
}

// The peer has a limit below our batch size: later requests are made smaller at once.
void Collector::SendInHalves(Request&& request, const Outcome& outcome) {
  batch_bytes_ =
      std::clamp(request.bytes() / 2, std::min(kSmallestBatch, batch_bytes_), batch_bytes_);
  Request second;
  if (!Halve(&request, &second)) return Reject(std::move(request), outcome);
  second.attempts = request.attempts;
  ready_.push_front(std::move(second));
  ready_.push_front(std::move(request));
}

// One bad span must not cost the others of its request: halve until it stands alone, as long as the
// budget lasts.
void Collector::Isolate(Request&& request, const Outcome& outcome) {
  Request second;
  if (outcome.reason == "unimplemented" || outcome.reason == "bad_response" ||
      isolation_budget_ < 2 || draining_ || !Halve(&request, &second))
    return Reject(std::move(request), outcome);
  isolation_budget_ -= 2;
  ready_.push_front(std::move(second));
  ready_.push_front(std::move(request));
}

void Collector::Reject(Request&& request, const Outcome& outcome) {
  uint64_t spans = request.spans();
  request.MarkFailed();
  deps_.ledger.Lose(base::Loss::kRejected, outcome.reason, spans);
  counters_.failed_spans.Add(spans);
  if (rejection_log_.Allow(deps_.clock.MonotonicNs()))
    spdlog::warn("collector rejected {} spans, {}: {}", spans, outcome.reason, outcome.message);
  Release(spans, request.charge());
}

// UNIMPLEMENTED may mean that the peer lacks our compression.
bool Collector::FallBackToPlain(const CallReply& reply) {
  constexpr int kUnimplemented = 12;
  if (encoding_.empty() || reply.status != kUnimplemented || draining_) return false;
  spdlog::warn("collector does not take {} compression, sending without", encoding_);
  encoding_.clear();
  return true;
}

void Collector::Wait(Request&& request, nanoseconds delay) {
  uint64_t id = request.id;
  request.timer = timers_->RunAfter(delay, [this, id, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    ready_.push_back(std::move(found->second));
    waiting_.erase(found);
    Pump();
  });
  waiting_.emplace(id, std::move(request));
}

void Collector::WakeWaiting() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->second.peer_set_the_time && !draining_) {
      ++it;
      continue;
    }
    timers_->Cancel(it->second.timer);
    ready_.push_back(std::move(it->second));
    it = waiting_.erase(it);
  }
}

// After an outage the window starts small and grows with every success, so that the agents of a
// cluster do not fall upon a collector that has just come back.
void Collector::OpenGate() {
  failures_in_a_row_ = 0;
  if (gate_ == Gate::kOpen) return;
  gate_ = Gate::kOpen;
  counters_.connected.Set(1);
  counters_.credentials_refused.Set(0);
  if (std::exchange(outage_logged_, false))
    spdlog::info("collector {} takes spans again", options_.endpoint);
  WakeWaiting();
}

void Collector::CloseGate(Gate gate, const Outcome& outcome) {
  Gate before = std::exchange(gate_, gate);
  counters_.connected.Set(gate == Gate::kConnection ? 0 : 1);
  counters_.credentials_refused.Set(gate == Gate::kCredentials ? 1 : 0);
  // A peer that comes and goes is told of now and then only.
  if (before == gate || !outage_log_.Allow(deps_.clock.MonotonicNs())) return;
  outage_logged_ = true;
  spdlog::warn("collector {} {}, spans are kept: {}: {}", options_.endpoint,
               gate == Gate::kCredentials ? "refuses our credentials" : "takes no spans now",
               outcome.reason, outcome.message);
}

// Half of it fixed, half of it random.
nanoseconds Collector::Backoff(uint32_t attempts, nanoseconds longest) {
  nanoseconds full = longest;
  if (attempts < 16)
    full = std::min(longest, kBackoffMin * (1 << (attempts > 0 ? attempts - 1 : 0)));
  std::uniform_int_distribution<int64_t> part(0, full.count() / 2);
  return full / 2 + nanoseconds(part(random_));
}

void Collector::ArmFlush() {
  flush_timer_ = timers_->RunAfter(milliseconds(options_.flush_milliseconds),
                                   [this, alive = std::weak_ptr<int>(alive_)] {
                                     if (alive.expired()) return;
                                     flush_timer_ = 0;
                                     flush_due_ = true;
                                     Pump();
                                   });
}

void Collector::Release(uint64_t spans, uint64_t charge) {
  deps_.ledger.Held(-static_cast<int64_t>(spans));
  held_bytes_ -= charge;
  counters_.queue_size.Set(static_cast<int64_t>(held_bytes_));
}

void Collector::Drain(nanoseconds budget, std::function<void()> done) {
  draining_ = true;
  drained_ = std::move(done);
  flush_due_ = true;
  WakeWaiting();
  drain_timer_ = timers_->RunAfter(budget, [this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    drain_timer_ = 0;
    ShedAll();
    FinishDrain();
  });
  Pump();
}

void Collector::FinishDrain() {
  timers_->Cancel(std::exchange(drain_timer_, 0));
  if (auto done = std::exchange(drained_, nullptr)) done();
}

void Collector::Shed(Request&& request) {
  uint64_t spans = request.spans();
  request.MarkFailed();
  deps_.ledger.Lose(base::Loss::kShed, "shutdown", spans);
  counters_.failed_spans.Add(spans);
  Release(spans, request.charge());
}

void Collector::ShedAll() {
  Request rest;
  for (Item& item : pending_) rest.items.push_back(std::move(item));
  pending_.clear();
  pending_bytes_ = 0;
  if (!rest.items.empty()) Shed(std::move(rest));
  for (Request& request : ready_) Shed(std::move(request));
  ready_.clear();
  for (auto& [id, request] : waiting_) {
    timers_->Cancel(request.timer);
    Shed(std::move(request));
  }
  waiting_.clear();
  for (auto& [id, request] : flying_) Shed(std::move(request));
  flying_.clear();
}

}  // namespace weft::exporters::collector
