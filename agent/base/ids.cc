#include "base/ids.h"

#include <random>

namespace weft::base {
namespace {

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

uint64_t Random() {
  thread_local std::mt19937_64 generator{std::random_device{}() * 0x1'0000'0001ull ^
                                         std::random_device{}()};
  return generator();
}

template <size_t N>
Id<N> NewId() {
  Id<N> id;
  while (id.IsZero()) {
    for (size_t i = 0; i < N; i += 8) {
      uint64_t r = Random();
      std::memcpy(id.bytes.data() + i, &r, 8);
    }
  }
  return id;
}

}  // namespace

template <size_t N>
std::string Id<N>::Hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out(2 * N, '0');
  for (size_t i = 0; i < N; ++i) {
    out[2 * i] = kDigits[bytes[i] >> 4];
    out[2 * i + 1] = kDigits[bytes[i] & 15];
  }
  return out;
}

template <size_t N>
bool Id<N>::FromHex(std::string_view hex, Id* out) {
  if (hex.size() != 2 * N) return false;
  Id id;
  for (size_t i = 0; i < N; ++i) {
    int high = Digit(hex[2 * i]), low = Digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    id.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  *out = id;
  return true;
}

template struct Id<16>;
template struct Id<8>;

TraceId NewTraceId() { return NewId<16>(); }
SpanId NewSpanId() { return NewId<8>(); }

}  // namespace weft::base
