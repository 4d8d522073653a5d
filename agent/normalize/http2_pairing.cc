#include "normalize/http2_pairing.h"

#include <algorithm>
#include <span>
#include <utility>

#include "normalize/conventions/telemetry_export.h"
#include "normalize/conventions/trace_context.h"
#include "protocols/grpc/grpc.h"

namespace weft::normalize {
namespace {

namespace grpc = protocols::grpc;
using model::Direction;
using protocols::http2::Event;
using protocols::http2::EventKind;
using protocols::http2::Head;
using protocols::http2::kUnknownValue;
using protocols::http2::Side;
using protocols::http2::Start;
using protocols::http2::Trouble;

// Doubts: among lost bytes of the server may have been the end of the stream, among those of the
// client its reset. A frame that comes after them shows that it was not.
constexpr uint8_t kEndUnseen = 1, kResetUnseen = 2;
// A response waits so long for a request that comes late: the stream tells which is its own.
constexpr uint64_t kEarlyNs = 1'000'000'000;
// A stream whose end may have been among lost bytes is given up after this silence.
constexpr uint64_t kDoubtNs = 30'000'000'000;
// Pieces remembered for a frame that is not complete; a header block of usual size spans fewer.
constexpr size_t kMaxStamps = 16;
// Connections that are made to forget for one piece, so that nobody pays for all others.
constexpr int kMaxForgotten = 4;

constexpr uint32_t kNoError = 0;

size_t Index(Side side) { return static_cast<size_t>(side); }

std::string_view ErrorName(uint32_t code) {
  static constexpr std::string_view kNames[] = {"NO_ERROR",
                                                "PROTOCOL_ERROR",
                                                "INTERNAL_ERROR",
                                                "FLOW_CONTROL_ERROR",
                                                "SETTINGS_TIMEOUT",
                                                "STREAM_CLOSED",
                                                "FRAME_SIZE_ERROR",
                                                "REFUSED_STREAM",
                                                "CANCEL",
                                                "COMPRESSION_ERROR",
                                                "CONNECT_ERROR",
                                                "ENHANCE_YOUR_CALM",
                                                "INADEQUATE_SECURITY",
                                                "HTTP_1_1_REQUIRED"};
  return code < std::size(kNames) ? kNames[code] : std::string_view("stream_reset");
}

}  // namespace

Http2Pairing::Http2Pairing(Shared& shared, const model::Connection& connection,
                           const Http2Start& start)
    : shared_(shared),
      connection_(connection),
      requests_(start.requests),
      is_tls_(start.is_tls),
      text_{connection.remote.AddressText(), connection.local.AddressText()},
      parser_(start.start) {
  parser_.StartAt(Side::kClient, start.request_offset);
  if (start.start == Start::kPreface && start.response_offset != 0) {
    // What the server said before the preface came has been given up.
    shared_.parsed2.clear();
    parser_.Gap(Side::kServer, start.response_offset, &shared_.parsed2);
  } else {
    parser_.StartAt(Side::kServer, start.response_offset);
  }
  age_ = shared_.http2.connections.insert(shared_.http2.connections.end(), this);
  CountMemory();
}

Http2Pairing::~Http2Pairing() {
  for (auto it = exchanges_.begin(); it != exchanges_.end();) it = Erase(it);
  shared_.http2.connections.erase(age_);
  shared_.http2.bytes -= bytes_;
}

void Http2Pairing::StartAt(Direction direction, uint64_t offset) {
  parser_.StartAt(SideOf(direction), offset);
}

void Http2Pairing::Adopt(Upgrade&& upgrade) {
  Exchange& exchange = Make(1);
  exchange.kind = upgrade.span ? Kind::kReal : Kind::kMuted;
  --early_;
  exchange.request_open = false;
  exchange.unix_offset_ns = upgrade.unix_offset_ns;
  if (!upgrade.span) return;
  exchange.span = std::move(*upgrade.span);
  exchange.request_bytes = exchange.span.request_bytes;
}

Side Http2Pairing::SideOf(Direction direction) const {
  return direction == requests_ ? Side::kClient : Side::kServer;
}

void Http2Pairing::OnPiece(Direction direction, const Piece& piece) {
  if (is_over_) return;
  shared_.http2.connections.splice(shared_.http2.connections.end(), shared_.http2.connections,
                                   age_);
  Feed(SideOf(direction), piece);
  if (parser_.trouble(Side::kClient) == Trouble::kNotHttp2 ||
      parser_.trouble(Side::kServer) == Trouble::kNotHttp2) {
    Abandon(Outcome::kUnobserved);
    is_over_ = true;
  }
  CountMemory();
}

void Http2Pairing::Feed(Side side, const Piece& piece) {
  protocols::http2::Output& out = shared_.parsed2;
  out.clear();
  const bool was_lost = parser_.is_lost(side);
  if (was_lost && !parser_.Resync(side, piece.captured, piece.length, piece.position)) {
    parser_.Gap(side, piece.length, &out);
    HandleEvents(side, piece);
    return;
  }
  parser_.Feed(side, piece.captured, &out);
  if (piece.captured.size() < piece.length) {
    parser_.Gap(side, piece.length - piece.captured.size(), &out);
  }
  HandleEvents(side, piece);
}

void Http2Pairing::HandleEvents(Side side, const Piece& piece) {
  uint64_t last_end = 0;
  for (const Event& event : shared_.parsed2.events) {
    Handle(event, piece);
    if (event.side == side) last_end = std::max(last_end, event.end);
  }
  KeepStamp(side, piece, last_end);
}

void Http2Pairing::Handle(const Event& event, const Piece& piece) {
  switch (event.kind) {
    case EventKind::kRequest:
      Open(event, piece);
      return;
    case EventKind::kResponse:
    case EventKind::kInformational:
    case EventKind::kData:
    case EventKind::kTrailers:
      if (event.side == Side::kClient) {
        OnClientFrame(event, piece.time_ns);
      } else {
        OnServerFrame(event, piece);
      }
      return;
    case EventKind::kReset:
      OnReset(event, piece.time_ns);
      return;
    case EventKind::kGoAway:
      OnGoAway(event);
      return;
    case EventKind::kDropped:
      OnDropped(event.stream);
      return;
    case EventKind::kDesync:
      OnDesync(event.side);
      return;
    case EventKind::kPush:
      return;  // nobody asked: there is no request on the wire
  }
}

Http2Pairing::Exchange& Http2Pairing::Make(uint32_t stream) {
  auto& streams = shared_.http2.streams;
  while (streams.size() >= static_cast<size_t>(shared_.options.max_streams)) {
    ++shared_.counts.streams_evicted;
    const Http2Bounds::Stream oldest = streams.front();
    oldest.pairing->EvictStream(oldest.id);
  }
  Exchange& exchange = exchanges_[stream];
  exchange.age = streams.insert(streams.end(), {this, stream});
  exchange.unix_offset_ns = shared_.unix_offset_ns;
  ++early_;
  return exchange;
}

Http2Pairing::Exchanges::iterator Http2Pairing::Erase(Exchanges::iterator it) {
  if (it->second.kind == Kind::kEarly) --early_;
  if (it->second.doubts != 0) --doubtful_;
  shared_.http2.streams.erase(it->second.age);
  return exchanges_.erase(it);
}

void Http2Pairing::Touch(Exchange& exchange, uint64_t time_ns) {
  auto& streams = shared_.http2.streams;
  streams.splice(streams.end(), streams, exchange.age);
  exchange.last_ns = std::max(exchange.last_ns, time_ns);
}

void Http2Pairing::Open(const Event& event, const Piece& piece) {
  auto it = exchanges_.find(event.stream);
  if (it != exchanges_.end() && it->second.kind != Kind::kEarly) return;
  Exchange& exchange = it != exchanges_.end() ? it->second : Make(event.stream);
  static constexpr Head kNothing;
  const bool has_head = event.head != protocols::http2::kNoHead;
  const Head& head = has_head ? shared_.parsed2.heads[event.head] : kNothing;
  exchange.kind = Kind::kReal;
  --early_;
  exchange.request_open = !event.end_stream;
  exchange.request_bytes = event.end - event.offset;
  Touch(exchange, piece.time_ns);
  // Until the server can be read again its answer goes unseen.
  if (parser_.is_lost(Side::kServer)) Doubt(exchange, kEndUnseen);
  if (head.is_cut) ++shared_.counts.heads_truncated;
  const std::string_view path = head.path.substr(0, head.path.find('?'));
  const uint16_t port =
      requests_ == Direction::kSend ? connection_.remote.port : connection_.local.port;
  const bool is_export = path.empty() ? IsProbableTelemetryExport(head.method, port)
                                      : IsTelemetryExport(head.method, head.content_type, path);
  if (is_export) {
    exchange.kind = Kind::kMuted;
    ++shared_.counts.telemetry_exports;
  } else {
    model::Span& span = exchange.span;
    const Stamp stamp = StampOf(Side::kClient, event.offset, piece);
    span.process = stamp.process;
    span.thread = stamp.thread;
    span.request_first_ns = stamp.time_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
    span.request_last_ns = piece.time_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
    span.stream_id = event.stream;
    if (!is_tls_) {
      span.request_sequence = stamp.sequence + static_cast<uint32_t>(event.offset - stamp.position);
    }
    Describe(head, &exchange);
    shared_.Open(span);
  }
  if (exchange.response_over) Finish(exchanges_.find(event.stream), Outcome::kAnswered);
}

void Http2Pairing::Describe(const Head& head, Exchange* exchange) {
  model::Span& span = exchange->span;
  span.role = requests_ == Direction::kReceive ? model::Role::kServer : model::Role::kClient;
  span.exchange_id = shared_.next_exchange_id++;
  span.client = span.role == model::Role::kServer ? connection_.remote : connection_.local;
  span.server = span.role == model::Role::kServer ? connection_.local : connection_.remote;
  span.netns = connection_.netns;
  span.is_tls = is_tls_;
  span.context = ReadWireContext(head.traceparent, head.traceparent_count,
                                 std::span(head.tracestate).first(head.tracestate_count));
  const std::string_view host = head.authority.empty() ? head.host : head.authority;
  const RequestFacts facts{head.method, host, head.user_agent, head.forwarded_for, "2", is_tls_};
  exchange->is_connect = head.method == "CONNECT";
  Target target;
  if (!head.path.empty()) target = SplitTarget(head.method, head.path);
  if (exchange->is_connect && head.protocol.empty()) target.authority = head.authority;
  if (target.scheme.empty()) target.scheme = head.scheme;
  if (grpc::KindOf(head.content_type) != grpc::Kind::kNone) {
    exchange->is_call = exchange->is_described = true;
    shared_.conventions.DescribeCall(facts, target, text_, &span);
    return;
  }
  exchange->may_be_call = head.content_type.empty();
  if (exchange->may_be_call) exchange->authority = host;
  shared_.conventions.DescribeRequest(facts, target, text_, &span);
}

// Only the response has shown that this is a call.
void Http2Pairing::DescribeLate(Exchange* exchange) {
  model::Span& span = exchange->span;
  span.attributes = {};
  const std::string path = span.target, method = span.method;
  Target target;
  target.path = path;
  const RequestFacts facts{method, exchange->authority, {}, {}, "2", is_tls_};
  shared_.conventions.DescribeCall(facts, target, text_, &span);
  exchange->is_described = true;
}

void Http2Pairing::OnClientFrame(const Event& event, uint64_t time_ns) {
  auto it = exchanges_.find(event.stream);
  if (it == exchanges_.end() || it->second.kind == Kind::kEarly) return;
  Exchange& exchange = it->second;
  Touch(exchange, time_ns);
  Trust(exchange, kResetUnseen);
  exchange.request_bytes += event.end - event.offset;
  exchange.span.request_last_ns = time_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
  if (event.kind == EventKind::kData) {
    exchange.request_messages.reset();
    if (event.are_messages_known) exchange.request_messages = event.messages;
  }
  if (event.end_stream) exchange.request_open = false;
}

void Http2Pairing::OnServerFrame(const Event& event, const Piece& piece) {
  auto it = exchanges_.find(event.stream);
  if (it == exchanges_.end()) {
    // Pushed streams, and the rest of what is over already.
    if (event.stream % 2 == 0 || event.kind != EventKind::kResponse) return;
    Make(event.stream);
    it = exchanges_.find(event.stream);
  }
  Exchange& exchange = it->second;
  Touch(exchange, piece.time_ns);
  Trust(exchange, kEndUnseen);
  exchange.response_bytes += event.end - event.offset;
  exchange.response_last_ns = piece.time_ns;
  if (event.kind == EventKind::kInformational) return;
  if (event.kind == EventKind::kResponse) OnResponseHead(event, piece, &exchange);
  if (event.kind == EventKind::kTrailers && event.head != protocols::http2::kNoHead) {
    ReadStatusFields(shared_.parsed2.heads[event.head], &exchange);
  }
  if (event.kind == EventKind::kData) {
    exchange.response_messages.reset();
    if (event.are_messages_known) exchange.response_messages = event.messages;
  }
  const bool is_tunnel = exchange.is_connect && exchange.status >= 200 && exchange.status < 300;
  if (!event.end_stream && !is_tunnel) return;
  if (exchange.kind == Kind::kEarly) {
    exchange.response_over = true;
  } else {
    Finish(it, Outcome::kAnswered);
  }
}

void Http2Pairing::OnResponseHead(const Event& event, const Piece& piece, Exchange* exchange) {
  // One that could not be read may have been a 1xx.
  if (!exchange->response_started || exchange->status == 0) {
    exchange->response_first_ns = StampOf(Side::kServer, event.offset, piece).time_ns;
  }
  exchange->response_started = true;
  if (event.head == protocols::http2::kNoHead) return;
  const Head& head = shared_.parsed2.heads[event.head];
  if (head.is_cut) ++shared_.counts.heads_truncated;
  if (head.status != 0) exchange->status = head.status;
  exchange->is_call |= grpc::KindOf(head.content_type) != grpc::Kind::kNone;
  ReadStatusFields(head, exchange);
}

void Http2Pairing::ReadStatusFields(const Head& head, Exchange* exchange) {
  const std::optional<uint32_t> status = grpc::ParseStatus(head.grpc_status);
  if (!status) return;
  exchange->grpc_status = status;
  exchange->is_call = true;
}

void Http2Pairing::OnReset(const Event& event, uint64_t time_ns) {
  auto it = exchanges_.find(event.stream);
  if (it == exchanges_.end()) return;
  Exchange& exchange = it->second;
  if (exchange.kind == Kind::kEarly) {
    exchange.response_over |= event.side == Side::kServer;
    return;
  }
  Touch(exchange, time_ns);
  exchange.span.cut_ns = time_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
  const bool is_server = requests_ == Direction::kReceive;
  // Whoever leaves does not make an error of the server.
  if (event.side == Side::kClient && is_server) {
    if (exchange.is_call && !exchange.grpc_status) {
      exchange.grpc_status = grpc::kCancelled;
    }
    Finish(it, Outcome::kUnobserved);
    return;
  }
  if (exchange.is_call && !exchange.grpc_status && event.value != kUnknownValue) {
    exchange.grpc_status =
        event.side == Side::kClient ? grpc::kCancelled : grpc::StatusFromReset(event.value);
  }
  Finish(it, Outcome::kCutShort, event.value == kNoError ? "stream_reset" : ErrorName(event.value));
}

// The server will not answer the streams above the one it names.
void Http2Pairing::OnGoAway(const Event& event) {
  if (event.side != Side::kServer || event.value == kUnknownValue) return;
  for (auto it = exchanges_.begin(); it != exchanges_.end();) {
    auto next = std::next(it);
    Exchange& exchange = it->second;
    if (it->first > event.value && exchange.kind != Kind::kEarly && !exchange.response_started) {
      if (exchange.is_call) exchange.grpc_status = grpc::kUnavailable;
      Finish(it, Outcome::kCutShort, "REFUSED_STREAM");
    }
    it = next;
  }
}

void Http2Pairing::OnDesync(Side side) {
  ++shared_.counts.framing_lost;
  for (auto& [id, exchange] : exchanges_) {
    if (side == Side::kClient) exchange.request_messages.reset();
    Doubt(exchange, side == Side::kClient ? kResetUnseen : kEndUnseen);
  }
}

void Http2Pairing::Doubt(Exchange& exchange, uint8_t doubt) {
  if (exchange.doubts == 0) ++doubtful_;
  exchange.doubts |= doubt;
}

void Http2Pairing::Trust(Exchange& exchange, uint8_t doubt) {
  if ((exchange.doubts & doubt) == 0) return;
  exchange.doubts = static_cast<uint8_t>(exchange.doubts & ~doubt);
  if (exchange.doubts == 0) --doubtful_;
}

void Http2Pairing::OnDropped(uint32_t stream) {
  auto it = exchanges_.find(stream);
  if (it == exchanges_.end()) {
    ++shared_.counts.rejected_overflow;
  } else if (it->second.kind == Kind::kEarly) {
    Erase(it);
  } else {
    Finish(it, Outcome::kUnobserved);
  }
}

void Http2Pairing::EvictStream(uint32_t id) {
  auto it = exchanges_.find(id);
  if (it != exchanges_.end()) Finish(it, Outcome::kUnobserved);
}

void Http2Pairing::Finish(Exchanges::iterator it, Outcome outcome, std::string_view cause) {
  Exchange& exchange = it->second;
  if (exchange.kind != Kind::kReal) {
    Erase(it);
    return;
  }
  model::Span& span = exchange.span;
  span.request_bytes = exchange.request_bytes;
  if (exchange.response_started) {
    const auto offset = static_cast<uint64_t>(exchange.unix_offset_ns);
    span.response_first_ns = std::max(exchange.response_first_ns + offset, span.request_first_ns);
    span.response_last_ns = std::max(exchange.response_last_ns + offset, span.response_first_ns);
    span.response_bytes = exchange.response_bytes;
    span.status_code = exchange.status;
  } else {
    ++shared_.counts.unanswered;
  }
  span.request_last_ns = std::max(span.request_last_ns, span.request_first_ns);
  if (exchange.is_call && exchange.may_be_call) {
    if (!exchange.is_described) DescribeLate(&exchange);
    ++shared_.counts.calls;
    span.request_messages = exchange.request_messages;
    span.response_messages = exchange.response_messages;
    std::optional<uint32_t> status = exchange.grpc_status;
    if (!status && exchange.status >= 300) status = grpc::StatusFromHttp(exchange.status);
    shared_.conventions.DescribeCallResult(
        status, outcome == Outcome::kCutShort ? cause : std::string_view{}, &span);
  } else {
    shared_.conventions.DescribeResult(outcome, cause, &span);
  }
  shared_.Finish(std::move(span));
  Erase(it);
}

void Http2Pairing::OnLost(Direction direction, uint64_t n, uint64_t time_ns) {
  if (is_over_) return;
  shared_.counts.lost_bytes += n;
  const Side side = SideOf(direction);
  Piece nothing;
  nothing.position = parser_.offset(side);
  nothing.length = n;
  nothing.time_ns = time_ns;
  shared_.parsed2.clear();
  parser_.Gap(side, n, &shared_.parsed2);
  HandleEvents(side, nothing);
}

void Http2Pairing::OnEnd(Direction direction, uint64_t time_ns) {
  // A client may close its half and still get its answers.
  if (is_over_ || direction == requests_) return;
  for (auto it = exchanges_.begin(); it != exchanges_.end();) {
    auto next = std::next(it);
    Exchange& exchange = it->second;
    if (exchange.doubts != 0) {
      Finish(it, Outcome::kUnobserved);
    } else {
      // Every client library reports a lost connection so.
      if (exchange.is_call && !exchange.grpc_status && requests_ == Direction::kSend) {
        exchange.grpc_status = grpc::kUnavailable;
      }
      exchange.span.cut_ns = time_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
      Finish(it, Outcome::kCutShort, kConnectionClosed);
    }
    it = next;
  }
}

void Http2Pairing::Abandon(Outcome outcome) {
  while (!exchanges_.empty()) Finish(exchanges_.begin(), outcome, kConnectionClosed);
}

void Http2Pairing::EndPass(uint64_t now_ns) {
  if (!needs_watch()) return;
  for (auto it = exchanges_.begin(); it != exchanges_.end();) {
    auto next = std::next(it);
    const Exchange& exchange = it->second;
    if (exchange.kind == Kind::kEarly && exchange.last_ns + kEarlyNs < now_ns) {
      ++shared_.counts.orphan_responses;
      Erase(it);
    } else if (exchange.doubts != 0 && exchange.last_ns + kDoubtNs < now_ns) {
      Finish(it, Outcome::kUnobserved);
    }
    it = next;
  }
}

Http2Pairing::Stamp Http2Pairing::StampOf(Side side, uint64_t offset, const Piece& piece) const {
  const std::vector<Stamp>& earlier = stamps_[Index(side)];
  if (offset < piece.position && !earlier.empty()) {
    for (const Stamp& stamp : earlier) {
      if (offset < stamp.end) return stamp;
    }
    return earlier.back();
  }
  return {piece.position, piece.end(),  piece.time_ns,
          piece.sequence, piece.thread, piece.process != nullptr ? *piece.process : nullptr};
}

// The frame that `piece` does not complete will be asked for.
void Http2Pairing::KeepStamp(Side side, const Piece& piece, uint64_t last_end) {
  std::vector<Stamp>& stamps = stamps_[Index(side)];
  if (parser_.is_lost(side) || parser_.at_boundary(side)) {
    stamps.clear();
    return;
  }
  std::erase_if(stamps, [&](const Stamp& stamp) { return stamp.end <= last_end; });
  if (stamps.size() >= kMaxStamps) stamps.erase(stamps.begin() + 1);
  stamps.push_back(StampOf(side, piece.position, piece));
}

void Http2Pairing::Forget() {
  Abandon(Outcome::kUnobserved);
  const uint64_t request = parser_.offset(Side::kClient), response = parser_.offset(Side::kServer);
  parser_ = protocols::http2::Connection(Start::kJoined);
  parser_.StartAt(Side::kClient, request);
  parser_.StartAt(Side::kServer, response);
  exchanges_ = {};
  stamps_ = {};
  unknown_fields_ = 0;
  ++shared_.counts.tables_evicted;
  auto& connections = shared_.http2.connections;
  connections.splice(connections.end(), connections, age_);
}

void Http2Pairing::CountMemory() {
  const auto recount = [](Http2Pairing& pairing) {
    const size_t bytes = sizeof(Http2Pairing) + pairing.parser_.bytes();
    pairing.shared_.http2.bytes += bytes - pairing.bytes_;
    pairing.bytes_ = bytes;
  };
  recount(*this);
  const uint64_t unknown = parser_.counters().unknown_fields;
  shared_.counts.unknown_fields += unknown - std::min(unknown, unknown_fields_);
  unknown_fields_ = unknown;
  const auto limit = static_cast<size_t>(shared_.options.http2_table_bytes);
  for (int i = 0; i < kMaxForgotten && shared_.http2.bytes > limit; ++i) {
    Http2Pairing& oldest = *shared_.http2.connections.front();
    oldest.Forget();
    recount(oldest);
  }
}

}  // namespace weft::normalize
