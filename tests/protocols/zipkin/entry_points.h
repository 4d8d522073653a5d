// What a fuzzer calls: the functions of this room that see foreign bytes, with the promises that
// hold for any input.
#pragma once

#include <string>

#include "base/bytes.h"

namespace weft::protocols::zipkin {

// Every format, then Index. Returns what went wrong, empty if nothing.
std::string TryAll(base::ByteView bytes);

}  // namespace weft::protocols::zipkin
