// What a fuzzer calls: the functions of this room that see foreign bytes, with the promises that
// hold for any input. The fuzz target and the corpus test run the same code.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::base {

// The first byte chooses the compression, the rest is inflated under a small limit and a smaller
// credit. Returns what went wrong, empty if nothing.
std::string TryInflate(ByteView bytes);

}  // namespace weft::base
