// Trace and span ids (W3C Trace Context: 16 and 8 bytes, all-zero is invalid), their hex form, and
// a generator.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weft::base {

template <size_t N>
struct Id {
  std::array<uint8_t, N> bytes{};

  bool IsZero() const { return *this == Id{}; }
  // By words: for the default one compilers call memcmp, three times a span.
  bool operator==(const Id& other) const {
    static_assert(N % 8 == 0);
    uint64_t difference = 0;
    for (size_t i = 0; i < N; i += 8) {
      uint64_t mine, theirs;
      std::memcpy(&mine, bytes.data() + i, 8);
      std::memcpy(&theirs, other.bytes.data() + i, 8);
      difference |= mine ^ theirs;
    }
    return difference == 0;
  }
  ByteView view() const { return bytes; }
  std::string Hex() const;
  // Exactly 2·N hex digits of either case; false otherwise (`out` untouched).
  static bool FromHex(std::string_view hex, Id* out);
  // `raw` must have N bytes; anything else gives the zero id.
  static Id FromBytes(ByteView raw) {
    Id id;
    if (raw.size() == N) std::memcpy(id.bytes.data(), raw.data(), N);
    return id;
  }
};

using TraceId = Id<16>;
using SpanId = Id<8>;

// Random ids, never zero. Threads: one generator per thread.
TraceId NewTraceId();
SpanId NewSpanId();

struct IdHash {
  template <size_t N>
  size_t operator()(const Id<N>& id) const {
    uint64_t tail;
    std::memcpy(&tail, id.bytes.data() + N - 8, 8);
    return static_cast<size_t>(tail * 0x9E3779B97F4A7C15ull);
  }
};

}  // namespace weft::base
