// Ranges: a set of record ordinals that is nearly an interval: what has been delivered, what has
// been handed out. Small, because delivery is nearly in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace weft::spool {

class Ranges {
 public:
  struct Range {
    uint32_t from = 0, to = 0;  // [from, to)
    bool operator==(const Range&) const = default;
  };

  void Add(uint32_t ordinal) { Add(ordinal, ordinal + 1); }
  void Add(uint32_t from, uint32_t to) {
    if (from >= to) return;
    // The ranges that touch [from, to) become one with it.
    auto first = std::lower_bound(ranges_.begin(), ranges_.end(), from,
                                  [](const Range& range, uint32_t at) { return range.to < at; });
    auto last = first;
    for (; last != ranges_.end() && last->from <= to; ++last) {
      from = std::min(from, last->from);
      to = std::max(to, last->to);
    }
    if (first == last) {
      ranges_.insert(first, {from, to});
    } else {
      *first = {from, to};
      ranges_.erase(first + 1, last);
    }
  }
  bool Contains(uint32_t ordinal) const {
    auto it = std::upper_bound(ranges_.begin(), ranges_.end(), ordinal,
                               [](uint32_t at, const Range& range) { return at < range.to; });
    return it != ranges_.end() && it->from <= ordinal;
  }
  // All of [0, end).
  bool Covers(uint32_t end) const {
    return end == 0 || (!ranges_.empty() && ranges_[0].from == 0 && ranges_[0].to >= end);
  }
  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& list() const { return ranges_; }

 private:
  std::vector<Range> ranges_;  // sorted, neither overlapping nor touching
};

}  // namespace weft::spool
