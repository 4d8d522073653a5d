// Writing OTLP: protobuf primitives that append to a buffer, attributes, and a RequestWriter that
// opens and closes the envelopes in order. Whoever makes spans (merge, jaeger) writes bytes with
// this and calls Index on them; there are no span objects in between.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"

namespace weft::protocols::otlp {

// Field numbers of opentelemetry-proto 1.x, as far as weft writes them.
namespace field {
inline constexpr uint32_t kResourceSpans = 1;                              // of request
inline constexpr uint32_t kResource = 1, kScopeSpans = 2, kSchemaUrl = 3;  // of ResourceSpans
inline constexpr uint32_t kScope = 1, kSpan = 2;                           // of ScopeSpans
inline constexpr uint32_t kResourceAttribute = 1, kResourceDropped = 2,
                          kEntityRef = 3;  // of Resource
inline constexpr uint32_t kScopeName = 1, kScopeVersion = 2, kScopeAttribute = 3,
                          kScopeDropped = 4;  // of Scope
inline constexpr uint32_t kTraceId = 1, kSpanId = 2, kTraceState = 3, kParentSpanId = 4, kName = 5,
                          kKind = 6, kStart = 7, kEnd = 8, kAttribute = 9, kDroppedAttributes = 10,
                          kEvent = 11, kDroppedEvents = 12, kLink = 13, kDroppedLinks = 14,
                          kStatus = 15, kFlags = 16;  // of Span
inline constexpr uint32_t kEventTime = 1, kEventName = 2, kEventAttribute = 3, kEventDropped = 4;
inline constexpr uint32_t kLinkTraceId = 1, kLinkSpanId = 2, kLinkTraceState = 3,
                          kLinkAttribute = 4, kLinkDropped = 5, kLinkFlags = 6;
inline constexpr uint32_t kStatusMessage = 2, kStatusCode = 3;
inline constexpr uint32_t kKey = 1, kValue = 2;  // of KeyValue
inline constexpr uint32_t kTextValue = 1, kBoolValue = 2, kIntValue = 3, kDoubleValue = 4,
                          kArrayValue = 5, kMapValue = 6, kBytesValue = 7;  // of AnyValue
inline constexpr uint32_t kItem = 1;  // of ArrayValue and KeyValueList
}  // namespace field

enum class WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// The number of bytes of `v` as a varint.
constexpr size_t VarintSize(uint64_t v) {
  size_t n = 1;
  for (; v >= 0x80; v >>= 7) ++n;
  return n;
}
// Writes `v` at `p` (room for 10 bytes), returns the end.
inline uint8_t* PutVarint(uint8_t* p, uint64_t v) {
  for (; v >= 0x80; v >>= 7) *p++ = static_cast<uint8_t>(v) | 0x80;
  *p++ = static_cast<uint8_t>(v);
  return p;
}

// Appends to a buffer that it does not own. Every field is written, zero or not.
class Writer {
 public:
  explicit Writer(base::ByteBuffer& out) : out_(out) {}

  void Varint(uint64_t v) {
    out_.Commit(static_cast<size_t>(PutVarint(out_.Grow(10), v) - out_.data()) - out_.size());
  }
  void Tag(uint32_t field, WireType type) {
    Varint(uint64_t{field} << 3 | static_cast<uint32_t>(type));
  }
  void Bytes(uint32_t field, base::ByteView value);
  // A string field: invalid UTF-8 becomes '?', because readers refuse whole messages over it.
  void Text(uint32_t field, std::string_view value);
  // Integers, enums and bool. Negative ones as two's complement.
  void Uint(uint32_t field, uint64_t value) { Tag(field, WireType::kVarint), Varint(value); }
  void Fixed32(uint32_t field, uint32_t value);
  void Fixed64(uint32_t field, uint64_t value);
  void Double(uint32_t field, double value);
  // Fields that are encoded already.
  void Raw(base::ByteView fields) { out_.Append(fields); }

  // An embedded message: what is written between Begin and its End is its content. Order: as
  // brackets. Cost: End moves content of 128 bytes or more by the further bytes of its length.
  [[nodiscard]] size_t Begin(uint32_t field);
  void End(size_t begin);

  base::ByteBuffer& out() { return out_; }

 private:
  base::ByteBuffer& out_;
};

// A KeyValue in the repeated field `field` (attributes of a span: field::kAttribute).
void WriteAttribute(Writer& w, uint32_t field, std::string_view key, std::string_view value);
void WriteAttribute(Writer& w, uint32_t field, std::string_view key, int64_t value);
void WriteAttribute(Writer& w, uint32_t field, std::string_view key, bool value);
void WriteAttribute(Writer& w, uint32_t field, std::string_view key, double value);
void WriteBytesAttribute(Writer& w, uint32_t field, std::string_view key, base::ByteView value);
// Without these two a literal would become a bool and an int would be ambiguous.
inline void WriteAttribute(Writer& w, uint32_t field, std::string_view key, const char* value) {
  WriteAttribute(w, field, key, std::string_view(value));
}
template <std::integral T>
requires(!std::same_as<T, bool> &&
         !std::same_as<T, int64_t>) void WriteAttribute(Writer& w, uint32_t field,
                                                        std::string_view key, T value) {
  WriteAttribute(w, field, key, static_cast<int64_t>(value));
}

// Opens envelopes; opening one closes what has to be closed before it.
// Order: (BeginResource (BeginScope BeginSpan*)*)* Finish.
class RequestWriter {
 public:
  explicit RequestWriter(base::ByteBuffer& out) : w_(out) {}
  ~RequestWriter() { Finish(); }
  RequestWriter(const RequestWriter&) = delete;
  RequestWriter& operator=(const RequestWriter&) = delete;

  // A ResourceSpans with its Resource open: write attributes with field::kResourceAttribute.
  Writer& BeginResource();
  // A ScopeSpans with its scope (left out when both are empty).
  void BeginScope(std::string_view name, std::string_view version);
  // A Span without fields: write them with field::kTraceId and so on.
  Writer& BeginSpan();
  // The usual first fields of a span. A zero parent id is left out.
  Writer& BeginSpan(const base::TraceId& trace, const base::SpanId& span,
                    const base::SpanId& parent, std::string_view name);
  void Finish();

 private:
  void CloseTo(int level);

  Writer w_;
  size_t begin_[3] = {};  // of the open messages
  int level_ =
      0;  // how many of them are open: ResourceSpans, then Resource or ScopeSpans, then Span
};

}  // namespace weft::protocols::otlp
