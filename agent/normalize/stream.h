// Stream: one direction of one connection, put in order. Segments arrive by time, not by position:
// rings of different CPUs race, calls overlap, records get lost. What comes early is held until the
// hole before it is filled or given up.
//
//   position   0 ──────────── expected ─── hole ─── held[0] ── held[1] …
//              handed on already    ↑ Offer delivers here
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "model/segment.h"

namespace weft::normalize {

inline constexpr uint64_t kMaxHeldBytes = 256 * 1024;  // per direction, captured bytes
inline constexpr size_t kMaxHeldPieces = 1024;

// A part of a Segment whose position is known to be next. `process` outlives the delivery.
struct Piece {
  uint64_t position = 0;
  uint64_t length = 0;
  base::ByteView captured;
  uint64_t time_ns = 0;
  uint32_t sequence = 0;
  uint32_t thread = 0;
  const model::ProcessRef* process = nullptr;

  uint64_t end() const { return position + length; }
  // Removes `n` < length bytes at the front.
  void CutFront(uint64_t n);
};

class Stream {
 public:
  bool started() const { return started_; }
  uint64_t expected() const { return expected_; }
  void Start(uint64_t position) {
    started_ = true;
    expected_ = position;
  }
  void AdvanceTo(uint64_t position) { expected_ = position; }

  // Cuts what was seen before off the front of `piece`. False when nothing is left.
  bool Clip(Piece* piece) const;

  // Keeps a copy until its turn. `pass` says when it came.
  void Hold(const Piece& piece, uint64_t pass);
  bool has_held() const { return first_ != held_.size(); }
  // Bytes before the first held piece are missing.
  bool has_hole() const { return has_held() && first_held().position > expected_; }
  bool is_full() const {
    return held_bytes_ > kMaxHeldBytes || held_.size() - first_ > kMaxHeldPieces;
  }
  const Piece& first_held() const { return held_[first_].piece; }
  uint64_t first_held_pass() const { return held_[first_].pass; }
  // Removes the first held piece; its bytes and process live in the returned value.
  struct Held {
    Piece piece;
    base::ByteBuffer bytes;
    model::ProcessRef process;
    uint64_t pass = 0;
  };
  Held TakeFirst();

 private:
  bool started_ = false;
  uint64_t expected_ = 0;
  uint64_t held_bytes_ = 0;
  std::vector<Held> held_;  // by position
  size_t first_ = 0;        // of those, that has not been taken
};

}  // namespace weft::normalize
