// Counts what the program takes from the heap, through operator new and malloc alike: a test
// compares before and after.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::contract {

struct AllocationCount {
  uint64_t allocations = 0;  // so far
  size_t live_bytes = 0;
  size_t peak_bytes = 0;  // highest live_bytes since the previous call
};
AllocationCount AllocationsNow();
// False under a sanitizer: then AllocationsNow returns zeros.
bool CanCountAllocations();

}  // namespace weft::contract
