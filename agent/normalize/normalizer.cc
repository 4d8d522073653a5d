#include "normalize/normalizer.h"

#include <algorithm>
#include <utility>

#include "normalize/connection.h"
#include "normalize/shared.h"

namespace weft::normalize {
namespace {

// A batch goes on once it is this long: it still fits the cache and the heap's quick sizes.
constexpr size_t kSpansPerBatch = 256;
// A tick so soon after a batch does not show that another drain has come and found nothing.
constexpr uint64_t kDrainPeriodNs = 15'000'000;

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {
      "capture.http",
      {
          {.key = "query_values_allowed",
           .value = &options.query_values_allowed,
           .doc =
               "keys whose values are kept in url.query and url.full; all others become REDACTED"},
          {.key = "trust_forwarded",
           .value = &options.trust_forwarded,
           .doc = "take client.address from X-Forwarded-For (only behind a proxy that sets it)"},
          {.key = "max_connections",
           .value = &options.max_connections,
           .doc = "connections; beyond it the least recently used one is forgotten",
           .min = 16,
           .max = 4'000'000},
          {.key = "max_streams",
           .value = &options.max_streams,
           .doc = "open HTTP/2 streams; beyond it the least recently used one is finished",
           .min = 16,
           .max = 4'000'000},
          {.key = "http2_table_bytes",
           .value = &options.http2_table_bytes,
           .doc = "bytes of HTTP/2 header tables; beyond it the least recently used is forgotten",
           .min = 1 << 20,
           .max = 1ll << 36},
          {.key = "http1_waiting_bytes",
           .value = &options.http1_waiting_bytes,
           .doc =
               "bytes of HTTP/1 requests that wait behind others on their connection and of heads "
               "in pieces; beyond it those of the least recently used connection are finished",
           .min = 1 << 20,
           .max = 1ll << 36},
          {.key = "quiet_ms",
           .value = &options.quiet_ms,
           .doc =
               "ms; a response whose end was not captured is taken as complete after this silence",
           .min = 10,
           .max = 600'000},
      }};
}

struct Normalizer::Meters {
  explicit Meters(const Deps& deps)
      : registry(deps.metrics), row(deps.ledger.Row("normalize exchanges", "exchanges")) {}
  base::Metric& Counter(const char* name, const char* help) {
    return registry.Get(base::MetricKind::kCounter, name, help);
  }

  base::MetricRegistry& registry;
  base::LedgerRow& row;
  base::Metric& segments = Counter("weft_normalize_segments_total", "segments taken");
  base::Metric& duplicates =
      Counter("weft_normalize_duplicate_segments_total", "segments that brought nothing new");
  base::Metric& late =
      Counter("weft_normalize_waiting_segments_total", "segments that waited for earlier ones");
  base::Metric& lost_bytes =
      Counter("weft_normalize_lost_bytes_total", "stream bytes whose records never came");
  base::Metric& framing_lost =
      Counter("weft_normalize_framing_lost_total", "times a message end became unknown");
  base::Metric& truncated =
      Counter("weft_normalize_truncated_heads_total", "heads longer than the capture limit");
  base::Metric& opened =
      Counter("weft_normalize_exchanges_opened_total", "exchanges whose request head was parsed");
  base::Metric& finished =
      Counter("weft_normalize_exchanges_finished_total", "exchanges that are over");
  base::Metric& unanswered =
      Counter("weft_normalize_exchanges_unanswered_total", "exchanges without a response seen");
  base::Metric& orphans =
      Counter("weft_normalize_orphan_responses_total", "responses whose request was not seen");
  base::Metric& exports =
      Counter("weft_normalize_telemetry_exports_total", "exports of telemetry, left out");
  base::Metric& upgrades = Counter("weft_normalize_upgrades_total", "connections that left HTTP");
  base::Metric& smuggling =
      Counter("weft_normalize_ambiguous_lengths_total", "messages with two kinds of length");
  base::Metric& pipelines_evicted =
      Counter("weft_normalize_pipelines_evicted_total",
              "HTTP/1 connections whose waiting requests were finished for want of room");
  base::Metric& waiting_bytes =
      registry.Get(base::MetricKind::kGauge, "weft_normalize_http1_waiting_bytes",
                   "bytes of waiting HTTP/1 requests and of heads in pieces");
  base::Metric& streams_evicted =
      Counter("weft_normalize_streams_evicted_total", "HTTP/2 streams finished for want of room");
  base::Metric& tables_evicted = Counter("weft_normalize_header_tables_evicted_total",
                                         "HTTP/2 header tables forgotten for want of room");
  base::Metric& unknown_fields = Counter("weft_normalize_unknown_header_fields_total",
                                         "HTTP/2 header fields whose table entry was never seen");
  base::Metric& calls = Counter("weft_normalize_grpc_calls_total", "exchanges that were gRPC");
  base::Metric& streams =
      registry.Get(base::MetricKind::kGauge, "weft_normalize_streams", "open HTTP/2 streams");
  base::Metric& table_bytes = registry.Get(base::MetricKind::kGauge, "weft_normalize_http2_bytes",
                                           "bytes of HTTP/2 connections' state");
  base::Metric& evicted =
      Counter("weft_normalize_connections_evicted_total", "connections forgotten for want of room");
  base::Metric& connections = registry.Get(base::MetricKind::kGauge, "weft_normalize_connections",
                                           "connections in the table");
  uint64_t out_exchanges = 0;  // finished spans in the batch that is being filled
};

Normalizer::Normalizer(Options options, Deps deps)
    : options_(std::move(options)),
      deps_(std::move(deps)),
      shared_(std::make_unique<Shared>(options_, deps_)),
      meters_(std::make_unique<Meters>(deps_)) {}

Normalizer::~Normalizer() = default;

model::PushResult Normalizer::Push(model::SegmentBatch&& batch) {
  if (!Flush()) return model::PushResult::kBusy;
  shared_->unix_offset_ns = deps_.clock.UnixOffsetNs();
  last_push_ns_ = deps_.clock.MonotonicNs();
  for (const model::Segment& segment : batch.items) {
    const bool is_end = segment.kind != model::SegmentKind::kData;
    // The end of a connection that is not in the table has nothing to end.
    if (is_end && !connections_.contains(segment.connection->id)) continue;
    Connection& connection = Find(segment.connection);
    connection.OnSegment(segment);
    if (connection.needs_watch()) Watch(&connection);
    if (shared_->out.items.size() >= kSpansPerBatch) {
      CountPass();
      Flush();
    }
  }
  shared_->counts.segments += batch.items.size();
  EndPass();
  return model::PushResult::kTaken;
}

void Normalizer::Tick() {
  if (deps_.clock.MonotonicNs() - last_push_ns_ < kDrainPeriodNs) return;
  Flush();
  EndPass();
}

void Normalizer::Drain() {
  for (Connection* c = oldest_; c != nullptr; c = c->newer) c->Abandon(Outcome::kUnobserved);
  while (oldest_ != nullptr) Remove(oldest_);
  CountPass();
  Flush();
}

Connection& Normalizer::Find(const std::shared_ptr<const model::Connection>& identity) {
  auto found = connections_.find(identity->id);
  if (found != connections_.end()) {
    Connection* known = found->second.get();
    if (&known->identity() == identity.get() || known->identity().birth_ns == identity->birth_ns) {
      Touch(known);
      return *known;
    }
    known->Abandon(
        Outcome::kCutShort);  // the cookie was used again: the end of the old socket was not seen
    Remove(known);
  }
  if (connections_.size() >= static_cast<size_t>(options_.max_connections)) {
    meters_->evicted.Add(1);
    oldest_->Abandon(Outcome::kUnobserved);
    Remove(oldest_);
  }
  auto made = std::make_unique<Connection>(*shared_, identity);
  Connection* connection = made.get();
  connections_.emplace(identity->id, std::move(made));
  connection->older = newest_;
  if (newest_ != nullptr) newest_->newer = connection;
  newest_ = connection;
  if (oldest_ == nullptr) oldest_ = connection;
  return *connection;
}

void Normalizer::Touch(Connection* c) {
  if (c == newest_) return;
  c->newer->older = c->older;
  if (c->older != nullptr) c->older->newer = c->newer;
  if (oldest_ == c) oldest_ = c->newer;
  c->older = newest_;
  c->newer = nullptr;
  newest_->newer = c;
  newest_ = c;
}

void Normalizer::Remove(Connection* c) {
  if (c->is_watched) std::erase(watched_, c);
  if (c->newer != nullptr) c->newer->older = c->older;
  if (c->older != nullptr) c->older->newer = c->newer;
  if (newest_ == c) newest_ = c->older;
  if (oldest_ == c) oldest_ = c->newer;
  connections_.erase(c->identity().id);
}

void Normalizer::Watch(Connection* connection) {
  if (std::exchange(connection->is_watched, true)) return;
  watched_.push_back(connection);
}

void Normalizer::EndPass() {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  std::vector<Connection*> closed;
  std::erase_if(watched_, [&](Connection* connection) {
    connection->EndPass(now_ns);
    if (connection->is_closed()) closed.push_back(connection);
    connection->is_watched = !connection->is_closed() && connection->needs_watch();
    return !connection->is_watched;
  });
  for (Connection* connection : closed) Remove(connection);
  ++shared_->pass;
  CountPass();
  Flush();
}

void Normalizer::CountPass() {
  Counts& c = shared_->counts;
  Meters& m = *meters_;
  const uint64_t rejected = c.rejected_gap + c.rejected_garbage + c.rejected_overflow;
  m.row.In(c.opened + rejected);
  if (c.rejected_gap != 0) m.row.Lose(base::Loss::kRejected, "lost_bytes_in_head", c.rejected_gap);
  if (c.rejected_garbage != 0)
    m.row.Lose(base::Loss::kRejected, "bad_request_head", c.rejected_garbage);
  if (c.rejected_overflow != 0)
    m.row.Lose(base::Loss::kEvicted, "pipeline_full", c.rejected_overflow);
  m.row.Held(static_cast<int64_t>(c.opened));
  m.out_exchanges += c.finished;
  m.segments.Add(c.segments);
  m.duplicates.Add(c.duplicate_segments);
  m.late.Add(c.late_segments);
  m.lost_bytes.Add(c.lost_bytes);
  m.framing_lost.Add(c.framing_lost);
  m.truncated.Add(c.heads_truncated);
  m.opened.Add(c.opened);
  m.finished.Add(c.finished);
  m.unanswered.Add(c.unanswered);
  m.orphans.Add(c.orphan_responses);
  m.exports.Add(c.telemetry_exports);
  m.upgrades.Add(c.upgrades);
  m.smuggling.Add(c.smuggling_suspects);
  m.pipelines_evicted.Add(c.pipelines_evicted);
  m.waiting_bytes.Set(static_cast<int64_t>(shared_->http1.bytes));
  m.streams_evicted.Add(c.streams_evicted);
  m.tables_evicted.Add(c.tables_evicted);
  m.unknown_fields.Add(c.unknown_fields);
  m.calls.Add(c.calls);
  m.streams.Set(static_cast<int64_t>(shared_->http2.streams.size()));
  m.table_bytes.Set(static_cast<int64_t>(shared_->http2.bytes));
  m.connections.Set(static_cast<int64_t>(connections_.size()));
  c = Counts{};
}

// False when the stage behind is busy; the spans stay here and are offered again.
bool Normalizer::Flush() {
  if (shared_->out.items.empty()) return true;
  if (deps_.out.Push(std::move(shared_->out)) != model::PushResult::kTaken) return false;
  shared_->out.items.clear();
  meters_->row.Out(meters_->out_exchanges);
  meters_->row.Held(-static_cast<int64_t>(meters_->out_exchanges));
  meters_->out_exchanges = 0;
  return true;
}

}  // namespace weft::normalize
