// OTLP/JSON out, as the file exporter of the OpenTelemetry Collector writes it: lowerCamelCase
// keys, hex ids, 64-bit integers and times as strings, enums as numbers, empty fields left out.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::protocols::otlp {

// Appends one request as one JSON object without a newline in it. `request_proto` is what Index
// accepted or Gather made; of anything else nothing but "{}" may come out. Unknown fields are lost.
void AppendJson(base::ByteView request_proto, std::string* out);

}  // namespace weft::protocols::otlp
