// Pool: where the blocks come from that nghttp2's inflater takes and gives back for every literal.
// Freed blocks are kept by size class, so that a connection in steady state does not touch the
// heap, and everything is counted, so that the caller can bound the memory of all connections.
#pragma once

#include <array>
#include <cstddef>

namespace weft::protocols::http2 {

// Threads: one. Owns: every block it handed out. Not movable: the inflater points to it.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  void* Take(size_t size);
  void Give(void* block);
  void* Resize(void* block, size_t size);
  size_t bytes() const { return bytes_; }  // in use and kept

 private:
  // Powers of two from kSmallest; what is larger than the last class is never kept.
  static constexpr size_t kSmallest = 32, kClasses = 9;
  static constexpr size_t kMaxKeptBytes = 16 * 1024;

  struct alignas(16) Header {
    size_t size = 0;  // with this header
    Header* next = nullptr;
  };
  static size_t ClassOf(size_t size);

  std::array<Header*, kClasses> kept_{};
  size_t bytes_ = 0, kept_bytes_ = 0;
};

}  // namespace weft::protocols::http2
