// BoundedQueue: the hand-over between two threads. moodycamel's capacity is a floor and not a
// limit, so exact credit counters for items and bytes stand in front of it. Order holds per
// producer only; nobody may rely on more.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

#include <concurrentqueue/blockingconcurrentqueue.h>

namespace weft::base {

// Threads: any number of producers, one consumer. Owns: the queued items.
template <typename T>
class BoundedQueue {
 public:
  BoundedQueue(uint64_t max_items, uint64_t max_bytes)
      : max_items_(max_items), max_bytes_(max_bytes) {}

  // False when there is no room; `item` is then untouched.
  [[nodiscard]] bool TryPush(T&& item, uint64_t bytes) {
    if (items_.fetch_add(1) >= max_items_) {
      items_.fetch_sub(1);
      return false;
    }
    if (bytes_.fetch_add(bytes) + bytes > max_bytes_) {
      bytes_.fetch_sub(bytes);
      items_.fetch_sub(1);
      return false;
    }
    queue_.enqueue(Entry{std::move(item), bytes});
    return true;
  }

  // Waits up to `wait`; false when nothing came.
  bool Pop(T* out, std::chrono::milliseconds wait) {
    Entry entry;
    if (!queue_.wait_dequeue_timed(entry, wait)) return false;
    *out = std::move(entry.item);
    bytes_.fetch_sub(entry.bytes);
    items_.fetch_sub(1);
    return true;
  }

  uint64_t items() const { return items_.load(); }
  uint64_t bytes() const { return bytes_.load(); }

 private:
  struct Entry {
    T item{};
    uint64_t bytes = 0;
  };
  const uint64_t max_items_, max_bytes_;
  std::atomic<uint64_t> items_{0}, bytes_{0};
  moodycamel::BlockingConcurrentQueue<Entry> queue_;
};

}  // namespace weft::base
