// What a fuzzer calls: the functions of this room that see foreign bytes, with the promises that
// hold for any input. The fuzz targets and the corpus test run the same code.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::protocols::otlp {

// Index, then everything that works on what it accepted. Returns what went wrong, empty if nothing.
std::string TryIndex(base::ByteView bytes);
// JsonToProto, then Index and JSON again.
std::string TryJson(base::ByteView bytes);
// JsonToProto for metrics and for logs; what it makes is protobuf.
std::string TrySignalsJson(base::ByteView bytes);

}  // namespace weft::protocols::otlp
