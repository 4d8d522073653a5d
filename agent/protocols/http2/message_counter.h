// MessageCounter: how many length-prefixed messages (gRPC: one byte of flags, four of length) one
// side has begun on one stream. Bytes that were not captured are skipped exactly as long as they
// lie within one message; when a prefix is among them the count is unknown for good.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"

namespace weft::protocols::http2 {

class MessageCounter {
 public:
  // Before anything is fed: the stream carries such messages.
  void Enable() { is_known_ = true; }
  void Lose() { is_known_ = false; }
  bool is_known() const { return is_known_; }
  uint32_t begun() const { return begun_; }

  void Feed(base::ByteView bytes) {
    while (is_known_ && !bytes.empty()) {
      if (prefix_ == kPrefixBytes) {
        const size_t n = std::min<size_t>(bytes.size(), left_);
        left_ -= static_cast<uint32_t>(n);
        bytes = bytes.subspan(n);
        if (left_ == 0) prefix_ = 0;
        continue;
      }
      if (prefix_ == 0) {
        left_ = 0;
        // Compressed or not (0x80 marks gRPC-Web's trailers); others exist in no version.
        if ((bytes[0] & 0x7f) > 1) return Lose();
        if (bytes[0] < 0x80) ++begun_;
      } else {
        left_ = left_ << 8 | bytes[0];
      }
      bytes = bytes.subspan(1);
      if (++prefix_ == kPrefixBytes && left_ == 0) prefix_ = 0;
    }
  }
  void Skip(uint64_t n) {
    if (n == 0 || !is_known_) return;
    if (prefix_ != kPrefixBytes || n > left_) return Lose();
    left_ -= static_cast<uint32_t>(n);
    if (left_ == 0) prefix_ = 0;
  }

 private:
  static constexpr uint8_t kPrefixBytes = 5;
  bool is_known_ = false;
  uint8_t prefix_ = 0;  // bytes of the prefix so far; kPrefixBytes: inside a message
  uint32_t left_ = 0;
  uint32_t begun_ = 0;
};

}  // namespace weft::protocols::http2
