// Http2Pairing: the HTTP/2 conversation on one connection whose requests' direction is known. Each
// stream is an exchange: it begins with the client's header block and is over at the server's end
// of stream (for gRPC that is the trailers, not the first response), a reset, a GOAWAY that leaves
// it out, or the end of the connection. Frames and header tables are protocols/http2's; here is
// what belongs together, when it happened, and what is known of it.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/segment.h"
#include "model/span.h"
#include "normalize/conventions/semantic_conventions.h"
#include "normalize/dialogue.h"
#include "normalize/shared.h"
#include "protocols/http2/connection.h"

namespace weft::normalize {

// Where an HTTP/2 conversation begins.
struct Http2Start {
  protocols::http2::Start start = protocols::http2::Start::kPreface;
  model::Direction requests = model::Direction::kSend;
  uint64_t request_offset = 0, response_offset = 0;  // of each direction's next byte
  bool is_tls = false;
};

// Threads: one. Owns: its open exchanges and the parser; `shared` and `connection` outlive it.
// Memory: counted in Shared::http2, which bounds streams and header tables of all connections.
class Http2Pairing final : public Dialogue {
 public:
  Http2Pairing(Shared& shared, const model::Connection& connection, const Http2Start& start);
  ~Http2Pairing() override;
  Http2Pairing(const Http2Pairing&) = delete;
  Http2Pairing& operator=(const Http2Pairing&) = delete;

  // The HTTP/1.1 request that asked for the upgrade; before anything is fed.
  void Adopt(Upgrade&& upgrade);

  model::Direction requests() const override { return requests_; }
  void OnPiece(model::Direction direction, const Piece& piece) override;
  void OnLost(model::Direction direction, uint64_t n, uint64_t time_ns) override;
  void OnEnd(model::Direction direction, uint64_t time_ns) override;
  void Abandon(Outcome outcome) override;
  void EndPass(uint64_t now_ns) override;
  bool needs_watch() const override { return early_ != 0 || doubtful_ != 0; }
  // Responses that come before their request are kept by stream, for a second.
  bool ExpectsRequestFirst() const override { return false; }
  bool is_tunnel() const override { return is_over_; }
  bool is_plausible() const override { return true; }
  void StartAt(model::Direction direction, uint64_t offset) override;

  // Others need the room. The stream is finished as it stands.
  void EvictStream(uint32_t id);
  // Others need the memory: finishes everything and goes on as if joined in the middle.
  void Forget();

 private:
  // kEarly: the server has answered what has not been seen yet. kMuted: an export of telemetry.
  enum class Kind : uint8_t { kEarly, kMuted, kReal };
  struct Exchange {
    Kind kind = Kind::kEarly;
    bool is_call = false;       // gRPC
    bool may_be_call = true;    // what the request says does not exclude it
    bool is_described = false;  // as one
    bool is_connect = false;
    bool request_open = true;
    bool response_started = false;
    bool response_over = false;  // of a kEarly one
    uint8_t doubts = 0;          // what may have been among lost bytes while it was open
    std::optional<uint32_t> grpc_status;
    uint16_t status = 0;
    int64_t unix_offset_ns = 0;
    uint64_t response_first_ns = 0, response_last_ns = 0;  // monotonic
    uint64_t last_ns = 0;
    uint64_t request_bytes = 0, response_bytes = 0;
    std::optional<uint32_t> request_messages, response_messages;
    std::string authority;  // while it may still turn out to be a call
    std::list<Http2Bounds::Stream>::iterator age;
    model::Span span;
  };
  using Exchanges = std::unordered_map<uint32_t, Exchange>;
  // When and by whom a range of bytes was carried.
  struct Stamp {
    uint64_t position = 0, end = 0, time_ns = 0;
    uint32_t sequence = 0, thread = 0;
    model::ProcessRef process;
  };

  protocols::http2::Side SideOf(model::Direction direction) const;
  void Feed(protocols::http2::Side side, const Piece& piece);
  void HandleEvents(protocols::http2::Side side, const Piece& piece);
  void Handle(const protocols::http2::Event& event, const Piece& piece);
  void OnClientFrame(const protocols::http2::Event& event, uint64_t time_ns);
  void OnServerFrame(const protocols::http2::Event& event, const Piece& piece);
  void OnResponseHead(const protocols::http2::Event& event, const Piece& piece, Exchange* exchange);
  void ReadStatusFields(const protocols::http2::Head& head, Exchange* exchange);
  void OnReset(const protocols::http2::Event& event, uint64_t time_ns);
  void OnGoAway(const protocols::http2::Event& event);
  void OnDesync(protocols::http2::Side side);
  void OnDropped(uint32_t stream);
  void Doubt(Exchange& exchange, uint8_t doubt);
  void Trust(Exchange& exchange, uint8_t doubt);

  Exchange& Make(uint32_t stream);
  void Touch(Exchange& exchange, uint64_t time_ns);
  void Open(const protocols::http2::Event& event, const Piece& piece);
  void Describe(const protocols::http2::Head& head, Exchange* exchange);
  void DescribeLate(Exchange* exchange);
  void Finish(Exchanges::iterator it, Outcome outcome, std::string_view cause = {});
  Exchanges::iterator Erase(Exchanges::iterator it);

  Stamp StampOf(protocols::http2::Side side, uint64_t offset, const Piece& piece) const;
  void KeepStamp(protocols::http2::Side side, const Piece& piece, uint64_t last_end);
  void CountMemory();

  Shared& shared_;
  const model::Connection& connection_;
  const model::Direction requests_;
  const bool is_tls_;
  const ConnectionText text_;
  protocols::http2::Connection parser_;
  Exchanges exchanges_;
  std::array<std::vector<Stamp>, 2> stamps_;  // of pieces whose last frame is not complete
  size_t early_ = 0, doubtful_ = 0;
  uint64_t unknown_fields_ = 0;  // counted already
  size_t bytes_ = 0;             // as counted in Shared::http2
  std::list<Http2Pairing*>::iterator age_;
  bool is_over_ = false;
};

}  // namespace weft::normalize
