// Skipping a value of any type: what a codec does with fields it does not know. Bounded in depth;
// containers of fixed-size elements are skipped in one step.
#pragma once

#include "protocols/thrift/types.h"

namespace weft::protocols::thrift {

// Skips one value as it stands in a list or map, or the value of a field that is not a boolean.
// Reader is CompactReader or BinaryReader. Fails: the reader, on a bad type, a bad length or too
// deep nesting.
template <typename Reader>
void SkipElement(Reader& reader, Type type, int depth = 0) {
  if (depth >= kMaxDepth) {
    reader.Fail();
    return;
  }
  switch (type) {
    case Type::kBool:
    case Type::kByte:
      reader.Byte();
      return;
    case Type::kI16:
      reader.I16();
      return;
    case Type::kI32:
      reader.I32();
      return;
    case Type::kI64:
      reader.I64();
      return;
    case Type::kDouble:
      reader.Double();
      return;
    case Type::kBinary:
      reader.Binary();
      return;
    case Type::kUuid:
      reader.Uuid();
      return;
    case Type::kStruct:
      for (Field field; (field = reader.NextField(field.id)).type != Type::kStop;) {
        if (field.type == Type::kBool) {
          reader.Bool(field);
        } else {
          SkipElement(reader, field.type, depth + 1);
        }
      }
      return;
    case Type::kMap: {
      const MapHead head = reader.Map();
      for (uint32_t i = 0; i < head.count && reader.ok(); ++i) {
        SkipElement(reader, head.key, depth + 1);
        SkipElement(reader, head.value, depth + 1);
      }
      return;
    }
    case Type::kSet:
    case Type::kList: {
      const ListHead head = reader.List();
      for (uint32_t i = 0; i < head.count && reader.ok(); ++i) {
        SkipElement(reader, head.element, depth + 1);
      }
      return;
    }
    case Type::kStop:
      break;
  }
  reader.Fail();
}

// Skips the value of `field`.
template <typename Reader>
void SkipField(Reader& reader, const Field& field) {
  if (field.type == Type::kBool) {
    reader.Bool(field);
  } else {
    SkipElement(reader, field.type);
  }
}

}  // namespace weft::protocols::thrift
