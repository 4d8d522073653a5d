// Private to protocols/otlp: the messages of OTLP as their JSON form knows them, a table for each.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "model/otlp_batch.h"

namespace weft::protocols::otlp {

// How a member's value is spelled in JSON and encoded in protobuf.
enum class JsonKind : uint8_t {
  kText,
  kId,      // bytes in hex digits; what is none is left out
  kBase64,  // other bytes
  kBool,
  kInteger,  // varint
  kSigned,   // zigzag varint of 32 bits
  kEnum,     // varint; by name, too
  kFixed32,
  kFixed64,
  kDouble,
  kMessage,
};

struct JsonMessage;

struct JsonField {
  std::string_view key;
  uint32_t number;
  JsonKind kind;
  const JsonMessage* child = nullptr;  // of kMessage
  bool repeated = false;
};

struct JsonMessage {
  std::span<const JsonField> fields;  // in the order in which senders write them
  bool nests = false;                 // may contain itself
};

// Export…ServiceRequest of `signal`; null for one that has no JSON form here.
const JsonMessage* JsonRequest(model::Signal signal);

// The number of an enum value's name.
[[nodiscard]] bool JsonEnum(std::string_view name, uint64_t* number);

}  // namespace weft::protocols::otlp
