// The words that both thrift encodings share: value types, field, list and map heads, and the
// message head. A reader (compact_reader.h, binary_reader.h) turns bytes into these; a codec such
// as protocols/jaeger is a template over the reader, so that one text serves both encodings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace weft::protocols::thrift {

// Numbers are those of the binary protocol.
enum class Type : uint8_t {
  kStop = 0,
  kBool = 2,
  kByte = 3,
  kDouble = 4,
  kI16 = 6,
  kI32 = 8,
  kI64 = 10,
  kBinary = 11,
  kStruct = 12,
  kMap = 13,
  kSet = 14,
  kList = 15,
  kUuid = 16,
};

struct Field {
  Type type = Type::kStop;
  bool flag = false;  // compact only: the value of a boolean field travels in its type
  int16_t id = 0;
};

struct ListHead {
  Type element = Type::kStop;
  uint32_t count = 0;
};

struct MapHead {
  Type key = Type::kStop, value = Type::kStop;
  uint32_t count = 0;
};

enum class MessageKind : uint8_t { kCall = 1, kReply = 2, kException = 3, kOneway = 4 };

struct MessageHead {
  std::string_view name;  // into the input
  MessageKind kind = MessageKind::kCall;
  int32_t sequence = 0;
};

enum class HeadStatus {
  kDone,
  kBad,
  kOtherProtocol,  // this is a message of the other thrift encoding
};

// Values nested deeper than this are refused, so that the stack is bounded whatever the input says
// (case F27).
inline constexpr int kMaxDepth = 64;
inline constexpr size_t kMaxNameBytes = 256;

// The read position of a reader. After a read past the end `ok()` is false for good, nothing is
// left and every further read returns zero, so loops over fields and elements end by themselves.
class Cursor {
 public:
  explicit Cursor(base::ByteView bytes) : p_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  size_t left() const { return static_cast<size_t>(end_ - p_); }
  const uint8_t* position() const { return p_; }
  // Goes to where `o`, a copy of this cursor, has come. Member by member: copying all of it at once
  // would read what has just been written in smaller pieces, and the processor would wait for that.
  void MoveTo(const Cursor& o) {
    p_ = o.p_;
    ok_ = o.ok_;
  }
  // Always false, so that it reads well in conditions.
  bool Fail() {
    ok_ = false;
    p_ = end_;
    return false;
  }

 protected:
  uint8_t U8() { return p_ != end_ || Fail() ? *p_++ : 0; }
  std::string_view Take(uint64_t n) {
    if (n > left()) return Fail(), std::string_view{};
    std::string_view out(reinterpret_cast<const char*>(p_), static_cast<size_t>(n));
    p_ += n;
    return out;
  }
  // True when `count` elements of at least `minimum` bytes each can still be there (case F26).
  bool Fits(uint64_t count, uint64_t minimum) { return count * minimum <= left() || Fail(); }

  const uint8_t* p_;
  const uint8_t* end_;
  bool ok_ = true;
};

}  // namespace weft::protocols::thrift
