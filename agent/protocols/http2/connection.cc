#include "protocols/http2/connection.h"

#include <array>
#include <vector>

#include "protocols/http2/side_reader.h"
#include "protocols/http2/stream_table.h"

namespace weft::protocols::http2 {
namespace {

constexpr std::string_view kGrpcContentType = "application/grpc";
constexpr std::string_view kGrpcWebText = "application/grpc-web-text";  // base64: no prefixes

size_t At(Side side) { return static_cast<size_t>(side); }

bool IsInformational(uint16_t status) { return status >= 100 && status < 200; }

}  // namespace

// What both sides' frames mean for their streams.
struct Connection::State final : SideSink {
  explicit State(Start start);

  SideReader& reader(Side side) { return side == Side::kClient ? client : server; }
  const SideReader& reader(Side side) const { return side == Side::kClient ? client : server; }

  bool OnBlock(Side side, const Block& block) override;
  MessageCounter* CounterOf(Side side, uint32_t stream) override;
  void OnFrame(const Event& event) override;

  void OnRequestBlock(const Block& block);
  void OnResponseBlock(const Block& block);
  bool OnPush(const Block& block);
  EventKind ResponseKind(const Block& block, StreamEntry* entry) const;
  StreamEntry* AddStream(uint32_t id, uint64_t offset);
  void Tell(EventKind kind, Side side, const Block& block, StreamEntry* entry);
  void EnableCounter(Side side, const Head& head, StreamEntry* entry);
  // The side says nothing more on the stream.
  void EndSide(Side side, StreamEntry* entry);
  model::ParseState ParseStateOf(Side side) const;

  Counters counters;
  SideReader client{Side::kClient, &counters}, server{Side::kServer, &counters};
  StreamTable streams;
  std::vector<uint32_t> oldest;
  Output* out = nullptr;
  uint32_t highest_request = 0, highest_push = 0;
  // Blocks of the side may have been missed: what a block is must be told by itself.
  std::array<bool, 2> may_have_missed{};
  std::array<uint32_t, 2> epoch{};  // grows with each loss
  bool is_rejected = false;
};

Connection::State::State(Start start) {
  if (start == Start::kJoined) {
    for (Side side : {Side::kClient, Side::kServer}) {
      reader(side).ForgetTable();
      reader(side).frames().Lose();
      may_have_missed[At(side)] = true;
    }
    return;
  }
  client.frames().ExpectPreface();
  client.ExpectSettings();
  server.ExpectSettings();
  if (start == Start::kUpgraded) {
    StreamEntry* entry = streams.Add(1);
    entry->request_seen = true;
    entry->ended[At(Side::kClient)] = true;
    highest_request = 1;
  }
}

bool Connection::State::OnBlock(Side side, const Block& block) {
  if (block.is_push) return OnPush(block);
  if (side == Side::kClient) {
    if (block.stream % 2 == 0) return false;
    OnRequestBlock(block);
  } else {
    OnResponseBlock(block);
  }
  return true;
}

void Connection::State::OnRequestBlock(const Block& block) {
  StreamEntry* entry = streams.Find(block.stream);
  if (entry != nullptr && entry->request_seen) {
    if (block.end_stream) Tell(EventKind::kTrailers, Side::kClient, block, entry);
    return;
  }
  // Over already: reset by the other side, or opened before the join.
  if (block.stream <= highest_request) return;
  if (may_have_missed[At(Side::kClient)] && block.end_stream && !block.shape.has_request_pseudo) {
    // The trailers of a stream whose request was missed, or a request of which nothing is readable.
    if (!block.shape.starts_regular) ++counters.uncertain_blocks;
    return;
  }
  if (entry == nullptr) entry = AddStream(block.stream, block.offset);
  entry->request_seen = true;
  highest_request = block.stream;
  Tell(EventKind::kRequest, Side::kClient, block, entry);
}

EventKind Connection::State::ResponseKind(const Block& block, StreamEntry* entry) const {
  const uint16_t status = block.head.status;
  if (IsInformational(status) && !block.end_stream) return EventKind::kInformational;
  if (status != 0 || block.shape.has_status) return EventKind::kResponse;
  if (entry->response_seen || !block.end_stream) {
    // A second head without an end: the first was a 1xx whose status was not readable.
    return block.end_stream ? EventKind::kTrailers : EventKind::kResponse;
  }
  // The first that is seen, with an end and without a status: trailers if the head was missed, or
  // else a response without a body.
  const bool may_be_trailers = may_have_missed[At(Side::kServer)];
  return may_be_trailers ? EventKind::kTrailers : EventKind::kResponse;
}

void Connection::State::OnResponseBlock(const Block& block) {
  StreamEntry* entry = streams.Find(block.stream);
  if (entry == nullptr) {
    const uint32_t highest = block.stream % 2 == 0 ? highest_push : highest_request;
    if (block.stream <= highest || block.stream % 2 == 0) return;
    // The request was not seen yet, or before the join.
    entry = AddStream(block.stream, block.offset);
  }
  const EventKind kind = ResponseKind(block, entry);
  if (kind == EventKind::kResponse) {
    // Only one that was not readable is replaced.
    if (entry->response_seen && !entry->response_is_unsure) return;
    entry->response_seen = true;
    entry->response_is_unsure = block.head.status == 0;
  }
  Tell(kind, Side::kServer, block, entry);
}

bool Connection::State::OnPush(const Block& block) {
  if (block.promised != kUnknownValue) {
    if (block.promised % 2 != 0 || block.promised <= highest_push) return false;
    highest_push = block.promised;
    StreamEntry* entry = AddStream(block.promised, block.offset);
    entry->request_seen = true;
    entry->ended[At(Side::kClient)] = true;
  }
  Event event{EventKind::kPush, Side::kServer};
  event.stream = block.stream;
  event.value = block.promised;
  event.head = static_cast<uint32_t>(out->heads.size());
  event.offset = block.offset;
  event.end = block.end;
  out->heads.push_back(block.head);
  out->events.push_back(event);
  return true;
}

StreamEntry* Connection::State::AddStream(uint32_t id, uint64_t offset) {
  if (streams.size() >= kMaxStreams) {
    streams.FindOldest(&oldest);
    for (uint32_t old : oldest) {
      streams.Remove(old);
      ++counters.dropped_streams;
      Event event{EventKind::kDropped, Side::kClient};
      event.stream = old;
      event.end_stream = true;
      event.offset = event.end = offset;
      out->events.push_back(event);
    }
  }
  return streams.Add(id);
}

void Connection::State::Tell(EventKind kind, Side side, const Block& block, StreamEntry* entry) {
  Event event{kind, side};
  event.stream = block.stream;
  event.end_stream = block.end_stream;
  event.head = static_cast<uint32_t>(out->heads.size());
  event.offset = block.offset;
  event.end = block.end;
  out->heads.push_back(block.head);
  const bool opens_body = kind == EventKind::kRequest || kind == EventKind::kResponse;
  if (opens_body) EnableCounter(side, block.head, entry);
  out->events.push_back(event);
  if (block.end_stream) EndSide(side, entry);
}

void Connection::State::EnableCounter(Side side, const Head& head, StreamEntry* entry) {
  if (!head.content_type.starts_with(kGrpcContentType) ||
      head.content_type.starts_with(kGrpcWebText)) {
    return;
  }
  entry->messages[At(side)].Enable();
  entry->epoch[At(side)] = epoch[At(side)];
}

MessageCounter* Connection::State::CounterOf(Side side, uint32_t stream) {
  StreamEntry* entry = streams.Find(stream);
  if (entry == nullptr) return nullptr;
  MessageCounter* counter = &entry->messages[At(side)];
  // A loss since then: bytes of this stream may be missing.
  if (entry->epoch[At(side)] != epoch[At(side)]) counter->Lose();
  return counter;
}

void Connection::State::OnFrame(const Event& event) {
  if (event.kind == EventKind::kDesync) {
    may_have_missed[At(event.side)] = true;
    ++epoch[At(event.side)];
    out->events.push_back(event);
    return;
  }
  if (event.kind == EventKind::kGoAway) {
    out->events.push_back(event);
    return;
  }
  const MessageCounter* counter = CounterOf(event.side, event.stream);
  if (counter == nullptr) return;  // over already
  if (event.kind == EventKind::kData && streams.Find(event.stream)->ended[At(event.side)]) return;
  out->events.push_back(event);
  if (event.kind == EventKind::kReset) {
    streams.Remove(event.stream);
    return;
  }
  out->events.back().are_messages_known = counter->is_known();
  out->events.back().messages = counter->is_known() ? counter->begun() : 0;
  if (event.end_stream) EndSide(event.side, streams.Find(event.stream));
}

void Connection::State::EndSide(Side side, StreamEntry* entry) {
  entry->ended[At(side)] = true;
  // The request of a stream that the server has ended was before the join, or will not be told.
  const bool is_orphan = !entry->request_seen && may_have_missed[At(Side::kClient)];
  if (entry->ended[At(Other(side))] || is_orphan) streams.Remove(entry->id);
}

model::ParseState Connection::State::ParseStateOf(Side side) const {
  if (reader(side).frames().is_lost()) return model::ParseState::kBad;
  return reader(side).frames().at_boundary() ? model::ParseState::kDone
                                             : model::ParseState::kNeedMore;
}

Connection::Connection(Start start) : state_(std::make_unique<State>(start)) {}
Connection::~Connection() = default;
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;

void Connection::StartAt(Side side, uint64_t offset) {
  state_->reader(side).frames().StartAt(offset);
}

model::ParseState Connection::Feed(Side side, base::ByteView bytes, Output* out) {
  state_->out = out;
  state_->reader(side).Feed(bytes, state_.get(), out);
  if (state_->reader(side).trouble() == Trouble::kNotHttp2) state_->is_rejected = true;
  return state_->ParseStateOf(side);
}

model::ParseState Connection::Gap(Side side, uint64_t n, Output* out) {
  state_->out = out;
  state_->reader(side).Gap(n, state_.get(), out);
  return state_->ParseStateOf(side);
}

bool Connection::Resync(Side side, base::ByteView next, uint64_t length, uint64_t offset) {
  if (!is_lost(side) || state_->is_rejected || !LooksLikeFrames(next, length)) return false;
  state_->reader(side).StartOver(offset, false);
  return true;
}

void Connection::LoseFraming(Side side, Output* out) {
  if (is_lost(side)) return;
  state_->out = out;
  state_->reader(side).Lose(Trouble::kGap, state_.get(), out);
}

uint64_t Connection::offset(Side side) const { return state_->reader(side).frames().offset(); }
bool Connection::is_lost(Side side) const { return state_->reader(side).frames().is_lost(); }
bool Connection::at_boundary(Side side) const {
  return state_->reader(side).frames().at_boundary();
}
bool Connection::is_confirmed() const {
  return state_->client.is_confirmed() && state_->server.is_confirmed();
}
bool Connection::is_table_known(Side side) const { return state_->reader(side).is_table_known(); }
uint64_t Connection::payload_left(Side side) const {
  return state_->reader(side).frames().payload_left();
}
Trouble Connection::trouble(Side side) const { return state_->reader(side).trouble(); }
const Counters& Connection::counters() const { return state_->counters; }
size_t Connection::open_streams() const { return state_->streams.size(); }
size_t Connection::bytes() const {
  return sizeof(State) + state_->client.bytes() + state_->server.bytes() + state_->streams.bytes() +
         state_->oldest.capacity() * sizeof(uint32_t);
}

}  // namespace weft::protocols::http2
