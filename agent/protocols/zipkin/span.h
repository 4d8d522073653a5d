// Private to protocols/zipkin: what all four encodings are read into, and how the annotations of
// version 1 become the fields of version 2. Everything is a view into the request.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "model/otlp_batch.h"

namespace weft::protocols::zipkin {

struct Endpoint {
  std::string_view service;
  std::string ip;  // as text; short enough to need no allocation when IPv4
  uint16_t port = 0;

  // Of 4 or 16 bytes; others and the unspecified address are left out.
  void SetIp(base::ByteView raw);
  bool known() const { return !service.empty() || !ip.empty() || port != 0; }
};

struct Value {
  enum class Kind : uint8_t { kText, kBool, kInt, kDouble, kBytes };
  Kind kind = Kind::kText;
  std::string_view text;  // kText, kBytes
  int64_t number = 0;     // kInt, kBool
  double real = 0;
};

struct Tag {
  std::string_view key;
  Value value;
};

struct Annotation {
  uint64_t time_us = 0;
  std::string_view value;
};

struct Span {
  base::TraceId trace_id;
  base::SpanId id, parent_id;
  std::string_view name;
  model::SpanKind kind = model::SpanKind::kUnspecified;
  uint64_t timestamp_us = 0, duration_us = 0;  // 0: absent
  Endpoint local, remote;
  std::vector<Annotation> annotations;
  std::vector<Tag> tags;
  bool debug = false, shared = false;

  // More than that in one span is no span, and would take many times its bytes.
  static constexpr size_t kMaxEntries = 1 << 16;
  bool Full() const { return tags.size() + annotations.size() >= kMaxEntries; }
  // As new, but with the vectors' memory.
  void Clear();
};

// What each character is worth as a hex digit; 255: it is none.
inline constexpr std::array<uint8_t, 256> kHexDigits = [] {
  std::array<uint8_t, 256> digits{};
  digits.fill(255);
  for (uint8_t i = 0; i < 10; ++i) digits['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) digits['a' + i] = digits['A' + i] = static_cast<uint8_t>(10 + i);
  return digits;
}();

// Up to 2·N hex digits, right-aligned; longer ones keep their last digits. False for anything else.
template <size_t N>
bool ParseHexId(std::string_view hex, base::Id<N>* id) {
  if (hex.empty() || hex.size() > 32) return false;
  base::Id<N> parsed;
  uint8_t seen = 0;
  for (size_t i = 0; i < hex.size(); ++i) {
    const uint8_t digit = kHexDigits[static_cast<uint8_t>(hex[hex.size() - 1 - i])];
    seen |= digit;
    if (i < 2 * N) parsed.bytes[N - 1 - i / 2] |= static_cast<uint8_t>(digit << (i % 2 * 4));
  }
  if (seen > 15) return false;
  *id = parsed;
  return true;
}

// Gathers one span of version 1. Order: Start, Annotation and Binary in any order, Finish.
class Version1 {
 public:
  explicit Version1(Span& span) : span_(&span) {}
  void Start() { *this = Version1(*span_); }
  void Annotation(uint64_t time_us, std::string_view value, const Endpoint& host);
  void Binary(std::string_view key, const Value& value, const Endpoint& host);
  void Finish();

 private:
  Span* span_;
  uint64_t early_us_ = 0, late_us_ = 0;
  std::string_view component_;
  Endpoint host_, fallback_;           // of a core annotation; of any other
  Endpoint server_, client_, broker_;  // of "sa", "ca", "ma"
};

}  // namespace weft::protocols::zipkin
