// Frames of HTTP/2 (RFC 9113, 4 and 6): their nine-byte header, what makes one impossible, and
// FrameReader, which cuts one side's bytes into headers and payloads. It keeps at most eight bytes.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace weft::protocols::http2 {

inline constexpr size_t kFrameHeaderBytes = 9;

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

namespace flags {
inline constexpr uint8_t kEndStream = 0x1, kAck = 0x1, kEndHeaders = 0x4, kPadded = 0x8,
                         kPriority = 0x20;
}

struct FrameHeader {
  uint32_t length = 0;
  FrameType type = FrameType::kData;  // others exist and are to be ignored
  uint8_t flags = 0;
  uint32_t stream = 0;
  bool is_reserved_set = false;

  bool Has(uint8_t flag) const { return (flags & flag) != 0; }
};

// `bytes` are kFrameHeaderBytes.
FrameHeader ReadFrameHeader(const uint8_t* bytes);
// Would a peer go on after this frame? False for what is an error of the whole connection.
bool IsAcceptable(const FrameHeader& frame);
// Does a place where nothing is known look like this frame? Stricter: only what is defined.
bool IsPlausible(const FrameHeader& frame);

// What a FrameReader tells. Order: begin, (payload | gap)*, end.
class FrameSink {
 public:
  // False: the side is lost; the frame's bytes are no longer looked at.
  virtual bool OnFrameBegin(const FrameHeader& frame, uint64_t offset) = 0;
  virtual bool OnPayload(base::ByteView bytes) = 0;
  virtual bool OnPayloadGap(uint64_t n) = 0;
  virtual bool OnFrameEnd(uint64_t end) = 0;

 protected:
  ~FrameSink() = default;
};

// Threads: one. Once it is lost it only counts, until StartOver.
class FrameReader {
 public:
  void StartAt(uint64_t offset) { offset_ = offset; }
  void ExpectPreface() { phase_ = Phase::kPreface; }
  // False when the side got lost, or was.
  bool Feed(base::ByteView bytes, FrameSink* sink);
  // False when it got lost by this, or was.
  bool Gap(uint64_t n, FrameSink* sink);
  void Lose() { phase_ = Phase::kLost; }
  void StartOver(uint64_t offset, bool at_preface);

  uint64_t offset() const { return offset_; }
  uint64_t payload_left() const { return phase_ == Phase::kPayload ? left_ : 0; }
  bool is_lost() const { return phase_ == Phase::kLost; }
  bool in_preface() const { return phase_ == Phase::kPreface; }
  bool at_boundary() const {
    return (phase_ == Phase::kHeader || phase_ == Phase::kPreface) && filled_ == 0;
  }

 private:
  enum class Phase : uint8_t { kPreface, kHeader, kPayload, kLost };

  // Each takes what it can from the front of `bytes`.
  bool FeedPreface(base::ByteView* bytes);
  bool FeedHeader(base::ByteView* bytes, FrameSink* sink);
  bool FeedPayload(base::ByteView* bytes, FrameSink* sink);
  bool EndFrame(FrameSink* sink);

  Phase phase_ = Phase::kHeader;
  uint8_t filled_ = 0;  // bytes of the preface or the header so far
  uint32_t left_ = 0;
  uint64_t offset_ = 0;
  std::array<uint8_t, kFrameHeaderBytes> header_{};
};

}  // namespace weft::protocols::http2
