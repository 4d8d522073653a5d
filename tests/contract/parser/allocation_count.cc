#include "contract/parser/allocation_count.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

// A sanitizer has its own allocator; it must not be replaced.
namespace weft::contract {
bool CanCountAllocations() { return false; }
AllocationCount AllocationsNow() { return {}; }
}  // namespace weft::contract

#else

// glibc offers its allocator under these names too, so that programs can put a layer before it;
// operator new and the parsers' buffers all come through here.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void __libc_free(void* memory);
}

namespace {

std::atomic<uint64_t> allocations{0};
std::atomic<size_t> live_bytes{0}, peak_bytes{0};

void Add(void* memory) {
  if (memory == nullptr) return;
  allocations.fetch_add(1, std::memory_order_relaxed);
  size_t live = live_bytes.fetch_add(malloc_usable_size(memory)) + malloc_usable_size(memory);
  if (live > peak_bytes.load()) peak_bytes.store(live);
}

void Subtract(void* memory) {
  if (memory != nullptr) live_bytes.fetch_sub(malloc_usable_size(memory));
}

}  // namespace

extern "C" void* malloc(size_t size) noexcept {
  void* memory = __libc_malloc(size);
  Add(memory);
  return memory;
}

extern "C" void* calloc(size_t count, size_t size) noexcept {
  void* memory = __libc_calloc(count, size);
  Add(memory);
  return memory;
}

extern "C" void* realloc(void* old, size_t size) noexcept {
  Subtract(old);
  void* memory = __libc_realloc(old, size);
  Add(memory);
  return memory;
}

extern "C" void free(void* memory) noexcept {
  Subtract(memory);
  __libc_free(memory);
}

namespace weft::contract {

bool CanCountAllocations() { return true; }

AllocationCount AllocationsNow() {
  AllocationCount now{allocations.load(), live_bytes.load(), peak_bytes.load()};
  peak_bytes.store(now.live_bytes);
  return now;
}

}  // namespace weft::contract

#endif
