#include "protocols/http2/pool.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace weft::protocols::http2 {

Pool::~Pool() {
  for (Header* block : kept_) {
    while (block != nullptr) {
      Header* next = block->next;
      std::free(block);
      block = next;
    }
  }
}

size_t Pool::ClassOf(size_t size) {
  size_t index = 0;
  while (index < kClasses && (kSmallest << index) < size) ++index;
  return index;
}

void* Pool::Take(size_t size) {
  if (size > SIZE_MAX / 2) return nullptr;
  size += sizeof(Header);
  const size_t index = ClassOf(size);
  if (index < kClasses) size = kSmallest << index;
  if (index < kClasses && kept_[index] != nullptr) {
    Header* block = kept_[index];
    kept_[index] = block->next;
    kept_bytes_ -= block->size;
    return block + 1;
  }
  auto* block = static_cast<Header*>(std::malloc(size));
  if (block == nullptr) return nullptr;
  block->size = size;
  bytes_ += size;
  return block + 1;
}

void Pool::Give(void* memory) {
  if (memory == nullptr) return;
  Header* block = static_cast<Header*>(memory) - 1;
  const size_t index = ClassOf(block->size);
  if (index < kClasses && kept_bytes_ + block->size <= kMaxKeptBytes) {
    block->next = kept_[index];
    kept_[index] = block;
    kept_bytes_ += block->size;
    return;
  }
  bytes_ -= block->size;
  std::free(block);
}

void* Pool::Resize(void* memory, size_t size) {
  void* bigger = Take(size);
  if (bigger == nullptr || memory == nullptr) return bigger;
  const size_t had = (static_cast<Header*>(memory) - 1)->size - sizeof(Header);
  std::memcpy(bigger, memory, std::min(had, size));
  Give(memory);
  return bigger;
}

}  // namespace weft::protocols::http2
