// What a fuzzer calls: one direction of a connection, with the promises that hold for any input.
// The fuzz target and the corpus test run the same code.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::protocols::http1 {

// The first byte says which direction; then one byte says how the next piece is given and how long
// it is, again and again. Returns what went wrong, empty if nothing.
std::string TryMessages(base::ByteView bytes);

}  // namespace weft::protocols::http1
