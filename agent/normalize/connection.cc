#include "normalize/connection.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "normalize/http2_pairing.h"
#include "normalize/http2_role.h"
#include "normalize/pairing.h"
#include "protocols/http1/head.h"
#include "protocols/http2/connection.h"

namespace weft::normalize {
namespace {

using model::Direction;
using protocols::http1::IsPlausibleBoundary;
using protocols::http1::IsPlausiblePrefix;
using protocols::http1::MessageKind;

// The time of a call is when it returned: a response may seem this much older than its request.
constexpr uint64_t kTimeSlackNs = 200'000;

// Of a client's preface; fewer bytes may begin an HTTP/1 request.
constexpr size_t kPrefaceProof = 4;

}  // namespace

void Connection::OnSegment(const model::Segment& segment) {
  switch (segment.kind) {
    case model::SegmentKind::kData:
      OnData(segment);
      return;
    case model::SegmentKind::kEnd: {
      Stream& own = stream(segment.direction);
      endings_[static_cast<size_t>(segment.direction)] = {true, segment.time_ns, shared_.pass};
      // In order and complete: no need to wait for late segments.
      if (own.started() && !own.has_held() && own.expected() == segment.position)
        End(segment.direction);
      return;
    }
    case model::SegmentKind::kClosed:
      closing_ = {true, segment.time_ns, shared_.pass};
      return;
  }
}

void Connection::OnData(const model::Segment& segment) {
  // Behind TLS only its plaintext counts.
  if (is_tls_ && !segment.is_tls) return;
  if (segment.is_tls && !is_tls_) StartTls();
  Stream& own = stream(segment.direction);
  if (is_tunnel_ || segment.length == 0) return;
  protocol_ = segment.protocol;
  if (!own.started()) {
    own.Start(identity_->joined_in_middle ? segment.position : 0);
    if (dialogue_ != nullptr) dialogue_->StartAt(segment.direction, own.expected());
  }
  Piece piece;
  piece.position = segment.position;
  piece.length = segment.length;
  piece.captured =
      segment.captured.first(std::min<uint64_t>(segment.captured.size(), segment.length));
  piece.time_ns = segment.time_ns;
  piece.sequence = segment.sequence;
  piece.thread = segment.thread;
  piece.process = &segment.process;
  if (!own.Clip(&piece)) {
    ++shared_.counts.duplicate_segments;
    return;
  }
  if (own.has_held() || piece.position > own.expected() || MustWait(segment.direction, piece)) {
    ++shared_.counts.late_segments;
    own.Hold(piece, shared_.pass);
    while (own.is_full()) ForceFirst(segment.direction);
    DeliverReady();
    return;
  }
  ReleaseResponsesBefore(segment.direction, piece);
  Deliver(segment.direction, piece);
  DeliverReady();
}

void Connection::StartTls() {
  is_tls_ = true;
  ForceUntil(UINT64_MAX);
  if (dialogue_ != nullptr) dialogue_->Abandon(Outcome::kUnobserved);
  dialogue_.reset();
  streams_ = {};
  is_tunnel_ = false;
}

bool Connection::MayCarryRequests(Direction direction) const {
  return dialogue_ == nullptr || direction == dialogue_->requests();
}

// Two things make a piece wait though it is next in its direction: older bytes of the other
// direction are missing, or it is a response whose request has not been seen (the rings of two CPUs
// raced).
bool Connection::MustWait(Direction direction, const Piece& piece) const {
  const Stream& other = stream(Opposite(direction));
  if (other.has_hole() && other.first_held().time_ns < piece.time_ns) return true;
  if (dialogue_ != nullptr)
    return direction != dialogue_->requests() && dialogue_->ExpectsRequestFirst();
  // A server may send its SETTINGS before the preface has come.
  if (protocol_ == model::WireProtocol::kHttp2)
    return !identity_->joined_in_middle && !protocols::http2::IsPreface(piece.captured);
  const std::string_view bytes = base::AsText(piece.captured);
  // One byte says too little: "H" may begin a HEAD request.
  return bytes.size() > 1 && IsPlausiblePrefix(MessageKind::kResponse, bytes);
}

// Responses that wait for a request, and are older than this one, wait in vain, if a request may
// have gone unseen. Otherwise only the records came in the wrong order: the answer was read before
// the call that sent the request had returned.
void Connection::ReleaseResponsesBefore(Direction direction, const Piece& piece) {
  if (!MayCarryRequests(direction)) return;
  if (dialogue_ != nullptr && dialogue_->is_certain()) return;
  Stream& other = stream(Opposite(direction));
  while (other.has_held() && !other.has_hole() &&
         other.first_held().time_ns + kTimeSlackNs < piece.time_ns) {
    ForceFirst(Opposite(direction));
  }
}

void Connection::DeliverReady() {
  if (!streams_[0].has_held() && !streams_[1].has_held()) return;
  while (true) {
    const bool can_send = IsReady(Direction::kSend), can_receive = IsReady(Direction::kReceive);
    if (!can_send && !can_receive) return;
    bool is_send = can_send;
    if (can_send && can_receive) {
      is_send = stream(Direction::kSend).first_held().time_ns <
                stream(Direction::kReceive).first_held().time_ns;
    }
    const Direction direction = is_send ? Direction::kSend : Direction::kReceive;
    ReleaseResponsesBefore(direction, stream(direction).first_held());
    ForceFirst(direction);
  }
}

bool Connection::IsReady(Direction direction) const {
  const Stream& own = stream(direction);
  return own.has_held() && !own.has_hole() && !MustWait(direction, own.first_held());
}

void Connection::ForceFirst(Direction direction) {
  Stream& own = stream(direction);
  Stream::Held held = own.TakeFirst();
  held.piece.process = &held.process;
  if (!own.Clip(&held.piece)) {
    ++shared_.counts.duplicate_segments;
    return;
  }
  if (held.piece.position > own.expected()) {
    if (dialogue_ != nullptr) {
      dialogue_->OnLost(direction, held.piece.position - own.expected(), held.piece.time_ns);
    }
    own.AdvanceTo(held.piece.position);
  }
  Deliver(direction, held.piece);
}

void Connection::Deliver(Direction direction, const Piece& piece) {
  stream(direction).AdvanceTo(piece.end());
  if (is_tunnel_ || (dialogue_ == nullptr && !ChooseRole(direction, piece))) return;
  dialogue_->OnPiece(direction, piece);
  if (!dialogue_->is_plausible()) dialogue_.reset();
  if (dialogue_ != nullptr && dialogue_->is_tunnel()) LeaveProtocol(direction, piece);
}

void Connection::LeaveProtocol(Direction direction, Piece piece) {
  std::optional<Upgrade> upgrade = dialogue_->TakeUpgrade();
  const Direction requests = dialogue_->requests();
  dialogue_.reset();
  if (!upgrade) {
    is_tunnel_ = true;
    return;
  }
  const Http2Start start{protocols::http2::Start::kUpgraded, requests, stream(requests).expected(),
                         upgrade->response_offset, is_tls_};
  auto http2 = std::make_unique<Http2Pairing>(shared_, *identity_, start);
  const uint64_t end = upgrade->response_offset;
  http2->Adopt(*std::move(upgrade));
  protocol_ = model::WireProtocol::kHttp2;
  if (end < piece.end()) {
    piece.CutFront(end - piece.position);
    http2->OnPiece(direction, piece);
  }
  dialogue_ = std::move(http2);
}

bool Connection::ChooseRole(Direction direction, const Piece& piece) {
  const std::string_view bytes = base::AsText(piece.captured);
  if (bytes.empty()) return false;
  if (IsHttp2(piece)) return ChooseHttp2Role(direction, piece);
  // The first bytes of a connection may be a part of a start line that only its rest will show to
  // be one.
  const bool is_first = piece.position == 0 && !identity_->joined_in_middle;
  const bool is_short = is_first && bytes.find('\n') == std::string_view::npos;
  if (is_short ? !IsPlausiblePrefix(MessageKind::kRequest, bytes)
               : !IsPlausibleBoundary(
                     MessageKind::kRequest,
                     bytes.substr(std::min(bytes.find_first_not_of("\r\n"), bytes.size())))) {
    return false;
  }
  dialogue_ = std::make_unique<Pairing>(shared_, *identity_, direction, piece.position,
                                        stream(Opposite(direction)).expected(), is_tls_);
  return true;
}

bool Connection::IsHttp2(const Piece& piece) const {
  return protocol_ == model::WireProtocol::kHttp2 ||
         (piece.captured.size() >= kPrefaceProof && protocols::http2::IsPreface(piece.captured));
}

bool Connection::ChooseHttp2Role(Direction direction, const Piece& piece) {
  using protocols::http2::Side;
  const bool has_preface = protocols::http2::IsPreface(piece.captured);
  std::optional<Side> side;
  if (has_preface) {
    side = Side::kClient;
  } else {
    side = WhoSpeaks(piece.captured, piece.length);
  }
  if (!side) return false;
  const Direction requests = *side == Side::kClient ? direction : Opposite(direction);
  const Stream& other = stream(Opposite(requests));
  const bool speaks_requests = requests == direction;
  const Http2Start start{
      has_preface ? protocols::http2::Start::kPreface : protocols::http2::Start::kJoined, requests,
      speaks_requests ? piece.position : stream(requests).expected(),
      speaks_requests ? other.expected() : piece.position, is_tls_};
  dialogue_ = std::make_unique<Http2Pairing>(shared_, *identity_, start);
  return true;
}

void Connection::ForceUntil(uint64_t pass) {
  while (true) {
    const Direction* oldest = nullptr;
    static constexpr Direction kBoth[] = {Direction::kReceive, Direction::kSend};
    for (const Direction& direction : kBoth) {
      const Stream& own = stream(direction);
      if (!own.has_held() || own.first_held_pass() >= pass) continue;
      if (oldest == nullptr || own.first_held().time_ns < stream(*oldest).first_held().time_ns)
        oldest = &direction;
    }
    if (oldest == nullptr) return;
    ForceFirst(*oldest);
    DeliverReady();
  }
}

void Connection::End(Direction direction) {
  Ending& ending = endings_[static_cast<size_t>(direction)];
  ending.is_due = false;
  if (dialogue_ != nullptr) dialogue_->OnEnd(direction, ending.time_ns);
}

void Connection::Close() {
  ForceUntil(UINT64_MAX);
  for (Direction direction : {Direction::kReceive, Direction::kSend}) {
    endings_[static_cast<size_t>(direction)].time_ns = closing_.time_ns;
    End(direction);
  }
  closing_.is_due = false;
  is_closed_ = true;
}

void Connection::EndPass(uint64_t now_ns) {
  ForceUntil(shared_.pass);
  for (Direction direction : {Direction::kReceive, Direction::kSend}) {
    Ending& ending = endings_[static_cast<size_t>(direction)];
    if (ending.is_due && ending.pass < shared_.pass && !stream(direction).has_held())
      End(direction);
  }
  if (closing_.is_due && closing_.pass < shared_.pass) Close();
  if (dialogue_ != nullptr) dialogue_->EndPass(now_ns);
}

bool Connection::needs_watch() const {
  const bool has_held = streams_[0].has_held() || streams_[1].has_held();
  const bool has_ending = endings_[0].is_due || endings_[1].is_due || closing_.is_due;
  return has_held || has_ending || (dialogue_ != nullptr && dialogue_->needs_watch());
}

void Connection::Abandon(Outcome outcome) {
  ForceUntil(UINT64_MAX);
  // An end that has come, and waited for what might still come before it, is an end all the same.
  if (closing_.is_due) Close();
  for (Direction direction : {Direction::kReceive, Direction::kSend}) {
    if (endings_[static_cast<size_t>(direction)].is_due) End(direction);
  }
  if (dialogue_ != nullptr) dialogue_->Abandon(outcome);
}

}  // namespace weft::normalize
