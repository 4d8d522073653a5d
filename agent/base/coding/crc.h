// CRC-32 (IEEE 802.3, as gzip and Ethernet have it), at the speed of the vector unit.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace weft::base {

// Goes on from `crc`, the value of the bytes before; 0 at the start. Threads: any.
uint32_t Crc32(uint32_t crc, ByteView bytes);

}  // namespace weft::base
