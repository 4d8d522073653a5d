// Reading protobuf's wire format: one field at a time, every length checked against what is left.
// Shared by the index, the views and the JSON writer of this room; nobody else reads OTLP.
//
//   message := field*        field := tag value        tag := varint(number << 3 | wire type)
//   value   := varint (0) | 8 bytes (1) | varint(length) bytes (2) | 4 bytes (5)
#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {

constexpr uint32_t TagOf(uint32_t field, WireType type) {
  return field << 3 | static_cast<uint32_t>(type);
}
constexpr uint32_t BytesTag(uint32_t field) { return TagOf(field, WireType::kBytes); }
constexpr uint32_t VarintTag(uint32_t field) { return TagOf(field, WireType::kVarint); }

// `p` moves behind the varint; false if it is cut off or longer than `max_bytes`.
bool ReadLongVarint(const uint8_t*& p, const uint8_t* end, int max_bytes, uint64_t* value);

inline bool ReadVarint(const uint8_t*& p, const uint8_t* end, int max_bytes, uint64_t* value) {
  if (p != end && *p < 0x80) [[likely]] {
    *value = *p++;
    return true;
  }
  // Lengths of spans and events.
  if (end - p >= 2 && p[1] < 0x80) [[likely]] {
    *value = (p[0] & 0x7fu) | uint64_t{p[1]} << 7;
    p += 2;
    return true;
  }
  return ReadLongVarint(p, end, max_bytes, value);
}

struct Field {
  uint32_t tag = 0;
  uint64_t number = 0;            // varint, fixed32, fixed64
  const uint8_t* data = nullptr;  // of wire type kBytes
  size_t size = 0;

  const uint8_t* end() const { return data + size; }
  base::ByteView view() const { return {data, size}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data), size}; }
};

// Reads the field at `p` (p != end) and moves behind it. False for what protobuf cannot read
// either: cut off, field number 0, group or unknown wire types, overlong varints. Inline where the
// index has one loop per message: the call was a quarter of its time.
[[gnu::always_inline]] inline bool ReadField(const uint8_t*& p, const uint8_t* end, Field* f) {
  uint64_t tag;
  if (!ReadVarint(p, end, 5, &tag) || tag > UINT32_MAX || tag < 8) return false;
  f->tag = static_cast<uint32_t>(tag);
  switch (tag & 7) {
    case 0:
      return ReadVarint(p, end, 10, &f->number);
    case 1:
      if (end - p < 8) return false;
      std::memcpy(&f->number, p, 8);
      p += 8;
      return true;
    case 2: {
      uint64_t size;
      if (!ReadVarint(p, end, 5, &size) || size > static_cast<size_t>(end - p)) return false;
      f->data = p;
      f->size = static_cast<size_t>(size);
      p += f->size;
      return true;
    }
    case 5: {
      if (end - p < 4) return false;
      uint32_t v;
      std::memcpy(&v, p, 4);
      f->number = v;
      p += 4;
      return true;
    }
    default:
      return false;
  }
}

// Calls `use(field)` for every field until it returns false. False if the message is malformed or
// `use` said so.
template <typename Use>
bool ForEachField(base::ByteView message, Use&& use) {
  const uint8_t* p = message.data();
  const uint8_t* end = p + message.size();
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f) || !use(f)) return false;
  }
  return true;
}

}  // namespace weft::protocols::otlp
