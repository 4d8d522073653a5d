// StreamTable: what is known of the streams of one connection that are not over. A stream leaves
// when both sides have ended it or one has reset it, so that the table is as large as the number of
// streams in flight; at kMaxStreams the oldest go.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "protocols/http2/message_counter.h"

namespace weft::protocols::http2 {

struct StreamEntry {
  uint32_t id = 0;  // 0: free
  bool request_seen = false;
  bool response_seen = false;       // a final one
  bool response_is_unsure = false;  // its status was not readable: it may have been a 1xx
  std::array<bool, 2> ended{};      // by Side
  std::array<uint32_t, 2> epoch{};  // of the side when its counter was enabled
  std::array<MessageCounter, 2> messages;
};

// Threads: one. Cost: one probe sequence; grows by doubling, is never shrunk below what it had.
class StreamTable {
 public:
  StreamEntry* Find(uint32_t id);
  // `id` is not in the table and not 0. Pointers to other entries are invalid afterwards.
  StreamEntry* Add(uint32_t id);
  void Remove(uint32_t id);
  size_t size() const { return size_; }
  size_t bytes() const { return slots_.capacity() * sizeof(StreamEntry); }
  // The lowest ids: a sixteenth of all, at least one. Many at once, so that a full table does not
  // cost a search for every new stream.
  void FindOldest(std::vector<uint32_t>* ids) const;

 private:
  size_t Slot(uint32_t id) const;
  void Grow();

  std::vector<StreamEntry> slots_;  // open addressing; a power of two
  size_t size_ = 0;
};

}  // namespace weft::protocols::http2
