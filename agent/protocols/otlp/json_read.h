// OTLP/JSON in: turns the JSON form of an ExportTraceServiceRequest into its protobuf bytes, which
// then go through Index like everybody else's. Follows the specification (hex ids, integer enums,
// unknown fields ignored) and what senders really do: 64-bit numbers as numbers or strings,
// exponents, "NaN"/"Infinity", both base64 alphabets, null for absent, enum names, keys in any
// order.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::protocols::otlp {

// Appends the request to `out`. Bad ids are written as they are or left out, so that Index drops
// that span alone; invalid UTF-8 and lone surrogates become '?' and U+FFFD. Fails: false with a
// readable `error` for anything that is not JSON of this form or nests values deeper than kMaxDepth
// (case F37); `out` then has its old size. Threads: any; a parser per thread. Cost: memory up to 4×
// the input besides the output.
[[nodiscard]] bool JsonToProto(base::ByteView json, base::ByteBuffer* out, std::string* error);

}  // namespace weft::protocols::otlp
