// BinaryReader: bounds-checked reading of thrift's binary protocol (what Jaeger's Node client sends
// to port 6832), with the same interface as CompactReader.
//
//   message  strict: 80 01 00 kind, name, i32 sequence; older form: name, kind, i32 sequence
//   field    type, i16 id; list: type, i32 count; map: key type, value type, i32 count
//   numbers  big-endian; text: i32 length and bytes
#pragma once

#include <bit>
#include <cstring>

#include "protocols/thrift/types.h"

namespace weft::protocols::thrift {

// Threads: one. Owns: nothing; views point into the input. Cost: no allocation. Fails: see Cursor.
class BinaryReader : public Cursor {
 public:
  using Cursor::Cursor;

  HeadStatus Head(MessageHead* out) {
    if (left() > 0 && *p_ == 0x82) return HeadStatus::kOtherProtocol;
    const uint32_t first = Big<uint32_t>();
    uint8_t kind;
    if (first >> 31) {
      if (first >> 16 != 0x8001) return HeadStatus::kBad;
      kind = static_cast<uint8_t>(first);
      out->name = Binary();
    } else {
      out->name = Take(first);
      kind = U8();
    }
    out->sequence = I32();
    if (!ok() || kind < 1 || kind > 4 || out->name.size() > kMaxNameBytes) return HeadStatus::kBad;
    out->kind = static_cast<MessageKind>(kind);
    return HeadStatus::kDone;
  }

  // kStop at the end of the struct and on failure.
  Field NextField(int16_t /*previous_id*/) {
    Field field;
    const uint8_t type = U8();
    if (type == 0) return field;
    field.type = TypeOf(type);
    field.id = I16();
    if (field.type == Type::kStop || !ok()) return Fail(), Field{};
    return field;
  }

  // Takes the head of this very field when it comes next; else false and nothing is taken.
  bool TryField(int16_t /*previous_id*/, int16_t id, Type type) {
    if (left() < 3 || p_[0] != static_cast<uint8_t>(type) || p_[1] != id >> 8 ||
        p_[2] != (id & 0xff)) {
      return false;
    }
    p_ += 3;
    return true;
  }

  bool Bool(const Field&) { return U8() != 0; }
  uint8_t Byte() { return U8(); }
  int16_t I16() { return static_cast<int16_t>(Big<uint16_t>()); }
  int32_t I32() { return static_cast<int32_t>(Big<uint32_t>()); }
  int64_t I64() { return static_cast<int64_t>(Big<uint64_t>()); }
  double Double() { return std::bit_cast<double>(Big<uint64_t>()); }
  // A negative length is larger than anything that can be left.
  std::string_view Binary() { return Take(Big<uint32_t>()); }
  std::string_view Uuid() { return Take(16); }

  // As in CompactReader.
  bool TryTextTag(std::string_view* key, std::string_view* text) {
    static constexpr uint8_t kKey[] = {11, 0, 1, 0, 0, 0}, kText[] = {11, 0, 3, 0, 0, 0};
    static constexpr uint8_t kType[] = {8, 0, 2, 0, 0, 0, 0};
    constexpr size_t kShortest = 22;
    if (left() < kShortest || std::memcmp(p_, kKey, 6) != 0 || left() - kShortest < p_[6])
      return false;
    const uint8_t* const behind_key = p_ + 7 + p_[6];
    const size_t size = behind_key[13];
    if (std::memcmp(behind_key, kType, 7) != 0 || std::memcmp(behind_key + 7, kText, 6) != 0 ||
        static_cast<size_t>(end_ - behind_key) < 15 + size || behind_key[14 + size] != 0) {
      return false;
    }
    *key = {reinterpret_cast<const char*>(p_ + 7), p_[6]};
    *text = {reinterpret_cast<const char*>(behind_key + 14), size};
    p_ = behind_key + 15 + size;
    return true;
  }

  ListHead List() {
    ListHead list;
    const uint8_t type = U8();
    const uint32_t count = Big<uint32_t>();
    // An empty list may carry any element type: some writers leave it zero.
    if (!ok() || count == 0) return list;
    list.element = TypeOf(type);
    if (list.element == Type::kStop) return Fail(), ListHead{};
    if (!Fits(count, MinimumBytes(list.element))) return ListHead{};
    list.count = count;
    return list;
  }
  MapHead Map() {
    MapHead map;
    const uint8_t key = U8(), value = U8();
    const uint32_t count = Big<uint32_t>();
    if (!ok() || count == 0) return map;
    map.key = TypeOf(key);
    map.value = TypeOf(value);
    if (map.key == Type::kStop || map.value == Type::kStop) return Fail(), MapHead{};
    if (!Fits(count, MinimumBytes(map.key) + MinimumBytes(map.value))) return MapHead{};
    map.count = count;
    return map;
  }

 private:
  static Type TypeOf(uint8_t wire) {
    constexpr uint32_t kKnown =
        1u << 2 | 1u << 3 | 1u << 4 | 1u << 6 | 1u << 8 | 0x1fc00u;  // 10 to 16
    return wire < 32 && (kKnown >> wire & 1) ? static_cast<Type>(wire) : Type::kStop;
  }
  static uint64_t MinimumBytes(Type type) {
    static constexpr uint8_t kBytes[17] = {1, 1, 1, 1, 8, 1, 2, 1, 4, 1, 8, 4, 1, 6, 5, 5, 16};
    return kBytes[static_cast<uint8_t>(type)];
  }
  template <typename Word>
  Word Big() {
    if (left() < sizeof(Word)) return Fail(), Word{0};
    Word value;
    std::memcpy(&value, p_, sizeof value);
    p_ += sizeof value;
    if constexpr (std::endian::native == std::endian::big) return value;
    if constexpr (sizeof value == 2) return __builtin_bswap16(value);
    if constexpr (sizeof value == 4) return __builtin_bswap32(value);
    return static_cast<Word>(__builtin_bswap64(value));
  }
};

}  // namespace weft::protocols::thrift
