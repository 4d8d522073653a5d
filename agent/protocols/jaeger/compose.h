// Private to protocols/jaeger: how OTLP bytes are put down here. Messages whose length is known
// only at their end get room for the usual length and are shifted when they turn out longer or
// shorter; attributes are written in one step.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::jaeger {

constexpr uint8_t TagByte(uint32_t field, otlp::WireType type) {
  return static_cast<uint8_t>(field << 3 | static_cast<uint32_t>(type));
}

// memcpy for the few bytes that keys and values have: no call, and no byte outside of both ranges.
inline void CopyShort(uint8_t* to, const char* from, size_t n) {
  if (n > 32) {
    std::memcpy(to, from, n);
  } else if (n >= 16) {
    std::memcpy(to, from, 16);
    std::memcpy(to + n - 16, from + n - 16, 16);
  } else if (n >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + n - 8, from + n - 8, 8);
  } else if (n >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + n - 4, from + n - 4, 4);
  } else {
    for (size_t i = 0; i < n; ++i) to[i] = static_cast<uint8_t>(from[i]);
  }
}

// An embedded message that is being written. `room` is the expected number of bytes of its length.
class OpenMessage {
 public:
  OpenMessage() = default;
  OpenMessage(base::ByteBuffer& out, uint32_t field, size_t room)
      : begin_(out.size()), room_(room) {
    *out.Grow(1 + room) = TagByte(field, otlp::WireType::kBytes);
    out.Commit(1 + room);
  }
  size_t begin() const { return begin_; }
  // The same message after its bytes have been moved towards the front.
  OpenMessage MovedBack(size_t bytes) const {
    OpenMessage moved = *this;
    moved.begin_ -= bytes;
    return moved;
  }
  bool HasContent(const base::ByteBuffer& out) const { return out.size() > begin_ + 1 + room_; }
  // Ends the message at `end`; what stands behind `end` moves along. Returns by how much.
  std::ptrdiff_t CloseAt(base::ByteBuffer& out, size_t end) {
    const size_t content = begin_ + 1 + room_;
    const size_t width = otlp::VarintSize(end - content);
    if (width != room_) {
      if (width > room_) out.Grow(width - room_);
      uint8_t* from = out.data() + content;
      std::memmove(from + width - room_, from, out.size() - content);
      if (width > room_) {
        out.Commit(width - room_);
      } else {
        out.Truncate(out.size() - (room_ - width));
      }
    }
    otlp::PutVarint(out.data() + begin_ + 1, end - content);
    return static_cast<std::ptrdiff_t>(width) - static_cast<std::ptrdiff_t>(room_);
  }
  void Close(base::ByteBuffer& out) { CloseAt(out, out.size()); }

 private:
  size_t begin_ = 0, room_ = 0;
};

// An AnyValue to be written.
class Value {
 public:
  static Value Text(std::string_view text) {
    return {otlp::field::kTextValue, otlp::WireType::kBytes, text.size(), text};
  }
  static Value Bytes(std::string_view bytes) {
    return {otlp::field::kBytesValue, otlp::WireType::kBytes, bytes.size(), bytes};
  }
  static Value Bool(bool value) {
    return {otlp::field::kBoolValue, otlp::WireType::kVarint, value, {}};
  }
  static Value Int(int64_t value) {
    return {otlp::field::kIntValue, otlp::WireType::kVarint, static_cast<uint64_t>(value), {}};
  }
  static Value Double(double value) {
    return {
        otlp::field::kDoubleValue, otlp::WireType::kFixed64, std::bit_cast<uint64_t>(value), {}};
  }
  size_t size() const { return 1 + (is_fixed_ ? 8 : otlp::VarintSize(number_)) + tail_.size(); }
  uint8_t* Put(uint8_t* p) const {
    *p++ = tag_;
    if (is_fixed_) {
      for (int i = 0; i < 8; ++i) *p++ = static_cast<uint8_t>(number_ >> (8 * i));
      return p;
    }
    p = otlp::PutVarint(p, number_);
    CopyShort(p, tail_.data(), tail_.size());
    return p + tail_.size();
  }

 private:
  Value(uint32_t field, otlp::WireType type, uint64_t number, std::string_view tail)
      : tag_(TagByte(field, type)),
        is_fixed_(type == otlp::WireType::kFixed64),
        number_(number),
        tail_(tail) {}

  uint8_t tag_;
  bool is_fixed_;
  uint64_t number_;  // the value, or the length of the tail
  std::string_view tail_;
};

inline void PutAttribute(base::ByteBuffer& out, uint32_t field, std::string_view key,
                         const Value& value) {
  const size_t key_size = 1 + otlp::VarintSize(key.size()) + key.size();
  const size_t content = key_size + 1 + otlp::VarintSize(value.size()) + value.size();
  uint8_t* const start = out.Grow(content + 11);
  uint8_t* p = start;
  *p++ = TagByte(field, otlp::WireType::kBytes);
  p = otlp::PutVarint(p, content);
  *p++ = TagByte(otlp::field::kKey, otlp::WireType::kBytes);
  p = otlp::PutVarint(p, key.size());
  CopyShort(p, key.data(), key.size());
  p += key.size();
  *p++ = TagByte(otlp::field::kValue, otlp::WireType::kBytes);
  p = otlp::PutVarint(p, value.size());
  out.Commit(static_cast<size_t>(value.Put(p) - start));
}

inline void PutText(base::ByteBuffer& out, uint32_t field, std::string_view text) {
  uint8_t* const start = out.Grow(text.size() + 11);
  uint8_t* p = start;
  *p++ = TagByte(field, otlp::WireType::kBytes);
  p = otlp::PutVarint(p, text.size());
  CopyShort(p, text.data(), text.size());
  out.Commit(static_cast<size_t>(p - start) + text.size());
}

inline uint8_t* PutLittle64(uint8_t* p, uint32_t field, uint64_t value) {
  *p++ = TagByte(field, otlp::WireType::kFixed64);
  if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
  std::memcpy(p, &value, sizeof value);
  return p + sizeof value;
}

// A bytes field that holds a big-endian number: half a trace id or a span id.
inline uint8_t* PutBig64(uint8_t* p, uint64_t value) {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
  std::memcpy(p, &value, sizeof value);
  return p + sizeof value;
}

// The attributes of one span, event or resource in one buffer. Jaeger's clients append a tag each
// time it is set; OTLP wants unique keys, so the earlier one is cut out again and the last one
// wins. Keys beyond the first kTracked are written as they come.
class Attributes {
 public:
  void Start(uint32_t field) { field_ = field, count_ = 0, seen_ = 0; }
  void Put(base::ByteBuffer& out, std::string_view key, const Value& value) {
    const uint64_t bit = Bit(key);
    if (seen_ & bit) Remove(out, key);
    const size_t begin = out.size();
    PutAttribute(out, field_, key, value);
    if (count_ == kTracked) return;
    seen_ |= bit;
    entries_[count_++] = {key.data(), key.size(), begin, out.size() - begin};
  }
  // The same for a text, when kReadOver bytes behind the begin of `key` and of `text` may be read:
  // short ones are then copied without a look at their size.
  void PutShortText(base::ByteBuffer& out, std::string_view key, std::string_view text) {
    const size_t content = 6 + key.size() + text.size();
    if (key.size() > kReadOver || text.size() > kReadOver || count_ == kTracked || seen_ & Bit(key))
      return Put(out, key, Value::Text(text));
    uint8_t* p = out.Grow(content + 2 + kReadOver);
    *p++ = TagByte(field_, otlp::WireType::kBytes);
    *p++ = static_cast<uint8_t>(content);
    *p++ = TagByte(otlp::field::kKey, otlp::WireType::kBytes);
    *p++ = static_cast<uint8_t>(key.size());
    std::memcpy(p, key.data(), kReadOver);
    p += key.size();
    *p++ = TagByte(otlp::field::kValue, otlp::WireType::kBytes);
    *p++ = static_cast<uint8_t>(text.size() + 2);
    *p++ = TagByte(otlp::field::kTextValue, otlp::WireType::kBytes);
    *p++ = static_cast<uint8_t>(text.size());
    std::memcpy(p, text.data(), kReadOver);
    seen_ |= Bit(key);
    entries_[count_++] = {key.data(), key.size(), out.size(), content + 2};
    out.Commit(content + 2);
  }
  void Remove(base::ByteBuffer& out, std::string_view key) {
    if ((seen_ & Bit(key)) == 0) return;
    for (size_t i = 0; i < count_; ++i) {
      if (std::string_view(entries_[i].key, entries_[i].key_size) != key) continue;
      const Entry gone = entries_[i];
      uint8_t* hole = out.data() + gone.begin;
      std::memmove(hole, hole + gone.size, out.size() - gone.begin - gone.size);
      out.Truncate(out.size() - gone.size);
      for (size_t j = i + 1; j < count_; ++j) {
        entries_[j - 1] = entries_[j];
        entries_[j - 1].begin -= gone.size;
      }
      --count_;
      return;
    }
  }

  static constexpr size_t kReadOver = 32;

 private:
  static constexpr size_t kTracked = 64;
  struct Entry {  // trivial, so that the table need not be filled
    const char* key;
    size_t key_size, begin, size;
  };
  static uint64_t Bit(std::string_view key) {
    if (key.empty()) return 1;
    const auto at = [&](size_t i) { return static_cast<uint8_t>(key[i]); };
    const uint32_t mix = at(0) + 3u * at(key.size() - 1) + 7u * at(key.size() / 2) +
                         13u * static_cast<uint32_t>(key.size());
    return uint64_t{1} << (mix & 63);
  }

  uint32_t field_ = 0;
  size_t count_ = 0;
  uint64_t seen_ = 0;  // a Bloom filter of the keys
  std::array<Entry, kTracked> entries_;
};

}  // namespace weft::protocols::jaeger
