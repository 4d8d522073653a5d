// Dialogue: the conversation on one connection whose requests' direction is known, in one of the
// protocols that weft reads. Connection brings the bytes in order and tells what is lost; a
// Dialogue finds the exchanges in them. Pairing is HTTP/1.x, Http2Pairing is HTTP/2.
#pragma once

#include <cstdint>
#include <optional>

#include "model/segment.h"
#include "model/span.h"
#include "normalize/conventions/semantic_conventions.h"
#include "normalize/stream.h"

namespace weft::normalize {

inline model::Direction Opposite(model::Direction direction) {
  return direction == model::Direction::kSend ? model::Direction::kReceive
                                              : model::Direction::kSend;
}

// What HTTP/1.x leaves to the HTTP/2 that it was upgraded to (h2c): its request is stream 1.
struct Upgrade {
  uint64_t response_offset = 0;     // just behind the 101
  int64_t unix_offset_ns = 0;       // of the span's times
  std::optional<model::Span> span;  // nothing when the exchange makes none
};

// Threads: one. Order: OnPiece and OnLost in the order of the bytes, per direction.
class Dialogue {
 public:
  virtual ~Dialogue() = default;

  virtual model::Direction requests() const = 0;
  // The next bytes of a direction, which may be captured in part.
  virtual void OnPiece(model::Direction direction, const Piece& piece) = 0;
  // The next `n` bytes of a direction are lost.
  virtual void OnLost(model::Direction direction, uint64_t n, uint64_t time_ns) = 0;
  // The direction has ended in order, or the socket is gone (then both are called).
  virtual void OnEnd(model::Direction direction, uint64_t time_ns) = 0;
  // Finishes every open exchange as it stands.
  virtual void Abandon(Outcome outcome) = 0;
  // A drain of the rings is over, at `now_ns` (monotonic).
  virtual void EndPass(uint64_t now_ns) = 0;
  virtual bool needs_watch() const = 0;  // EndPass may have something to do

  // A response now would have no request, though nothing is known to be lost: its request is
  // probably on its way.
  virtual bool ExpectsRequestFirst() const = 0;
  // Nothing went unread: a response that waits can only answer the next request, whatever the times
  // of the two are.
  virtual bool is_certain() const { return false; }
  virtual bool is_tunnel() const = 0;     // left the protocol for good
  virtual bool is_plausible() const = 0;  // false: this is not the protocol after all
  // Where a direction begins of which nothing has come yet.
  virtual void StartAt(model::Direction direction, uint64_t offset) = 0;
  // Once, after is_tunnel.
  virtual std::optional<Upgrade> TakeUpgrade() { return std::nullopt; }
};

}  // namespace weft::normalize
