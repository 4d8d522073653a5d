// TimeIndex: exchanges that are looked for by time, in order of their first byte: those of one
// process and side that carried no context, and the many that carried one and the same. They mostly
// come in that order and leave oldest first, so an array that is searched from its ends beats a
// tree; what leaves stays as a hole until half of it is holes.
// Private to this room.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weft::merge {

struct Entry;

// Threads: one. Owns: nothing of the entries. Cost: Add and Remove touch the end that they concern.
class TimeIndex {
 public:
  struct Item {
    uint64_t first_ns = 0;
    Entry* entry = nullptr;  // null: a hole
    uint32_t request = 0;    // HashRequest of its method and path, if they are of interest
  };
  using Iterator = std::vector<Item>::const_iterator;

  void Add(uint64_t first_ns, Entry* entry, uint32_t request) {
    const Item item{first_ns, entry, request};
    if (items_.empty() || items_.back().first_ns <= first_ns) {
      items_.push_back(item);
    } else {
      items_.insert(Above(first_ns), item);
    }
    ++live_;
  }
  void Remove(uint64_t first_ns, const Entry* entry) {
    auto it = FromFront(first_ns);
    while (it != items_.end() && it->first_ns == first_ns && it->entry != entry) ++it;
    if (it == items_.end() || it->entry != entry) return;
    it->entry = nullptr;
    --live_;
    while (first_ != items_.size() && items_[first_].entry == nullptr) ++first_;
    if (items_.size() > 2 * live_ + kMinHoles) Compact();
  }
  bool empty() const { return live_ == 0; }
  // The nearest of them to `at_ns` in time, nearest first, until `visit` answers false; about
  // `max_visits` at most.
  template <typename Visit>
  void ForEachNear(uint64_t at_ns, int max_visits, Visit&& visit) const {
    Iterator later = Above(at_ns), earlier = later;
    // Holes are cheap, but there may be many.
    for (int looks = 4 * max_visits; looks > 0 && max_visits > 0; --looks) {
      const bool has_later = later != items_.end(), has_earlier = earlier != begin();
      if (!has_later && !has_earlier) return;
      const bool takes_later =
          has_later &&
          (!has_earlier || later->first_ns - at_ns < at_ns - std::prev(earlier)->first_ns);
      const Item& item = takes_later ? *later++ : *--earlier;
      if (item.entry == nullptr) continue;
      --max_visits;
      if (!visit(item)) return;
    }
  }
  Iterator begin() const { return items_.begin() + static_cast<ptrdiff_t>(first_); }
  Iterator end() const { return items_.end(); }
  // Behind the last one that began at `first_ns` or before. Items may be holes.
  Iterator Above(uint64_t first_ns) const {
    return std::upper_bound(begin(), items_.end(), first_ns,
                            [](uint64_t at, const Item& item) { return at < item.first_ns; });
  }

 private:
  static constexpr size_t kMinHoles = 64;

  // The first one that did not begin before `first_ns`, by steps that double: the oldest leave
  // first.
  std::vector<Item>::iterator FromFront(uint64_t first_ns) {
    size_t low = first_, step = 1;
    while (low + step < items_.size() && items_[low + step].first_ns < first_ns) {
      low += step;
      step *= 2;
    }
    const size_t high = std::min(low + step + 1, items_.size());
    return std::lower_bound(items_.begin() + static_cast<ptrdiff_t>(low),
                            items_.begin() + static_cast<ptrdiff_t>(high), first_ns,
                            [](const Item& item, uint64_t at) { return item.first_ns < at; });
  }
  void Compact() {
    std::erase_if(items_, [](const Item& item) { return item.entry == nullptr; });
    first_ = 0;
    // After a flood.
    if (items_.capacity() > 8 * (items_.size() + kMinHoles)) items_.shrink_to_fit();
  }

  std::vector<Item> items_;
  size_t first_ = 0;  // what stands before it has left
  size_t live_ = 0;
};

}  // namespace weft::merge
