// SpanWriter: the fields of one Span message, written without looking back. What is known before a
// byte is written (the sizes of keys and values) is not found out afterwards: it makes half of the
// encoding of a kernel-seen span. Private to this room.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "base/coding/utf8.h"
#include "protocols/otlp/write.h"

namespace weft::merge {

// Appends to a buffer that it does not own. Threads: one. Order: Begin, fields, End, for each span.
class SpanWriter {
 public:
  explicit SpanWriter(base::ByteBuffer& out) : out_(out) {}

  // A Span in the open ScopeSpans. Returns where its body begins, unless End says otherwise.
  void Begin() {
    uint8_t* p = out_.Grow(3);
    p[0] = BytesTag(protocols::otlp::field::kSpan);
    out_.Commit(3);  // two bytes of length: right from 128 bytes to 16 KiB
    begin_ = out_.size();
  }
  // Returns where the body begins.
  size_t End() {
    const size_t size = out_.size() - begin_;
    const size_t length_bytes = protocols::otlp::VarintSize(size);
    if (length_bytes != 2) {
      out_.Grow(length_bytes);
      uint8_t* body = out_.data() + begin_;
      std::memmove(body - 2 + length_bytes, body, size);
      out_.Truncate(out_.size() - 2);
      out_.Commit(length_bytes);
    }
    protocols::otlp::PutVarint(out_.data() + begin_ - 2, size);
    return begin_ - 2 + length_bytes;
  }

  void Bytes(uint32_t field, base::ByteView value) {
    uint8_t* p = out_.Grow(value.size() + kMaxTag + kMaxVarint);
    p = protocols::otlp::PutVarint(PutTag(p, field, protocols::otlp::WireType::kBytes),
                                   value.size());
    Finish(Put(p, value));
  }
  // Invalid UTF-8 becomes '?'.
  void Text(uint32_t field, std::string_view value) {
    Bytes(field, base::AsBytes(value));
    Repair(value);
  }
  void Uint(uint32_t field, uint64_t value) {
    uint8_t* p = out_.Grow(kMaxTag + kMaxVarint);
    p = PutTag(p, field, protocols::otlp::WireType::kVarint);
    Finish(protocols::otlp::PutVarint(p, value));
  }
  void Fixed32(uint32_t field, uint32_t value) {
    PutFixed(field, protocols::otlp::WireType::kFixed32, value);
  }
  void Fixed64(uint32_t field, uint64_t value) {
    PutFixed(field, protocols::otlp::WireType::kFixed64, value);
  }

  // Attributes. `key` is a literal of plain ASCII.
  void Attribute(std::string_view key, std::string_view value) {
    const size_t inner = 1 + protocols::otlp::VarintSize(value.size()) + value.size();
    uint8_t* p = BeginAttribute(key, inner);
    *p++ = BytesTag(protocols::otlp::field::kTextValue);
    p = protocols::otlp::PutVarint(p, value.size());
    Finish(Put(p, base::AsBytes(value)));
    Repair(value);
  }
  // Inlined, since most keys are known where it is called.
  [[gnu::always_inline]] void Attribute(std::string_view key, int64_t value) {
    const auto bits = static_cast<uint64_t>(value);
    uint8_t* p = BeginAttribute(key, 1 + protocols::otlp::VarintSize(bits));
    *p++ = protocols::otlp::field::kIntValue << 3;
    Finish(protocols::otlp::PutVarint(p, bits));
  }
  void Attribute(std::string_view key, bool value) {
    uint8_t* p = BeginAttribute(key, 2);
    *p++ = protocols::otlp::field::kBoolValue << 3;
    *p++ = value ? 1 : 0;
    Finish(p);
  }
  void Attribute(std::string_view key, double value) {
    uint8_t* p = BeginAttribute(key, 1 + sizeof value);
    *p++ = protocols::otlp::field::kDoubleValue << 3 | 1;
    std::memcpy(p, &value, sizeof value);
    Finish(p + sizeof value);
  }

  base::ByteBuffer& out() { return out_; }

 private:
  static constexpr size_t kMaxTag = 2, kMaxVarint = 10;

  static constexpr uint8_t BytesTag(uint32_t field) { return static_cast<uint8_t>(field << 3 | 2); }
  static uint8_t* PutTag(uint8_t* p, uint32_t field, protocols::otlp::WireType type) {
    return protocols::otlp::PutVarint(p, field << 3 | static_cast<uint32_t>(type));
  }
  static uint8_t* Put(uint8_t* p, base::ByteView bytes) {
    if (!bytes.empty()) std::memcpy(p, bytes.data(), bytes.size());
    return p + bytes.size();
  }
  template <typename T>
  void PutFixed(uint32_t field, protocols::otlp::WireType type, T value) {
    uint8_t* p = PutTag(out_.Grow(kMaxTag + sizeof value), field, type);
    std::memcpy(p, &value, sizeof value);
    Finish(p + sizeof value);
  }
  void Finish(const uint8_t* end) {
    out_.Commit(static_cast<size_t>(end - out_.data()) - out_.size());
  }
  void Repair(std::string_view value) {
    if (base::IsUtf8(value)) [[likely]]
      return;
    uint8_t* text = out_.data() + out_.size() - value.size();
    base::RepairUtf8(reinterpret_cast<char*>(text), value.size());
  }
  // Up to the AnyValue's content, of `inner` bytes, for which there is room behind.
  [[gnu::always_inline]] uint8_t* BeginAttribute(std::string_view key, size_t inner) {
    namespace field = protocols::otlp::field;
    using protocols::otlp::PutVarint;
    using protocols::otlp::VarintSize;
    const size_t value = 1 + VarintSize(inner) + inner;
    const size_t pair = 1 + VarintSize(key.size()) + key.size() + value;
    uint8_t* p = out_.Grow(pair + kMaxTag + kMaxVarint);
    *p++ = BytesTag(field::kAttribute);
    p = PutVarint(p, pair);
    *p++ = BytesTag(field::kKey);
    p = PutVarint(p, key.size());
    p = Put(p, base::AsBytes(key));
    *p++ = BytesTag(field::kValue);
    return PutVarint(p, inner);
  }

  base::ByteBuffer& out_;
  size_t begin_ = 0;
};

}  // namespace weft::merge
