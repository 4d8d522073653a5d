// CompactReader: bounds-checked reading of thrift's compact protocol (what Jaeger clients send to
// port 6831).
//
//   message  82, kind<<5 | version 1, varint sequence, name
//   field    delta<<4 | type, or type and a zigzag id when the delta is 0; booleans are in the type
//   list     count<<4 | type, 15<<4 with a varint count behind it; map: varint count, then key<<4 |
//   value type numbers  zigzag varints; doubles 8 bytes little-endian; text varint length and bytes
#pragma once

#include <bit>
#include <cstring>

#include "protocols/thrift/types.h"

namespace weft::protocols::thrift {

// Threads: one. Owns: nothing; views point into the input. Cost: no allocation. Fails: see Cursor.
class CompactReader : public Cursor {
 public:
  using Cursor::Cursor;

  HeadStatus Head(MessageHead* out) {
    const uint8_t first = U8();
    if (first != 0x82) {
      // 80: strict binary; 00: the length of a name in the older binary form.
      return ok() && (first == 0x80 || first == 0x00) ? HeadStatus::kOtherProtocol
                                                      : HeadStatus::kBad;
    }
    const uint8_t second = U8();
    const uint8_t kind = second >> 5;
    if ((second & 0x1f) != 1 || kind < 1 || kind > 4) return HeadStatus::kBad;
    out->kind = static_cast<MessageKind>(kind);
    out->sequence = static_cast<int32_t>(Varint(5));
    out->name = Binary();
    return ok() && out->name.size() <= kMaxNameBytes ? HeadStatus::kDone : HeadStatus::kBad;
  }

  // `previous_id`: of the field before, 0 at the start of a struct. kStop at the end of the struct
  // and on failure.
  Field NextField(int16_t previous_id) {
    const uint8_t head = U8();
    Field field;
    if (head == 0) return field;
    field.type = TypeOf(head & 0x0f);
    field.flag = (head & 0x0f) == 1;
    field.id = head >> 4 ? static_cast<int16_t>(previous_id + (head >> 4)) : I16();
    if (field.type == Type::kStop || !ok()) return Fail(), Field{};
    return field;
  }

  // Takes the head of this very field when it comes next; else false and nothing is taken. Not for
  // booleans. Cost: one comparison, where NextField looks at everything that might come: for fields
  // that writers put in a fixed order.
  bool TryField(int16_t previous_id, int16_t id, Type type) {
    if (p_ == end_ || *p_ != ((id - previous_id) << 4 | WireOf(type))) return false;
    ++p_;
    return true;
  }

  bool Bool(const Field& field) { return field.flag; }
  uint8_t Byte() { return U8(); }
  int16_t I16() { return static_cast<int16_t>(ZigZag(Varint(3))); }
  int32_t I32() { return static_cast<int32_t>(ZigZag(Varint(5))); }
  int64_t I64() { return ZigZag(Varint(10)); }
  double Double() {
    const std::string_view raw = Take(8);
    uint64_t bits = 0;
    for (size_t i = raw.size(); i > 0; --i) bits = bits << 8 | static_cast<uint8_t>(raw[i - 1]);
    return std::bit_cast<double>(bits);
  }
  std::string_view Binary() { return Take(Varint(5)); }
  std::string_view Uuid() { return Take(16); }

  // Takes a struct whose fields are text 1, i32 2 of value 0 and text 3, both texts short: what
  // most tags of Jaeger are. False when anything else comes next; then nothing is taken.
  bool TryTextTag(std::string_view* key, std::string_view* text) {
    constexpr size_t kShortest = 7;
    if (left() < kShortest || p_[0] != 0x18 || p_[1] >= 0x80 || left() - kShortest < p_[1])
      return false;
    const uint8_t* const behind_key = p_ + 2 + p_[1];
    const size_t size = behind_key[3];
    if (behind_key[0] != 0x15 || behind_key[1] != 0 || behind_key[2] != 0x18 || size >= 0x80 ||
        static_cast<size_t>(end_ - behind_key) < 5 + size || behind_key[4 + size] != 0) {
      return false;
    }
    *key = {reinterpret_cast<const char*>(p_ + 2), p_[1]};
    *text = {reinterpret_cast<const char*>(behind_key + 4), size};
    p_ = behind_key + 5 + size;
    return true;
  }

  ListHead List() {
    const uint8_t head = U8();
    ListHead list;
    const uint64_t count = head >> 4 == 15 ? Varint(5) : head >> 4;
    // An empty list may carry any element type: some writers leave it zero.
    if (!ok() || count == 0) return list;
    list.element = TypeOf(head & 0x0f);
    if (list.element == Type::kStop) return Fail(), ListHead{};
    if (!Fits(count, MinimumBytes(list.element))) return ListHead{};
    list.count = static_cast<uint32_t>(count);
    return list;
  }
  MapHead Map() {
    MapHead map;
    const uint64_t count = Varint(5);
    if (count == 0 || !ok()) return map;
    const uint8_t types = U8();
    map.key = TypeOf(types >> 4);
    map.value = TypeOf(types & 0x0f);
    if (map.key == Type::kStop || map.value == Type::kStop) return Fail(), MapHead{};
    if (!Fits(count, MinimumBytes(map.key) + MinimumBytes(map.value))) return MapHead{};
    map.count = static_cast<uint32_t>(count);
    return map;
  }

 private:
  static Type TypeOf(uint8_t wire) {
    static constexpr Type kTypes[16] = {Type::kStop,   Type::kBool, Type::kBool, Type::kByte,
                                        Type::kI16,    Type::kI32,  Type::kI64,  Type::kDouble,
                                        Type::kBinary, Type::kList, Type::kSet,  Type::kMap,
                                        Type::kStruct, Type::kUuid, Type::kStop, Type::kStop};
    return kTypes[wire];
  }
  // A number that no head has for types that TryField does not take.
  static constexpr int WireOf(Type type) {
    switch (type) {
      case Type::kI32:
        return 5;
      case Type::kI64:
        return 6;
      case Type::kDouble:
        return 7;
      case Type::kBinary:
        return 8;
      case Type::kList:
        return 9;
      case Type::kStruct:
        return 12;
      default:
        return 1 << 16;
    }
  }
  static uint64_t MinimumBytes(Type type) {
    return type == Type::kDouble ? 8 : type == Type::kUuid ? 16 : 1;
  }
  // At most `max_bytes` long: an overlong number is damage, not a number.
  uint64_t Varint(int max_bytes) {
    if (p_ != end_ && *p_ < 0x80) return *p_++;
    if (left() >= 10) return LongVarint(max_bytes);
    uint64_t value = 0;
    for (int i = 0; i < max_bytes; ++i) {
      const uint64_t byte = U8();
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return ok() ? value : 0;
    }
    return Fail(), 0;
  }
  // With ten bytes or more left. Ids are random numbers: a loop over their bytes would be
  // mispredicted at nearly every end.
  uint64_t LongVarint(int max_bytes) {
    uint64_t word = LoadLittle64(p_);
    const uint64_t ends = ~word & 0x8080808080808080;
    if (ends != 0) {
      const int size = std::countr_zero(ends) / 8 + 1;
      if (size > max_bytes) return Fail(), 0;
      p_ += size;
      return Pack7(word & (ends ^ (ends - 1)));
    }
    const uint64_t ninth = p_[8], tenth = p_[9];
    const bool is_nine = ninth < 0x80;
    if (max_bytes < 10 || (!is_nine && tenth >= 0x80)) return Fail(), 0;
    p_ += is_nine ? 9 : 10;
    return Pack7(word) | (ninth & 0x7f) << 56 | (is_nine ? 0 : tenth << 63);
  }
  static uint64_t LoadLittle64(const uint8_t* p) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    return std::endian::native == std::endian::little ? word : __builtin_bswap64(word);
  }
  // The low seven bits of each byte, side by side.
  static uint64_t Pack7(uint64_t word) {
    word &= 0x7f7f7f7f7f7f7f7f;
    word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
    word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
    return (word & 0x0fffffff) | (word & 0x0fffffff00000000) >> 4;
  }
  static int64_t ZigZag(uint64_t n) {
    return static_cast<int64_t>(n >> 1) ^ -static_cast<int64_t>(n & 1);
  }
};

}  // namespace weft::protocols::thrift
