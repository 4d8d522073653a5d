// JoinedTable: the header table of a side whose past is not known. It keeps what was inserted since
// the join, newest first. The real table is always a front part of the history of insertions
// (insertion at the front, eviction from the back, an entry too large for it evicts everything), so
// a reference that falls within what was seen since the join means exactly that entry, whatever the
// table's size is. What lies beyond is unknown.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace weft::protocols::http2 {

inline constexpr uint64_t kEntryOverhead = 32;  // RFC 7541, 4.1

// Threads: one. Memory: at most about 2 · kMaxKeptBytes; older entries are forgotten, which makes
// them unknown again.
class JoinedTable {
 public:
  static constexpr size_t kMaxKeptBytes = 16 * 1024;  // texts with kEntryOverhead each

  struct Entry {
    bool is_name_known = false;
    std::string_view name, value;  // valid until the next Insert
  };

  // A loss: nothing is known any more.
  void Forget();
  // `name` is ignored when it is not known.
  void Insert(bool is_name_known, std::string_view name, std::string_view value);
  // The encoder announced its table's size: what is beyond is gone, here and there.
  void SetMaxSize(uint64_t size);
  // `index` counts from 0 = the newest. False: not known.
  bool Find(uint64_t index, Entry* entry) const;
  // Everything the encoder can refer to is known. Needs a size that was announced since the join,
  // and insertions that fill it: every older entry must then have been evicted.
  bool is_complete() const { return is_complete_; }
  bool has_nameless() const { return nameless_ != 0; }
  size_t bytes() const { return entries_.capacity() * sizeof(Stored) + text_.capacity(); }

 private:
  struct Stored {
    uint32_t begin = 0, name_size = 0, value_size = 0;
    bool is_name_known = false;
    uint64_t size() const { return kEntryOverhead + name_size + value_size; }
  };
  void DropOldest();
  void Clear();
  void CheckComplete();

  std::vector<Stored> entries_;  // oldest first, from first_ on
  size_t first_ = 0;
  size_t nameless_ = 0;
  base::ByteBuffer text_;
  uint64_t kept_ = 0;  // sum of size(); what an unknown name adds is not in it
  bool is_max_known_ = false, is_complete_ = false;
  uint64_t max_size_ = 0;
};

}  // namespace weft::protocols::http2
