#include "base/coding/crc.h"

#include <libdeflate.h>

namespace weft::base {

uint32_t Crc32(uint32_t crc, ByteView bytes) {
  if (bytes.empty()) return crc;  // a null pointer would ask for the initial value
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

}  // namespace weft::base
