// UTF-8: protobuf readers refuse a whole message over one bad string, so what comes from outside is
// checked and repaired before it is passed on. The repair keeps the length, so that nothing moves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace weft::base {

// Whether all of `text` is well-formed (no surrogates, no overlong forms, nothing above U+10FFFF).
bool IsUtf8Slow(std::string_view text);
// Every byte that is not part of a well-formed sequence becomes '?'. Returns how many.
size_t RepairUtf8(char* text, size_t size);

// Threads: any. Cost: eight bytes at a time while the text is ASCII.
inline bool IsUtf8(std::string_view text) {
  constexpr uint64_t kHigh = 0x8080808080808080ull;
  const char* p = text.data();
  size_t n = text.size();
  uint64_t seen = 0, word = 0;
  if (n >= 8) {
    for (size_t i = 0; i + 8 <= n; i += 8) {
      std::memcpy(&word, p + i, 8);
      seen |= word;
    }
    std::memcpy(&word, p + n - 8, 8);
    seen |= word;
  } else if (n >= 4) {
    uint32_t first, last;
    std::memcpy(&first, p, 4);
    std::memcpy(&last, p + n - 4, 4);
    seen = first | last;
  } else if (n > 0) {
    seen = static_cast<unsigned char>(p[0]) | static_cast<unsigned char>(p[n / 2]) |
           static_cast<unsigned char>(p[n - 1]);
  }
  return (seen & kHigh) == 0 || IsUtf8Slow(text);
}

}  // namespace weft::base
