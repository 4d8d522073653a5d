// BareIndex: the exchanges of one process and side that carried no context, in order of their first
// byte. They mostly come in that order and leave oldest first, so a queue that is searched by
// halves beats a tree; what leaves from the middle stays as a hole until half of it is holes.
// Private to this room.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string_view>

namespace weft::merge {

struct Entry;

// Threads: one. Owns: nothing of the entries. Cost: Add and Remove touch the end that they concern.
class BareIndex {
 public:
  struct Item {
    uint64_t first_ns = 0;
    Entry* entry = nullptr;  // null: a hole
    uint32_t request = 0;    // HashRequest of its method and path
  };

  void Add(uint64_t first_ns, Entry* entry, uint32_t request) {
    items_.insert(Above(first_ns), {first_ns, entry, request});
    ++live_;
  }
  void Remove(uint64_t first_ns, const Entry* entry) {
    auto it = std::lower_bound(items_.begin(), items_.end(), first_ns,
                               [](const Item& item, uint64_t at) { return item.first_ns < at; });
    while (it != items_.end() && it->first_ns == first_ns && it->entry != entry) ++it;
    if (it == items_.end() || it->entry != entry) return;
    it->entry = nullptr;
    --live_;
    while (!items_.empty() && items_.front().entry == nullptr) items_.pop_front();
    if (items_.size() > 2 * live_ + kMinHoles) {
      std::erase_if(items_, [](const Item& item) { return item.entry == nullptr; });
    }
  }
  bool empty() const { return live_ == 0; }
  auto begin() const { return items_.begin(); }
  // Behind the last one that began at `first_ns` or before. Items may be holes.
  std::deque<Item>::const_iterator Above(uint64_t first_ns) const {
    return std::upper_bound(items_.begin(), items_.end(), first_ns,
                            [](uint64_t at, const Item& item) { return at < item.first_ns; });
  }

 private:
  static constexpr size_t kMinHoles = 16;

  std::deque<Item> items_;
  size_t live_ = 0;
};

}  // namespace weft::merge
