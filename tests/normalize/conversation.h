// Test kit: a story on a connection ("the client sends …, the server sends …") as weft sees it from
// one end, and the spans that come out. Time is a FakeClock: every call moves it by a millisecond.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "normalize/normalizer.h"

namespace weft::normalize {

inline constexpr uint64_t kMillisecond = 1'000'000;

class SpanCollector final : public model::Sink<model::SpanBatch> {
 public:
  model::PushResult Push(model::SpanBatch&& batch) override {
    if (is_busy) return model::PushResult::kBusy;
    for (model::Span& span : batch.items) {
      auto& list = span.phase == model::SpanPhase::kOpened ? opened : finished;
      list.push_back(std::move(span));
    }
    model::SpanBatch taken = std::move(batch);
    return model::PushResult::kTaken;
  }
  bool is_busy = false;
  std::vector<model::Span> opened, finished;
};

inline std::string Text(const model::Span& span, std::string_view key) {
  for (size_t i = 0; i < span.attributes.size(); ++i) {
    if (span.attributes.key(i) != key) continue;
    auto value = span.attributes.value(i);
    if (auto* text = std::get_if<std::string_view>(&value)) return std::string(*text);
    if (auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
    return std::get<bool>(value) ? "true" : "false";
  }
  return "(none)";
}

// The agent's end: a Normalizer with everything around it.
class Agent {
 public:
  explicit Agent(Options options = {})
      : normalizer(std::move(options),
                   {clock, ledger, metrics, spans,
                    [this](model::ConnectionId, model::Direction d, uint64_t position) {
                      message_ends.push_back({d, position});
                    }}) {}
  // Whatever happens, the books balance and each opened exchange is finished at most once.
  ~Agent() {
    EXPECT_TRUE(ledger.Balanced()) << ledger.Text();
    normalizer.Drain();
    EXPECT_TRUE(ledger.Balanced()) << ledger.Text();
    EXPECT_EQ(spans.opened.size(), spans.finished.size());
  }

  void Push(std::vector<model::Segment> segments) {
    model::SegmentBatch batch;
    batch.items = std::move(segments);
    EXPECT_EQ(normalizer.Push(std::move(batch)), model::PushResult::kTaken);
  }
  // Time passes, and no record comes.
  void Tick() {
    clock.Advance(20 * kMillisecond);
    normalizer.Tick();
  }
  int64_t Metric(const std::string& name) {
    return metrics.Get(base::MetricKind::kCounter, name, "").value();
  }
  // "GET /a 200; POST /b -": the finished spans in order.
  std::string Finished() const { return List(spans.finished); }
  std::string Opened() const { return List(spans.opened); }

  base::FakeClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  SpanCollector spans;
  std::vector<std::pair<model::Direction, uint64_t>> message_ends;
  Normalizer normalizer;

 private:
  static std::string List(const std::vector<model::Span>& list) {
    std::string out;
    for (const model::Span& span : list) {
      if (!out.empty()) out += "; ";
      out += span.method + " " + span.target + " " +
             (span.status_code == 0 ? "-" : std::to_string(span.status_code));
    }
    return out;
  }
};

// One connection, seen from the server's or the client's process. Each call is pushed as a batch of
// its own, unless Hold() collects them.
class Conversation {
 public:
  static constexpr uint64_t kMiddle = 5'000;  // positions of a connection that is older than weft

  explicit Conversation(Agent& agent, model::Role end = model::Role::kServer,
                        bool joined_in_middle = false, model::ConnectionId id = 1)
      : agent_(agent), end_(end) {
    auto connection = std::make_shared<model::Connection>();
    connection->id = id;
    connection->birth_ns = id * 1000;
    connection->netns = 42;
    connection->joined_in_middle = joined_in_middle;
    const bool is_server = end == model::Role::kServer;
    connection->local = is_server ? model::Endpoint::V4({10, 0, 0, 1}, 8080)
                                  : model::Endpoint::V4({10, 0, 0, 2}, 4711);
    connection->remote = is_server ? model::Endpoint::V4({10, 0, 0, 2}, 4711)
                                   : model::Endpoint::V4({10, 0, 0, 1}, 8080);
    connection_ = connection;
    if (joined_in_middle) positions_ = {kMiddle, kMiddle};
    auto process = std::make_shared<model::Process>();
    process->key.pid = 7;
    process_ = process;
  }

  // The whole call is captured.
  Conversation& Client(std::string_view bytes) { return Say(Requests(), bytes, bytes.size()); }
  Conversation& Server(std::string_view bytes) { return Say(Responses(), bytes, bytes.size()); }
  // A call of `length` bytes of which only `captured` were copied.
  Conversation& ClientCut(std::string_view captured, uint64_t length) {
    return Say(Requests(), captured, length);
  }
  Conversation& ServerCut(std::string_view captured, uint64_t length) {
    return Say(Responses(), captured, length);
  }
  // The record of a call never comes.
  Conversation& ClientLost(uint64_t length) { return Lose(Requests(), length); }
  Conversation& ServerLost(uint64_t length) { return Lose(Responses(), length); }
  Conversation& ServerEnds() { return Mark(model::SegmentKind::kEnd, Responses()); }
  Conversation& ClientEnds() { return Mark(model::SegmentKind::kEnd, Requests()); }
  // The socket is gone; a drain later nothing can come late any more.
  Conversation& Closes() {
    Mark(model::SegmentKind::kClosed, model::Direction::kSend);
    agent_.Tick();
    return *this;
  }
  // Before the first call.
  void SetServerPort(uint16_t port) {
    auto connection = std::make_shared<model::Connection>(*connection_);
    (end_ == model::Role::kServer ? connection->local : connection->remote).port = port;
    connection_ = std::move(connection);
  }
  Conversation& Wait(uint64_t ns) {
    agent_.clock.Advance(ns);
    return *this;
  }

  // Collect instead of pushing; the test takes `calls`, reorders them and pushes.
  void Hold() { is_holding_ = true; }
  std::vector<model::Segment> Take() { return std::exchange(calls_, {}); }
  uint64_t now_ns() const { return agent_.clock.MonotonicNs(); }
  uint32_t thread = 11;
  model::WireProtocol protocol = model::WireProtocol::kHttp1;  // as the kernel marks it
  bool is_tls = false;

 private:
  model::Direction Requests() const {
    return end_ == model::Role::kServer ? model::Direction::kReceive : model::Direction::kSend;
  }
  model::Direction Responses() const {
    return end_ == model::Role::kServer ? model::Direction::kSend : model::Direction::kReceive;
  }
  uint64_t& Position(model::Direction direction) {
    return positions_[static_cast<size_t>(direction)];
  }

  Conversation& Say(model::Direction direction, std::string_view captured, uint64_t length) {
    model::Segment segment;
    segment.direction = direction;
    segment.process = process_;
    segment.thread = thread;
    segment.protocol = protocol;
    segment.is_tls = is_tls;
    segment.length = length;
    segment.sequence = static_cast<uint32_t>(0xffff'fff0u + Position(direction));  // wraps soon
    segment.captured = base::AsBytes(texts_.emplace_back(captured));
    return Add(std::move(segment));
  }
  Conversation& Mark(model::SegmentKind kind, model::Direction direction) {
    model::Segment segment;
    segment.kind = kind;
    segment.direction = direction;
    return Add(std::move(segment));
  }
  Conversation& Add(model::Segment&& segment) {
    agent_.clock.Advance(kMillisecond);
    segment.time_ns = agent_.clock.MonotonicNs();
    segment.connection = connection_;
    segment.position = Position(segment.direction);
    Position(segment.direction) += segment.length;
    if (is_holding_) {
      calls_.push_back(std::move(segment));
    } else {
      agent_.Push({std::move(segment)});
    }
    return *this;
  }
  Conversation& Lose(model::Direction direction, uint64_t length) {
    agent_.clock.Advance(kMillisecond);
    Position(direction) += length;
    return *this;
  }

  Agent& agent_;
  const model::Role end_;
  std::shared_ptr<const model::Connection> connection_;
  model::ProcessRef process_;
  std::array<uint64_t, 2> positions_{};
  std::deque<std::string> texts_;  // the captured bytes
  std::vector<model::Segment> calls_;
  bool is_holding_ = false;
};

inline constexpr std::string_view kGetA = "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n";
inline constexpr std::string_view kGetB = "GET /b HTTP/1.1\r\nHost: shop.test\r\n\r\n";
inline constexpr std::string_view kGetC = "GET /c HTTP/1.1\r\nHost: shop.test\r\n\r\n";
inline constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
inline constexpr std::string_view kCreated = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
inline constexpr std::string_view kMissing =
    "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";

}  // namespace weft::normalize
