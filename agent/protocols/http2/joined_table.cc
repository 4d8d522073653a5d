#include "protocols/http2/joined_table.h"

#include <algorithm>
#include <cstring>

namespace weft::protocols::http2 {

void JoinedTable::Clear() {
  entries_.clear();
  text_.clear();
  first_ = nameless_ = 0;
  kept_ = 0;
}

void JoinedTable::Forget() {
  Clear();
  is_max_known_ = is_complete_ = false;
}

void JoinedTable::DropOldest() {
  kept_ -= entries_[first_].size();
  nameless_ -= entries_[first_].is_name_known ? 0 : 1;
  if (++first_ == entries_.size()) return Clear();
  const uint32_t begin = entries_[first_].begin;
  if (begin < kMaxKeptBytes && (first_ < 64 || first_ * 2 < entries_.size())) return;
  std::memmove(text_.data(), text_.data() + begin, text_.size() - begin);
  text_.Truncate(text_.size() - begin);
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
  for (Stored& entry : entries_) entry.begin -= begin;
  first_ = 0;
}

void JoinedTable::Insert(bool is_name_known, std::string_view name, std::string_view value) {
  if (!is_name_known) name = {};
  Stored entry{static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(name.size()),
               static_cast<uint32_t>(value.size()), is_name_known};
  const uint64_t limit =
      is_max_known_ ? std::min<uint64_t>(max_size_, kMaxKeptBytes) : kMaxKeptBytes;
  if (entry.size() > limit) {
    // Larger than the table: it evicted everything and is not in it. Larger than what is kept here
    // only: it is there, and so are perhaps older ones, none of which can be told apart any more.
    Clear();
    is_complete_ = is_max_known_ && entry.size() > max_size_;
    return;
  }
  while (kept_ + entry.size() > limit) {
    // Evicted there too, and everything before it, unless only the limit here is the cause.
    is_complete_ = is_max_known_ && limit == max_size_;
    DropOldest();
  }
  entry.begin = static_cast<uint32_t>(text_.size());
  text_.Append(name);
  text_.Append(value);
  entries_.push_back(entry);
  kept_ += entry.size();
  nameless_ += is_name_known ? 0 : 1;
  CheckComplete();
}

void JoinedTable::SetMaxSize(uint64_t size) {
  is_max_known_ = true;
  max_size_ = size;
  if (size == 0) {
    Clear();
    is_complete_ = true;
    return;
  }
  // An entry with an unknown name is larger than it looks: it may be gone while it is kept here.
  // That does no harm, since then nothing refers to it.
  while (kept_ > size) {
    is_complete_ = true;
    DropOldest();
  }
  CheckComplete();
}

// What was inserted since fills the table up to less than one entry.
void JoinedTable::CheckComplete() {
  if (is_max_known_ && max_size_ <= kMaxKeptBytes && kept_ + kEntryOverhead > max_size_) {
    is_complete_ = true;
  }
}

bool JoinedTable::Find(uint64_t index, Entry* entry) const {
  if (index >= entries_.size() - first_) return false;
  const Stored& stored = entries_[entries_.size() - 1 - static_cast<size_t>(index)];
  const char* text = reinterpret_cast<const char*>(text_.data()) + stored.begin;
  *entry = {
      stored.is_name_known, {text, stored.name_size}, {text + stored.name_size, stored.value_size}};
  return true;
}

}  // namespace weft::protocols::http2
