// Writes thrift in either encoding, for tests: the opposite of the readers, written from the thrift
// specification and with no code in common with them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/thrift/types.h"

namespace weft::protocols::thrift {

class ThriftWriter {
 public:
  explicit ThriftWriter(bool compact) : compact_(compact) {}

  void Head(std::string_view name, MessageKind kind = MessageKind::kOneway, int32_t sequence = 7) {
    const char k = static_cast<char>(kind);
    if (compact_) {
      out_ += '\x82';
      out_ += static_cast<char>(k << 5 | 1);
      Varint(static_cast<uint32_t>(sequence));
      Text(name);
    } else {
      out_ += '\x80';
      out_ += '\x01';
      out_ += '\0';
      out_ += k;
      Text(name);
      Big(static_cast<uint32_t>(sequence), 4);
    }
  }
  // The binary protocol's older head, without a version.
  void OldHead(std::string_view name, MessageKind kind) {
    Text(name);
    out_ += static_cast<char>(kind);
    Big(7, 4);
  }
  // At the start of every struct, also of the arguments.
  void Begin() { last_.push_back(0); }
  void End() {
    last_.pop_back();
    out_ += '\0';
  }
  void Field(int16_t id, Type type) { FieldHead(id, type, compact_ ? CompactType(type) : 0); }
  void BoolField(int16_t id, bool value) {
    FieldHead(id, Type::kBool, value ? 1 : 2);
    if (!compact_) out_ += value ? '\1' : '\0';
  }
  void TextField(int16_t id, std::string_view value) { Field(id, Type::kBinary), Text(value); }
  void I32Field(int16_t id, int32_t value) { Field(id, Type::kI32), I32(value); }
  void I64Field(int16_t id, int64_t value) { Field(id, Type::kI64), I64(value); }
  void DoubleField(int16_t id, double value) { Field(id, Type::kDouble), Double(value); }
  void ListField(int16_t id, Type element, uint32_t count) {
    Field(id, Type::kList), List(element, count);
  }

  void Byte(uint8_t value) { out_ += static_cast<char>(value); }
  void I16(int16_t value) { compact_ ? ZigZag(value) : Big(static_cast<uint16_t>(value), 2); }
  void I32(int32_t value) { compact_ ? ZigZag(value) : Big(static_cast<uint32_t>(value), 4); }
  void I64(int64_t value) { compact_ ? ZigZag(value) : Big(static_cast<uint64_t>(value), 8); }
  void Double(double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, 8);
    if (!compact_) return Big(bits, 8);
    for (int i = 0; i < 8; ++i) out_ += static_cast<char>(bits >> (8 * i));
  }
  void Text(std::string_view value) {
    compact_ ? Varint(value.size()) : Big(value.size(), 4);
    out_ += value;
  }
  void List(Type element, uint32_t count) {
    if (!compact_) {
      out_ += static_cast<char>(element);
      return Big(count, 4);
    }
    const int type = CompactType(element);
    if (count < 15) {
      out_ += static_cast<char>(count << 4 | type);
    } else {
      out_ += static_cast<char>(0xf0 | type);
      Varint(count);
    }
  }
  void Map(Type key, Type value, uint32_t count) {
    if (!compact_) {
      out_ += static_cast<char>(key);
      out_ += static_cast<char>(value);
      return Big(count, 4);
    }
    Varint(count);
    if (count > 0) out_ += static_cast<char>(CompactType(key) << 4 | CompactType(value));
  }
  void Raw(std::string_view bytes) { out_ += bytes; }

  const std::string& out() const { return out_; }
  base::ByteView view() const { return base::AsBytes(out_); }

 private:
  static int CompactType(Type type) {
    switch (type) {
      case Type::kStop:
        return 0;
      case Type::kBool:
        return 1;
      case Type::kByte:
        return 3;
      case Type::kI16:
        return 4;
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
      case Type::kSet:
        return 10;
      case Type::kMap:
        return 11;
      case Type::kStruct:
        return 12;
      case Type::kUuid:
        return 13;
    }
    return 0;
  }
  void FieldHead(int16_t id, Type type, int compact_type) {
    if (!compact_) {
      out_ += static_cast<char>(type);
      return Big(static_cast<uint16_t>(id), 2);
    }
    const int delta = id - last_.back();
    if (delta > 0 && delta < 16) {
      out_ += static_cast<char>(delta << 4 | compact_type);
    } else {
      out_ += static_cast<char>(compact_type);
      ZigZag(id);
    }
    last_.back() = id;
  }
  void Varint(uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_ += static_cast<char>(v | 0x80);
    out_ += static_cast<char>(v);
  }
  void ZigZag(int64_t v) { Varint(static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63)); }
  void Big(uint64_t v, int n) {
    for (int i = n - 1; i >= 0; --i) out_ += static_cast<char>(v >> (8 * i));
  }

  const bool compact_;
  std::string out_;
  std::vector<int16_t> last_;
};

}  // namespace weft::protocols::thrift
