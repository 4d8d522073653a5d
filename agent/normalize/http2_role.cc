#include "normalize/http2_role.h"

#include <algorithm>

#include "protocols/http2/connection.h"

namespace weft::normalize {
namespace {

using protocols::http2::Side;

constexpr size_t kFrameHeaderBytes = 9;
constexpr uint8_t kHeaders = 1, kPushPromise = 5;
constexpr uint8_t kPadded = 0x8, kPriority = 0x20;
// Static table (RFC 7541, appendix A): 1 to 7 are pseudo-header fields of requests, 8 to 14 of
// responses.
constexpr uint32_t kLastRequestIndex = 7, kLastResponseIndex = 14;
constexpr int kMaxFields = 8;  // pseudo-header fields come first

// An HPACK integer with a prefix of `bits`. False when it does not end in `block` or is absurd.
bool TakeInteger(base::ByteView* block, int bits, uint32_t* value) {
  const uint32_t limit = (1u << bits) - 1;
  if (block->empty()) return false;
  *value = (*block)[0] & limit;
  *block = block->subspan(1);
  if (*value < limit) return true;
  for (int shift = 0; shift <= 21; shift += 7) {
    if (block->empty()) return false;
    const uint8_t byte = (*block)[0];
    *block = block->subspan(1);
    *value += (byte & 0x7fu) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

bool SkipText(base::ByteView* block) {
  uint32_t size = 0;
  if (!TakeInteger(block, 7, &size) || size > block->size()) return false;
  *block = block->subspan(size);
  return true;
}

// Whose header block begins like this?
std::optional<Side> OwnerOf(base::ByteView block) {
  for (int i = 0; i < kMaxFields && !block.empty(); ++i) {
    const uint8_t first = block[0];
    uint32_t index = 0;
    const bool is_indexed = (first & 0x80) != 0, is_resize = (first & 0xe0) == 0x20;
    const int bits = is_indexed ? 7 : (first & 0x40) != 0 ? 6 : is_resize ? 5 : 4;
    if (!TakeInteger(&block, bits, &index)) return std::nullopt;
    if (is_resize) continue;
    if (index >= 1 && index <= kLastRequestIndex) return Side::kClient;
    if (index > kLastRequestIndex && index <= kLastResponseIndex) return Side::kServer;
    if (is_indexed) continue;
    if (index == 0 && !SkipText(&block)) return std::nullopt;
    if (!SkipText(&block)) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Side> WhoSpeaks(base::ByteView next, uint64_t length) {
  if (!protocols::http2::LooksLikeFrames(next, length)) return std::nullopt;
  while (next.size() >= kFrameHeaderBytes) {
    const size_t size = static_cast<size_t>(next[0]) << 16 | static_cast<size_t>(next[1]) << 8 |
                        static_cast<size_t>(next[2]);
    const uint8_t type = next[3], flags = next[4];
    next = next.subspan(kFrameHeaderBytes);
    if (type == kPushPromise) return Side::kServer;
    base::ByteView payload = next.first(std::min(size, next.size()));
    if (type == kHeaders) {
      const size_t front = ((flags & kPadded) != 0 ? 1 : 0) + ((flags & kPriority) != 0 ? 5 : 0);
      if (payload.size() > front) {
        if (auto side = OwnerOf(payload.subspan(front))) return side;
      }
    }
    if (size >= next.size()) break;
    next = next.subspan(size);
  }
  return std::nullopt;
}

}  // namespace weft::normalize
