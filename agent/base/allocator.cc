#include "base/allocator.h"

#include <malloc.h>

#include <algorithm>
#include <climits>

namespace weft::base {

void KeepFreedMemory([[maybe_unused]] size_t bytes) {
#ifdef __GLIBC__
  const int kept = static_cast<int>(std::min<size_t>(bytes, INT_MAX));
  mallopt(M_TRIM_THRESHOLD, kept);
  // Setting one by hand ends glibc's own adaptation, so the other must be set, too.
  mallopt(M_MMAP_THRESHOLD, kept / 4);
#endif
}

}  // namespace weft::base
