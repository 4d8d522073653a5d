// Views of bytes, one growable buffer that never zero-fills, and a reader that checks every length
// against what is left. All outside bytes pass through these types.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::base {

using ByteView = std::span<const uint8_t>;

inline ByteView AsBytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}
inline std::string_view AsText(ByteView b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

// Growable bytes without zero-filling. Move-only. One owner; share it as SharedBytes once it is
// complete.
class ByteBuffer {
 public:
  ByteBuffer() = default;
  explicit ByteBuffer(size_t capacity) { Reserve(capacity); }
  ByteBuffer(ByteBuffer&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)),
        size_(std::exchange(o.size_, 0)),
        capacity_(std::exchange(o.capacity_, 0)) {}
  ByteBuffer& operator=(ByteBuffer&& o) noexcept {
    std::swap(data_, o.data_), std::swap(size_, o.size_), std::swap(capacity_, o.capacity_);
    return *this;
  }
  ~ByteBuffer() { std::free(data_); }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return size_ == 0; }
  ByteView view() const { return {data_, size_}; }
  void clear() { size_ = 0; }
  // Gives back the capacity behind the bytes; keeps it when the allocator cannot.
  void ShrinkToFit() {
    if (size_ == capacity_) return;
    if (size_ == 0) {
      std::free(std::exchange(data_, nullptr));
    } else if (void* shrunk = std::realloc(data_, size_)) {
      data_ = static_cast<uint8_t*>(shrunk);
    } else {
      return;
    }
    capacity_ = size_;
  }

  void Reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    void* grown = std::realloc(data_, capacity);
    if (grown == nullptr) throw std::bad_alloc();
    data_ = static_cast<uint8_t*>(grown);
    capacity_ = capacity;
  }
  // Makes room for `n` more bytes (doubling) and returns where they go; call Commit for those
  // written.
  uint8_t* Grow(size_t n) {
    if (n > capacity_ - size_) Reserve(std::max(size_ + n, capacity_ * 2));
    return data_ + size_;
  }
  void Commit(size_t n) { size_ += n; }
  void Truncate(size_t size) { size_ = std::min(size, size_); }
  void Append(ByteView bytes) {
    if (bytes.empty()) return;
    std::memcpy(Grow(bytes.size()), bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void Append(std::string_view text) { Append(AsBytes(text)); }
  void Push(uint8_t byte) { *Grow(1) = byte, ++size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Immutable bytes with an atomic reference count: they may cross threads.
using SharedBytes = std::shared_ptr<const ByteBuffer>;
inline SharedBytes Share(ByteBuffer&& bytes) {
  return std::make_shared<const ByteBuffer>(std::move(bytes));
}

// Bytes to send, as pieces that are never copied together: what Gather composes and a socket writes
// with writev. Owns: through `owners`, everything that `pieces` point into.
struct Gathered {
  std::vector<ByteView> pieces;
  std::vector<std::shared_ptr<const void>> owners;
  size_t size = 0;  // sum of the pieces

  void Add(ByteView piece) {
    if (piece.empty()) return;
    pieces.push_back(piece);
    size += piece.size();
  }
  // Takes the other's pieces and owners behind ours.
  void Add(Gathered&& other) {
    pieces.insert(pieces.end(), other.pieces.begin(), other.pieces.end());
    owners.insert(owners.end(), other.owners.begin(), other.owners.end());
    size += other.size;
  }
};

// Reads from a view; after a read past the end `ok()` is false for good and every further read
// returns zero.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : p_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  size_t left() const { return static_cast<size_t>(end_ - p_); }
  const uint8_t* position() const { return p_; }

  uint8_t U8() { return left() >= 1 || Fail() ? *p_++ : 0; }
  uint16_t BigU16() { return static_cast<uint16_t>(Big(2)); }
  uint32_t BigU32() { return static_cast<uint32_t>(Big(4)); }
  uint64_t BigU64() { return Big(8); }
  ByteView Take(uint64_t n) {
    if (n > left()) return Fail(), ByteView{};
    ByteView out{p_, static_cast<size_t>(n)};
    p_ += n;
    return out;
  }
  // Always false, so that it reads well in conditions.
  bool Fail() {
    ok_ = false;
    p_ = end_;
    return false;
  }

 private:
  uint64_t Big(size_t n) {
    if (left() < n) return Fail(), 0;
    uint64_t v = 0;
    for (size_t i = 0; i < n; ++i) v = v << 8 | *p_++;
    return v;
  }

  const uint8_t* p_;
  const uint8_t* end_;
  bool ok_ = true;
};

}  // namespace weft::base
