// Pairing: the HTTP/1.x conversation on one connection whose requests' direction is known. It
// parses both directions, pairs responses with requests first in, first out, and reports exchanges.
// What it is fed is in order per direction; lost ranges are told. The rules for losses are in
// docs/adr/0004-exchange-pairing.md.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "model/segment.h"
#include "model/span.h"
#include "normalize/conventions/semantic_conventions.h"
#include "normalize/dialogue.h"
#include "normalize/shared.h"
#include "normalize/stream.h"
#include "protocols/http1/message_parser.h"

namespace weft::normalize {

// Requests waiting for their response, per connection.
inline constexpr size_t kMaxPending = 256;

// Threads: one. Owns: its open exchanges; `shared` and `connection` outlive it. Memory: what goes
// beyond one exchange is counted in Shared::http1, which bounds it for all connections.
class Pairing final : public Dialogue {
 public:
  // `requests` is the direction of requests. Offsets: where each direction's next byte is.
  Pairing(Shared& shared, const model::Connection& connection, model::Direction requests,
          uint64_t request_offset, uint64_t response_offset, bool is_tls);
  ~Pairing() override;
  Pairing(const Pairing&) = delete;
  Pairing& operator=(const Pairing&) = delete;

  model::Direction requests() const override { return requests_; }
  void OnPiece(model::Direction direction, const Piece& piece) override;
  void OnLost(model::Direction direction, uint64_t n, uint64_t time_ns) override;
  void OnEnd(model::Direction direction, uint64_t time_ns) override;
  void Abandon(Outcome outcome) override;
  // Silence completes a response whose end cannot be seen.
  void EndPass(uint64_t now_ns) override;
  bool needs_watch() const override { return has_open_end(); }
  bool ExpectsRequestFirst() const override;
  bool is_certain() const override { return !is_doubtful_; }
  bool is_tunnel() const override { return is_tunnel_; }
  // False while not even one head has been parsed, and what came cannot become one: this is not
  // HTTP.
  bool is_plausible() const override { return has_seen_head_ || !request_.is_lost(); }
  void StartAt(model::Direction direction, uint64_t offset) override {
    if (direction != requests_) response_.StartAt(offset);
  }
  std::optional<Upgrade> TakeUpgrade() override { return std::exchange(upgrade_, std::nullopt); }

 private:
  // kMuted: an export of telemetry. kUnknown: any number of requests that could not be read.
  enum class Kind : uint8_t { kReal, kMuted, kUnknown };
  struct Exchange {
    Kind kind = Kind::kReal;
    bool request_complete = false;
    bool response_started = false;
    uint64_t request_begin = 0, response_begin = 0,
             response_end = 0;      // stream positions; the end: as far as seen
    uint64_t response_last_ns = 0;  // monotonic
    int64_t unix_offset_ns =
        0;  // one for the whole exchange, so that durations come from the monotonic clock alone
    protocols::http1::BodyKind response_body = protocols::http1::BodyKind::kNone;
    bool is_call = false;  // gRPC-Web
    model::Span span;
  };
  // Where a head that is not complete yet began.
  struct HeadStart {
    uint64_t time_ns = 0;
    uint32_t sequence = 0;
  };

  size_t pending() const { return exchanges_.size() - front_; }
  Exchange& front() { return exchanges_[front_]; }
  const Exchange& front() const { return exchanges_[front_]; }

  void OnRequestPiece(const Piece& piece);
  void OnResponsePiece(const Piece& piece);
  void RequestEvents(const Piece& piece);
  void ResponseEvents(const Piece& piece);
  void Open(const protocols::http1::Head& head, uint64_t offset, const Piece& piece);
  void FillSpan(const protocols::http1::Head& head, const Target& target, uint64_t offset,
                const Piece& piece, model::Span* span);
  void NoteRequestProgress(uint64_t end, uint64_t time_ns);
  void StartResponse(const protocols::http1::Head& head, uint64_t offset, const Piece& piece);
  bool has_open_end() const;  // the end of the response cannot be seen
  void Finish(Outcome outcome, uint64_t cut_ns = 0);
  void DescribeResult(Outcome outcome, Exchange* exchange);
  void LeaveToHttp2(uint64_t response_offset);
  void PopFront();
  void CountMemory();
  void Recount(size_t bytes);
  void GiveUp();
  void OnRequestLost();
  Outcome OutcomeOfEnd() const;
  void OnResponseLost();
  bool RequestMayResume(uint64_t time_ns) const;
  bool IsQuiet(uint64_t time_ns) const;
  void RestartPairing();
  void PushUnknown();
  void TellEnd(model::Direction direction, const protocols::http1::MessageParser& parser,
               const Piece& piece, uint64_t* told);

  Shared& shared_;
  const model::Connection& connection_;
  const model::Direction requests_;
  const ConnectionText text_;
  protocols::http1::MessageParser request_, response_;
  HeadStart request_head_, response_head_;
  std::vector<Exchange> exchanges_;  // a queue: [front_, size)
  size_t front_ = 0;
  bool request_open_ = false;  // the last exchange's request is not complete
  bool response_is_interim_ = false;
  bool server_spoke_last_ = false;
  bool orphan_spoke_last_ = false;  // a response without a request came since the last request
  bool is_pipelining_ = false;      // the client has sent requests without waiting for responses
  bool is_doubtful_;                // bytes went unread since the last exchange that was seen whole
  bool has_seen_head_ = false;
  bool is_tunnel_ = false;
  const bool is_tls_;
  bool is_upgrading_ = false;  // a 101 to h2c
  std::optional<Upgrade> upgrade_;
  bool may_skip_body_ = false;                // the open request was answered before its body began
  uint64_t last_ns_ = 0;                      // of the latest bytes, monotonic
  uint64_t last_open_position_ = UINT64_MAX;  // of the piece that opened the latest exchange
  size_t bytes_ = 0;                          // as counted in Shared::http1
  std::list<Pairing*>::iterator age_;         // while that is not 0
  uint64_t told_request_end_ = 0, told_response_end_ = 0;
};

}  // namespace weft::normalize
