#include "normalize/stream.h"

#include <algorithm>

namespace weft::normalize {

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
  auto after = std::upper_bound(
      held_.begin(), held_.end(), piece.position,
      [](uint64_t position, const Held& h) { return position < h.piece.position; });
  held_.insert(after, std::move(held));
}

Stream::Held Stream::TakeFirst() {
  Held first = std::move(held_.front());
  held_.erase(held_.begin());
  held_bytes_ -= first.piece.captured.size();
  return first;
}

}  // namespace weft::normalize
