// EntryTable: which entry has this key? Open addressing over the 64-bit hash of a key that the
// entry itself carries, so that a view enters and leaves an index without an allocation and mostly
// within one cache line. Private to this room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace weft::merge {

struct Entry;

// Two words to one, under secret numbers: what travels on the wire is chosen by others, who must
// not know what collides. Every bit of the result depends on both.
class SecretHash {
 public:
  SecretHash();
  uint64_t operator()(uint64_t a, uint64_t b) const {
    const unsigned __int128 product = static_cast<unsigned __int128>(a ^ first_) * (b ^ second_);
    return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
  }

 private:
  uint64_t first_, second_;
};

// Threads: one. Owns: nothing of the entries. Cost: at most half of the slots are in use, and after
// a flood the table shrinks again.
class EntryTable {
 public:
  struct Slot {
    uint64_t hash = 0;
    Entry* entry = nullptr;  // null: free
  };

  EntryTable() : slots_(kMinSlots) {}

  // The slot of this hash whose entry `fits`; null if there is none. Valid until the next change.
  template <typename Fits>
  Slot* Find(uint64_t hash, Fits&& fits) {
    for (size_t i = hash & mask();; i = (i + 1) & mask()) {
      Slot& slot = slots_[i];
      if (slot.entry == nullptr) return nullptr;
      if (slot.hash == hash && fits(*slot.entry)) return &slot;
    }
  }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask()]); }
  void Insert(uint64_t hash, Entry* entry) {
    if (++size_ * 2 > slots_.size()) Resize(slots_.size() * 2);
    Put(hash, entry);
  }
  void Erase(Slot* slot) {
    size_t hole = static_cast<size_t>(slot - slots_.data());
    // What stands behind it and was pushed aside moves up.
    for (size_t i = (hole + 1) & mask(); slots_[i].entry != nullptr; i = (i + 1) & mask()) {
      const size_t home = slots_[i].hash & mask();
      if (((i - home) & mask()) < ((i - hole) & mask())) continue;
      slots_[std::exchange(hole, i)] = slots_[i];
    }
    slots_[hole].entry = nullptr;
    if (--size_ * 16 < slots_.size() && slots_.size() > kMinSlots) Resize(slots_.size() / 4);
  }
  template <typename Visit>
  void ForEach(Visit&& visit) {
    for (Slot& slot : slots_) {
      if (slot.entry != nullptr) visit(*slot.entry);
    }
  }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kMinSlots = 1024;  // a power of two, as every size

  size_t mask() const { return slots_.size() - 1; }
  void Put(uint64_t hash, Entry* entry) {
    size_t i = hash & mask();
    while (slots_[i].entry != nullptr) i = (i + 1) & mask();
    slots_[i] = {hash, entry};
  }
  void Resize(size_t slots) {
    std::vector<Slot> old(slots < kMinSlots ? kMinSlots : slots);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.entry != nullptr) Put(slot.hash, slot.entry);
    }
  }

  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace weft::merge
