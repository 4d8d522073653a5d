#include "base/coding/utf8.h"

namespace weft::base {
namespace {

// The length of the well-formed sequence at `p`, 0 if there is none (Unicode table 3-7).
size_t SequenceLength(const unsigned char* p, size_t left) {
  auto tail = [&](size_t i) { return (p[i] & 0xc0) == 0x80; };
  unsigned char c = p[0];
  if (c < 0x80) return 1;
  if (c < 0xc2) return 0;
  if (c < 0xe0) return left >= 2 && tail(1) ? 2 : 0;
  if (c < 0xf0) {
    if (left < 3 || !tail(1) || !tail(2)) return 0;
    if (c == 0xe0 && p[1] < 0xa0) return 0;
    if (c == 0xed && p[1] > 0x9f) return 0;
    return 3;
  }
  if (c > 0xf4 || left < 4 || !tail(1) || !tail(2) || !tail(3)) return 0;
  if (c == 0xf0 && p[1] < 0x90) return 0;
  if (c == 0xf4 && p[1] > 0x8f) return 0;
  return 4;
}

}  // namespace

bool IsUtf8Slow(std::string_view text) {
  auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (size_t i = 0; i < text.size();) {
    size_t n = SequenceLength(p + i, text.size() - i);
    if (n == 0) return false;
    i += n;
  }
  return true;
}

size_t RepairUtf8(char* text, size_t size) {
  auto* p = reinterpret_cast<unsigned char*>(text);
  size_t repaired = 0;
  for (size_t i = 0; i < size;) {
    size_t n = SequenceLength(p + i, size - i);
    if (n == 0) {
      p[i] = '?';
      ++repaired;
      n = 1;
    }
    i += n;
  }
  return repaired;
}

}  // namespace weft::base
