// OTLP/JSON in: turns the JSON form of an Export…ServiceRequest for traces, metrics or logs into
// its protobuf bytes, which then go on like everybody else's. Follows the specification (hex ids,
// integer enums, unknown fields ignored) and what senders really do: 64-bit numbers as numbers or
// strings, exponents, "NaN"/"Infinity", both base64 alphabets, null for absent, enum names, keys in
// any order.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::protocols::otlp {

// Appends the request to `out`. Bad ids are written as they are or left out, so that Index drops
// that span alone; invalid UTF-8 and lone surrogates become '?' and U+FFFD. Fails: false with a
// readable `error` for anything that is not JSON of this form or nests values deeper than kMaxDepth
// (case F37), and for profiles; `out` then has its old size. Threads: any; a parser per thread.
// Cost: memory up to JsonWorkBytes.
[[nodiscard]] bool JsonToProto(base::ByteView json, base::ByteBuffer* out, std::string* error,
                               model::Signal signal = model::Signal::kTraces);

// What JsonToProto takes at most for so many bytes: a copy (1×), the parser's index (4×) and the
// output, which is 4× where a digit and its comma become a number of 64 bits, else shorter.
constexpr uint64_t JsonWorkBytes(uint64_t json_bytes, model::Signal signal) {
  return json_bytes * (signal == model::Signal::kMetrics ? 9 : 6);
}

}  // namespace weft::protocols::otlp
