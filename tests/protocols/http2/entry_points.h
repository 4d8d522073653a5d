// What a fuzzer calls: the functions of this room that see foreign bytes, with the promises that
// hold for any input. The fuzz targets and the corpus test run the same code.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::protocols::http2 {

// The first byte says how the connection starts; then one byte of what to do and one of how much,
// again and again. Returns what went wrong, empty if nothing.
std::string TryConnection(base::ByteView bytes);
// The first byte cuts the rest into header blocks. The same blocks to an HPACK decoder that knows
// the table and to one that joined behind the first: what the second reports, the first does too.
std::string TryBlocks(base::ByteView bytes);

}  // namespace weft::protocols::http2
