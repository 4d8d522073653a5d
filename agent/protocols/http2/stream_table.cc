#include "protocols/http2/stream_table.h"

#include <algorithm>

namespace weft::protocols::http2 {
namespace {
constexpr size_t kFirstSlots = 16;
}

size_t StreamTable::Slot(uint32_t id) const {
  // Neighbouring ids of one side differ by two.
  return (id * 2654435769u >> 8) & (slots_.size() - 1);
}

StreamEntry* StreamTable::Find(uint32_t id) {
  if (slots_.empty()) return nullptr;
  for (size_t at = Slot(id); slots_[at].id != 0; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].id == id) return &slots_[at];
  }
  return nullptr;
}

StreamEntry* StreamTable::Add(uint32_t id) {
  if (size_ * 4 >= slots_.size() * 3) Grow();
  size_t at = Slot(id);
  while (slots_[at].id != 0) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {};
  slots_[at].id = id;
  ++size_;
  return &slots_[at];
}

void StreamTable::Grow() {
  std::vector<StreamEntry> old(std::max(kFirstSlots, slots_.size() * 2));
  old.swap(slots_);
  size_ = 0;
  for (const StreamEntry& entry : old) {
    if (entry.id != 0) *Add(entry.id) = entry;
  }
}

void StreamTable::Remove(uint32_t id) {
  StreamEntry* found = Find(id);
  if (found == nullptr) return;
  --size_;
  // Those behind it that could stand in its place move up, so that no search ends too early.
  const size_t mask = slots_.size() - 1;
  size_t hole = static_cast<size_t>(found - slots_.data());
  for (size_t at = (hole + 1) & mask; slots_[at].id != 0; at = (at + 1) & mask) {
    if (((at - Slot(slots_[at].id)) & mask) >= ((at - hole) & mask)) {
      slots_[hole] = slots_[at];
      hole = at;
    }
  }
  slots_[hole] = {};
}

void StreamTable::FindOldest(std::vector<uint32_t>* ids) const {
  ids->clear();
  for (const StreamEntry& entry : slots_) {
    if (entry.id != 0) ids->push_back(entry.id);
  }
  if (ids->empty()) return;
  const size_t wanted = std::max<size_t>(1, ids->size() / 16);
  std::nth_element(ids->begin(), ids->begin() + static_cast<std::ptrdiff_t>(wanted - 1),
                   ids->end());
  ids->resize(wanted);
}

}  // namespace weft::protocols::http2
