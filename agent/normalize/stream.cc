#include "normalize/stream.h"

#include <algorithm>
#include <cstddef>

namespace weft::normalize {
namespace {

// A queue that was longer gives its memory back.
constexpr size_t kMaxKept = 8;

}  // namespace

void Piece::CutFront(uint64_t n) {
  position += n;
  length -= n;
  sequence += static_cast<uint32_t>(n);
  captured = n < captured.size() ? captured.subspan(n) : base::ByteView{};
}

bool Stream::Clip(Piece* piece) const {
  if (piece->end() <= expected_) return false;
  if (piece->position < expected_) piece->CutFront(expected_ - piece->position);
  return true;
}

void Stream::Hold(const Piece& piece, uint64_t pass) {
  Held held;
  held.piece = piece;
  held.pass = pass;
  held.bytes.Append(piece.captured);
  held.piece.captured =
      held.bytes.view();  // a ByteBuffer's bytes stay where they are when it moves
  if (piece.process != nullptr) held.process = *piece.process;
  held_bytes_ += piece.captured.size();
  if (first_ * 2 > held_.size()) {
    held_.erase(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(first_));
    first_ = 0;
  }
  // Behind a hole the others come in order.
  auto after = held_.end();
  if (has_held() && held_.back().piece.position > piece.position) {
    after = std::upper_bound(
        held_.begin() + static_cast<ptrdiff_t>(first_), held_.end(), piece.position,
        [](uint64_t position, const Held& h) { return position < h.piece.position; });
  }
  held_.insert(after, std::move(held));
}

Stream::Held Stream::TakeFirst() {
  Held first = std::move(held_[first_++]);
  held_bytes_ -= first.piece.captured.size();
  if (first_ == held_.size()) {
    held_.clear();
    first_ = 0;
    if (held_.capacity() > kMaxKept) held_.shrink_to_fit();
  }
  return first;
}

}  // namespace weft::normalize
