#include "normalize/pairing.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "normalize/conventions/telemetry_export.h"
#include "normalize/conventions/trace_context.h"
#include "protocols/grpc/grpc.h"

namespace weft::normalize {
namespace {

namespace grpc = protocols::grpc;
using model::Direction;
using protocols::http1::BodyKind;
using protocols::http1::Event;
using protocols::http1::EventKind;
using protocols::http1::GapCause;
using protocols::http1::Head;
using protocols::http1::MessageKind;
using protocols::http1::RequestClass;
using protocols::http1::Trouble;

// The queue of exchanges is compacted once this many were answered while others wait.
constexpr size_t kCompactAfter = 16;
// A queue that was longer gives its memory back.
constexpr size_t kMaxKept = 32;
// What a request that waits behind another takes: its Exchange with the texts of its Span.
constexpr size_t kWaitingBytes = 1024;

RequestClass ClassOf(std::string_view method) {
  if (method == "HEAD") return RequestClass::kHead;
  return method == "CONNECT" ? RequestClass::kConnect : RequestClass::kOther;
}

}  // namespace

Pairing::Pairing(Shared& shared, const model::Connection& connection, Direction requests,
                 uint64_t request_offset, uint64_t response_offset, bool is_tls)
    : shared_(shared),
      connection_(connection),
      requests_(requests),
      text_{connection.remote.AddressText(), connection.local.AddressText()},
      request_(MessageKind::kRequest, request_offset),
      response_(MessageKind::kResponse, response_offset),
      // What the server said before may have been the middle of something.
      is_doubtful_(response_offset != 0),
      is_tls_(is_tls) {}

Pairing::~Pairing() { Recount(0); }

void Pairing::OnPiece(Direction direction, const Piece& piece) {
  if (is_tunnel_) return;
  if (direction == requests_) {
    OnRequestPiece(piece);
  } else {
    OnResponsePiece(piece);
  }
  last_ns_ = std::max(last_ns_, piece.time_ns);
  CountMemory();
}

void Pairing::OnRequestPiece(const Piece& piece) {
  if (request_.is_lost()) {
    if (RequestMayResume(piece.time_ns) && request_.Resync(piece.captured, piece.position)) {
      RestartPairing();
    } else {
      request_.Gap(piece.length, GapCause::kTruncated, &shared_.parsed);
      NoteRequestProgress(piece.end(), piece.time_ns);
      server_spoke_last_ = false;
      return;
    }
  } else if (std::exchange(may_skip_body_, false) && request_.body_untouched()) {
    // Refused before the body: the client may go on with its next request instead (T30).
    request_.Resync(piece.captured, piece.position);
  }
  shared_.parsed.clear();
  request_.Feed(piece.captured, &shared_.parsed);
  RequestEvents(piece);
  if (piece.captured.size() < piece.length) {
    shared_.parsed.clear();
    request_.Gap(piece.length - piece.captured.size(), GapCause::kTruncated, &shared_.parsed);
    RequestEvents(piece);
  }
  NoteRequestProgress(piece.end(), piece.time_ns);
  if (request_.in_head() && request_.head_offset() >= piece.position) {
    request_head_ = {piece.time_ns, piece.sequence + static_cast<uint32_t>(request_.head_offset() -
                                                                           piece.position)};
  }
  server_spoke_last_ = false;
  if (request_.is_lost()) OnRequestLost();
  TellEnd(requests_, request_, piece, &told_request_end_);
}

void Pairing::RequestEvents(const Piece& piece) {
  for (const Event& event : shared_.parsed.events) {
    if (event.kind == EventKind::kHead) {
      Open(shared_.parsed.heads[event.head], event.offset, piece);
    } else {
      NoteRequestProgress(event.offset, piece.time_ns);
      request_open_ = false;
    }
  }
}

void Pairing::Open(const Head& head, uint64_t offset, const Piece& piece) {
  has_seen_head_ = true;
  request_open_ = false;
  orphan_spoke_last_ = false;
  if (head.is_truncated) ++shared_.counts.heads_truncated;
  if (head.has_both_lengths) ++shared_.counts.smuggling_suspects;
  if (pending() != 0 && front().kind == Kind::kUnknown) {
    if (!IsQuiet(piece.time_ns)) {
      ++shared_.counts.rejected_gap;
      return;
    }
    RestartPairing();
  }
  // Two requests in one call: this client does not wait for responses. Otherwise, where bytes went
  // unread, a request that follows an unanswered one means that the response was among them.
  if (pending() != 0 && piece.position == last_open_position_) is_pipelining_ = true;
  last_open_position_ = piece.position;
  if (is_doubtful_ && !is_pipelining_ && pending() != 0 && !front().response_started) {
    Abandon(Outcome::kUnobserved);
    response_.ForgetExpected();
  }
  // The client goes on: the response whose end could not be seen is over.
  if (has_open_end()) Finish(Outcome::kAnswered);
  // With nothing to answer, what the server is in the middle of belongs to a request that weft
  // never saw.
  if (pending() == 0 && !response_.at_boundary() && !response_.is_lost()) {
    response_.LoseFraming();
    is_doubtful_ = true;
  }
  if (pending() >= kMaxPending || !response_.ExpectResponseTo(ClassOf(head.method))) {
    ++shared_.counts.rejected_overflow;
    request_.LoseFraming();
    PushUnknown();
    return;
  }
  const Target target = SplitTarget(head.method, head.target);
  Exchange& exchange = exchanges_.emplace_back();
  exchange.request_begin = offset;
  request_open_ = true;
  if (IsTelemetryExport(head.method, head.content_type, target.path)) {
    exchange.kind = Kind::kMuted;
    ++shared_.counts.telemetry_exports;
    return;
  }
  exchange.unix_offset_ns = shared_.unix_offset_ns;
  FillSpan(head, target, offset, piece, &exchange.span);
  shared_.Open(exchange.span);
}

void Pairing::FillSpan(const Head& head, const Target& target, uint64_t offset, const Piece& piece,
                       model::Span* span) {
  const bool begins_here = offset >= piece.position;
  const uint64_t first_ns = begins_here ? piece.time_ns : request_head_.time_ns;
  span->role = requests_ == Direction::kReceive ? model::Role::kServer : model::Role::kClient;
  span->exchange_id = shared_.next_exchange_id++;
  if (piece.process != nullptr) span->process = *piece.process;
  span->thread = piece.thread;
  span->is_tls = is_tls_;
  span->context = ReadWireContext(head.traceparent, head.traceparent_count,
                                  std::span(head.tracestate).first(head.tracestate_count));
  span->request_first_ns = first_ns + static_cast<uint64_t>(exchanges_.back().unix_offset_ns);
  span->client = span->role == model::Role::kServer ? connection_.remote : connection_.local;
  span->server = span->role == model::Role::kServer ? connection_.local : connection_.remote;
  span->netns = connection_.netns;
  span->request_sequence = begins_here
                               ? piece.sequence + static_cast<uint32_t>(offset - piece.position)
                               : request_head_.sequence;
  RequestFacts facts{head.method, head.host, head.user_agent, head.forwarded_for, {}, is_tls_};
  if (head.has_version) facts.version = head.minor_version == 0 ? "1.0" : "1.1";
  exchanges_.back().is_call = grpc::KindOf(head.content_type) != grpc::Kind::kNone;
  if (exchanges_.back().is_call) {
    shared_.conventions.DescribeCall(facts, target, text_, span);
  } else {
    shared_.conventions.DescribeRequest(facts, target, text_, span);
  }
}

// The open request reaches up to stream position `end`.
void Pairing::NoteRequestProgress(uint64_t end, uint64_t time_ns) {
  if (!request_open_) return;
  Exchange& exchange = exchanges_.back();
  exchange.span.request_last_ns = time_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
  exchange.span.request_bytes = end - exchange.request_begin;
}

void Pairing::OnRequestLost() {
  if (!has_seen_head_) return;
  is_doubtful_ = true;
  ++shared_.counts.framing_lost;
  // The end of a request that is known to exist is unknown: its response will tell.
  if (request_open_) return;
  if (request_.trouble() == Trouble::kGivenUp) return;  // counted by whoever gave it up
  if (request_.trouble() == Trouble::kGap) {
    ++shared_.counts.rejected_gap;
  } else {
    ++shared_.counts.rejected_garbage;
  }
  PushUnknown();
}

void Pairing::PushUnknown() {
  if (pending() != 0 && exchanges_.back().kind == Kind::kUnknown) return;
  exchanges_.emplace_back().kind = Kind::kUnknown;
}

// Can a request that begins now be answered by nothing but the next response? A client that waits
// for responses sends it after the server spoke; of one that does not, only silence tells.
bool Pairing::IsQuiet(uint64_t time_ns) const {
  const uint64_t quiet_ns = static_cast<uint64_t>(shared_.options.quiet_ms) * 1'000'000;
  return server_spoke_last_ && (!is_pipelining_ || time_ns >= last_ns_ + quiet_ns);
}

bool Pairing::RequestMayResume(uint64_t time_ns) const {
  if (pending() == 0) return true;
  return pending() == 1 && IsQuiet(time_ns) && (front().kind == Kind::kUnknown || has_open_end());
}

void Pairing::RestartPairing() {
  is_doubtful_ = true;
  Abandon(Outcome::kAnswered);
  response_.ForgetExpected();
  if (!response_.at_boundary() && !response_.is_lost()) response_.LoseFraming();
}

void Pairing::OnResponsePiece(const Piece& piece) {
  server_spoke_last_ = true;
  if (response_.is_lost()) {
    const bool may_begin = pending() != 1 || !front().response_started;
    if (!may_begin || !response_.Resync(piece.captured, piece.position)) {
      response_.Gap(piece.length, GapCause::kTruncated, &shared_.parsed);
      if (pending() != 0 && front().response_started) {
        front().response_end = piece.end();
        front().response_last_ns = piece.time_ns;
        return;
      }
      is_doubtful_ = true;
      OnResponseLost();  // the response may have begun in there
      return;
    }
    if (pending() != 0 && front().response_started) Finish(Outcome::kAnswered);
  }
  shared_.parsed.clear();
  model::ParseState state = response_.Feed(piece.captured, &shared_.parsed);
  ResponseEvents(piece);
  if (piece.captured.size() < piece.length) {
    shared_.parsed.clear();
    state =
        response_.Gap(piece.length - piece.captured.size(), GapCause::kTruncated, &shared_.parsed);
    ResponseEvents(piece);
  }
  if (pending() != 0 && front().response_started) {
    front().response_end = piece.end();
    front().response_last_ns = piece.time_ns;
  }
  if (response_.in_head() && response_.head_offset() >= piece.position)
    response_head_ = {piece.time_ns, 0};
  if (state == model::ParseState::kEndOfProtocol) {
    ++shared_.counts.upgrades;
    is_tunnel_ = true;
    Abandon(Outcome::kUnobserved);
    return;
  }
  if (response_.is_lost()) {
    ++shared_.counts.framing_lost;
    is_doubtful_ = true;
    OnResponseLost();
  }
  if (pending() > 1) TellEnd(Opposite(requests_), response_, piece, &told_response_end_);
}

void Pairing::ResponseEvents(const Piece& piece) {
  for (const Event& event : shared_.parsed.events) {
    if (event.kind == EventKind::kHead) {
      const Head& head = shared_.parsed.heads[event.head];
      response_is_interim_ = head.status < 200 && head.status != 101;
      if (!response_is_interim_) StartResponse(head, event.offset, piece);
    } else if (std::exchange(is_upgrading_, false)) {
      LeaveToHttp2(event.offset);
    } else if (!std::exchange(response_is_interim_, false) && pending() != 0 &&
               front().response_started) {
      front().response_end = event.offset;
      front().response_last_ns = piece.time_ns;
      if (pending() == 1 && !request_open_) is_doubtful_ = false;
      Finish(Outcome::kAnswered);
    }
  }
}

void Pairing::StartResponse(const Head& head, uint64_t offset, const Piece& piece) {
  if (head.is_truncated) ++shared_.counts.heads_truncated;
  if (pending() == 0) {
    ++shared_.counts.orphan_responses;
    orphan_spoke_last_ = true;
    // Its request may only be late, and would take the next response for its own.
    is_doubtful_ = true;
    if (is_pipelining_) PushUnknown();
    return;
  }
  if (front().kind == Kind::kUnknown) return;
  // Where HTTP/2 begins is only known behind a whole head.
  is_upgrading_ =
      head.status == 101 && head.upgrades_to_h2c && !head.is_truncated && pending() == 1;
  if (is_upgrading_) return;
  if (pending() > 1 && !is_doubtful_) is_pipelining_ = true;
  Exchange& exchange = front();
  const uint64_t first_ns = offset >= piece.position ? piece.time_ns : response_head_.time_ns;
  exchange.response_started = true;
  exchange.response_begin = exchange.response_end = offset;
  exchange.response_last_ns = piece.time_ns;
  exchange.response_body = head.body;
  exchange.span.response_first_ns = first_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
  exchange.span.status_code = head.status;
}

// The request is not answered yet: HTTP/2 will do that, as stream 1.
void Pairing::LeaveToHttp2(uint64_t response_offset) {
  Exchange& exchange = front();
  upgrade_ = Upgrade{response_offset, exchange.unix_offset_ns, std::nullopt};
  if (exchange.kind == Kind::kReal) upgrade_->span = std::move(exchange.span);
  PopFront();
}

// `cut_ns`: when an exchange that is cut short was over, if it is known.
void Pairing::Finish(Outcome outcome, uint64_t cut_ns) {
  Exchange& exchange = front();
  if (exchange.kind == Kind::kReal) {
    model::Span& span = exchange.span;
    if (exchange.response_started) {
      span.response_last_ns =
          exchange.response_last_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
      span.response_bytes = exchange.response_end - exchange.response_begin;
      span.response_first_ns = std::max(span.response_first_ns, span.request_first_ns);
      span.response_last_ns = std::max(span.response_last_ns, span.response_first_ns);
    } else {
      ++shared_.counts.unanswered;
    }
    span.request_last_ns =
        std::max(span.request_last_ns, span.request_first_ns);  // T20: times within one call race
    if (outcome == Outcome::kCutShort && cut_ns != 0) {
      span.cut_ns = cut_ns + static_cast<uint64_t>(exchange.unix_offset_ns);
    }
    DescribeResult(outcome, &exchange);
    shared_.Finish(std::move(span));
  }
  PopFront();
}

void Pairing::DescribeResult(Outcome outcome, Exchange* exchange) {
  model::Span* span = &exchange->span;
  const std::string_view cause =
      outcome == Outcome::kCutShort ? kConnectionClosed : std::string_view{};
  if (!exchange->is_call) {
    shared_.conventions.DescribeResult(outcome, kConnectionClosed, span);
    return;
  }
  // gRPC-Web's own status is in the body, which is not read.
  std::optional<uint32_t> status;
  if (exchange->response_started && span->status_code >= 300) {
    status = grpc::StatusFromHttp(span->status_code);
  }
  shared_.conventions.DescribeCallResult(status, cause, span);
}

void Pairing::PopFront() {
  if (pending() == 1 && request_open_) {
    request_open_ = false;
    may_skip_body_ = request_.body_untouched();
  }
  ++front_;
  if (front_ == exchanges_.size()) {
    exchanges_.clear();
    front_ = 0;
    if (exchanges_.capacity() > kMaxKept) exchanges_ = {};
  } else if (front_ >= kCompactAfter && front_ * 2 > exchanges_.size()) {
    exchanges_.erase(exchanges_.begin(), exchanges_.begin() + static_cast<ptrdiff_t>(front_));
    front_ = 0;
  }
}

// One open exchange and no head in pieces: that is every connection, and costs a comparison.
void Pairing::CountMemory() {
  const size_t waiting = pending() > 1 ? pending() - 1 : 0;
  const size_t bytes = waiting * kWaitingBytes + request_.bytes() + response_.bytes();
  if (bytes == 0 && bytes_ == 0) return;
  Recount(bytes);
  const auto limit = static_cast<size_t>(shared_.options.http1_waiting_bytes);
  while (shared_.http1.bytes > limit) shared_.http1.connections.front()->GiveUp();
}

void Pairing::Recount(size_t bytes) {
  auto& connections = shared_.http1.connections;
  if (bytes_ == 0 && bytes != 0) {
    age_ = connections.insert(connections.end(), this);
  } else if (bytes_ != 0 && bytes == 0) {
    connections.erase(age_);
  } else if (bytes != 0) {
    connections.splice(connections.end(), connections, age_);
  }
  shared_.http1.bytes += bytes - bytes_;
  bytes_ = bytes;
}

// Others need the memory: what waits is finished as it stands, and a head that is not complete is
// lost.
void Pairing::GiveUp() {
  const bool has_waiting = pending() > 1, is_request_cut = request_.in_head();
  const bool is_lossy = has_waiting || is_request_cut || response_.in_head();
  request_.ReleaseMemory();
  response_.ReleaseMemory();
  if (is_lossy) {
    ++shared_.counts.pipelines_evicted;
    is_doubtful_ = true;
    is_pipelining_ |= has_waiting;
    Abandon(Outcome::kUnobserved);
    response_.ForgetExpected();
    if (is_request_cut) ++shared_.counts.rejected_overflow;
    if (has_waiting || is_request_cut) PushUnknown();
  }
  Recount(0);
}

void Pairing::OnResponseLost() {
  if (pending() == 0 || has_open_end()) return;
  // Which of the pending requests was answered, and how, cannot be known any more.
  if (front().response_started) Finish(Outcome::kAnswered);
  Abandon(Outcome::kUnobserved);
  response_.ForgetExpected();
  if (is_pipelining_) PushUnknown();
}

void Pairing::OnLost(Direction direction, uint64_t n, uint64_t time_ns) {
  if (is_tunnel_) return;
  shared_.counts.lost_bytes += n;
  last_ns_ = std::max(last_ns_, time_ns);
  shared_.parsed.clear();
  Piece nothing;
  nothing.time_ns = time_ns;
  if (direction == requests_) {
    nothing.position = request_.offset();
    nothing.length = n;
    const bool was_lost = request_.is_lost();
    request_.Gap(n, GapCause::kLost, &shared_.parsed);
    RequestEvents(nothing);
    NoteRequestProgress(nothing.end(), time_ns);
    if (!was_lost && request_.is_lost()) OnRequestLost();
    if (!orphan_spoke_last_) server_spoke_last_ = false;
    return;
  }
  nothing.position = response_.offset();
  nothing.length = n;
  server_spoke_last_ = true;
  const bool was_lost = response_.is_lost();
  response_.Gap(n, GapCause::kLost, &shared_.parsed);
  ResponseEvents(nothing);
  if (!was_lost && response_.is_lost()) ++shared_.counts.framing_lost;
  if (!response_.is_lost()) return;
  is_doubtful_ = true;
  OnResponseLost();
}

Outcome Pairing::OutcomeOfEnd() const {
  const Exchange& exchange = front();
  if (!exchange.response_started) return Outcome::kCutShort;
  if (response_.is_lost()) return Outcome::kAnswered;
  // A client that leaves an endless stream is no error of the server.
  const bool is_client = requests_ == Direction::kSend;
  const bool is_short = exchange.response_body == BodyKind::kLength ||
                        (exchange.response_body == BodyKind::kChunked && is_client);
  return is_short ? Outcome::kCutShort : Outcome::kAnswered;
}

void Pairing::OnEnd(Direction direction, uint64_t time_ns) {
  if (is_tunnel_ || direction == requests_) return;
  shared_.parsed.clear();
  response_.End(&shared_.parsed);
  Piece nothing;
  // The response ended with its last byte, not with the FIN behind it.
  nothing.time_ns = pending() != 0 && front().response_started ? front().response_last_ns : time_ns;
  nothing.position = response_.offset();
  ResponseEvents(nothing);
  if (pending() != 0) Finish(OutcomeOfEnd(), time_ns);
  while (pending() != 0) Finish(Outcome::kCutShort, time_ns);
  response_.ForgetExpected();
}

void Pairing::Abandon(Outcome outcome) {
  while (pending() != 0) Finish(outcome);
}

void Pairing::EndPass(uint64_t now_ns) {
  const uint64_t quiet_ns = static_cast<uint64_t>(shared_.options.quiet_ms) * 1'000'000;
  if (now_ns <= quiet_ns || !has_open_end()) return;
  if (front().response_last_ns <= now_ns - quiet_ns) Finish(Outcome::kAnswered);
}

bool Pairing::ExpectsRequestFirst() const {
  return pending() == 0 && response_.at_boundary() && !request_.is_lost() && !is_tunnel_;
}

bool Pairing::has_open_end() const {
  return pending() == 1 && front().response_started && response_.is_lost();
}

void Pairing::TellEnd(Direction direction, const protocols::http1::MessageParser& parser,
                      const Piece& piece, uint64_t* told) {
  const uint64_t end = parser.known_end();
  if (end <= piece.end() || end == *told || piece.captured.size() == piece.length) return;
  if (!shared_.deps.set_message_end) return;
  *told = end;
  shared_.deps.set_message_end(connection_.id, direction, end);
}

}  // namespace weft::normalize
