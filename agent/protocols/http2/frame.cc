#include "protocols/http2/frame.h"

#include <algorithm>
#include <cstring>

#include "protocols/http2/connection.h"

namespace weft::protocols::http2 {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static_assert(kPreface.size() == kPrefaceBytes);
// So many frame headers in a row are no accident.
constexpr int kConvincingFrames = 3;
// Nobody has reason for larger ones where the payload is not data (the default of
// SETTINGS_MAX_FRAME_SIZE).
constexpr uint32_t kUsualFrameBytes = 16384;

uint8_t DefinedFlags(FrameType type) {
  switch (type) {
    case FrameType::kData:
      return flags::kEndStream | flags::kPadded;
    case FrameType::kHeaders:
      return flags::kEndStream | flags::kEndHeaders | flags::kPadded | flags::kPriority;
    case FrameType::kSettings:
    case FrameType::kPing:
      return flags::kAck;
    case FrameType::kPushPromise:
      return flags::kEndHeaders | flags::kPadded;
    case FrameType::kContinuation:
      return flags::kEndHeaders;
    default:
      return 0;
  }
}

}  // namespace

FrameHeader ReadFrameHeader(const uint8_t* bytes) {
  base::ByteReader reader({bytes, kFrameHeaderBytes});
  FrameHeader frame;
  frame.length = static_cast<uint32_t>(reader.U8()) << 16;
  frame.length |= reader.BigU16();
  frame.type = static_cast<FrameType>(reader.U8());
  frame.flags = reader.U8();
  frame.stream = reader.BigU32();
  frame.is_reserved_set = (frame.stream & 0x80000000u) != 0;
  frame.stream &= 0x7fffffffu;
  return frame;
}

bool IsAcceptable(const FrameHeader& frame) {
  // What a peer allows in SETTINGS is meant for data; no implementation sends other frames of this
  // size, but bytes of another protocol look like it.
  if (frame.type != FrameType::kData && frame.type <= FrameType::kContinuation &&
      frame.length > kMaxBlockBytes) {
    return false;
  }
  switch (frame.type) {
    case FrameType::kData:
    case FrameType::kHeaders:
    case FrameType::kPriority:
    case FrameType::kContinuation:
      return frame.stream != 0;
    case FrameType::kPushPromise:
      return frame.stream != 0 && frame.length >= 4;
    case FrameType::kReset:
      return frame.stream != 0 && frame.length == 4;
    case FrameType::kSettings:
      return frame.stream == 0 && frame.length % 6 == 0 &&
             (!frame.Has(flags::kAck) || frame.length == 0);
    case FrameType::kPing:
      return frame.stream == 0 && frame.length == 8;
    case FrameType::kGoAway:
      return frame.stream == 0 && frame.length >= 8;
    case FrameType::kWindowUpdate:
      return frame.length == 4;
  }
  return true;
}

bool IsPlausible(const FrameHeader& frame) {
  if (frame.type > FrameType::kContinuation || frame.is_reserved_set || !IsAcceptable(frame) ||
      (frame.flags & ~DefinedFlags(frame.type)) != 0) {
    return false;
  }
  return frame.type == FrameType::kData || frame.length <= kUsualFrameBytes;
}

bool LooksLikeFrames(base::ByteView next, uint64_t length) {
  if (next.size() > length) return false;
  uint64_t at = 0;
  for (int frames = 0; at < length; ++frames) {
    if (frames == kConvincingFrames) return true;
    if (at + kFrameHeaderBytes > next.size()) return false;
    const FrameHeader frame = ReadFrameHeader(next.data() + at);
    // A block that goes on from a frame before this one is of no use.
    if (!IsPlausible(frame) || (frames == 0 && frame.type == FrameType::kContinuation)) {
      return false;
    }
    at += kFrameHeaderBytes + frame.length;
    if (at == length) return true;
  }
  return false;
}

bool IsPreface(base::ByteView bytes) {
  const size_t n = std::min(bytes.size(), kPreface.size());
  return n > 0 && std::memcmp(bytes.data(), kPreface.data(), n) == 0;
}

void FrameReader::StartOver(uint64_t offset, bool at_preface) {
  phase_ = at_preface ? Phase::kPreface : Phase::kHeader;
  filled_ = 0;
  left_ = 0;
  offset_ = offset;
}

bool FrameReader::Feed(base::ByteView bytes, FrameSink* sink) {
  while (!bytes.empty() && phase_ != Phase::kLost) {
    bool goes_on = false;
    switch (phase_) {
      case Phase::kPreface:
        goes_on = FeedPreface(&bytes);
        break;
      case Phase::kHeader:
        goes_on = FeedHeader(&bytes, sink);
        break;
      case Phase::kPayload:
        goes_on = FeedPayload(&bytes, sink);
        break;
      case Phase::kLost:
        break;
    }
    if (!goes_on) phase_ = Phase::kLost;
  }
  offset_ += bytes.size();
  return phase_ != Phase::kLost;
}

bool FrameReader::FeedPreface(base::ByteView* bytes) {
  const size_t n = std::min(bytes->size(), kPreface.size() - filled_);
  if (std::memcmp(bytes->data(), kPreface.data() + filled_, n) != 0) return false;
  filled_ = static_cast<uint8_t>(filled_ + n);
  offset_ += n;
  *bytes = bytes->subspan(n);
  if (filled_ == kPreface.size()) {
    filled_ = 0;
    phase_ = Phase::kHeader;
  }
  return true;
}

bool FrameReader::FeedHeader(base::ByteView* bytes, FrameSink* sink) {
  const size_t n = std::min(bytes->size(), kFrameHeaderBytes - filled_);
  std::memcpy(header_.data() + filled_, bytes->data(), n);
  filled_ = static_cast<uint8_t>(filled_ + n);
  offset_ += n;
  *bytes = bytes->subspan(n);
  if (filled_ < kFrameHeaderBytes) return true;
  filled_ = 0;
  const FrameHeader frame = ReadFrameHeader(header_.data());
  left_ = frame.length;
  phase_ = Phase::kPayload;
  if (!sink->OnFrameBegin(frame, offset_ - kFrameHeaderBytes)) return false;
  return left_ > 0 || EndFrame(sink);
}

bool FrameReader::FeedPayload(base::ByteView* bytes, FrameSink* sink) {
  const size_t n = std::min<size_t>(bytes->size(), left_);
  const base::ByteView payload = bytes->first(n);
  *bytes = bytes->subspan(n);
  left_ -= static_cast<uint32_t>(n);
  offset_ += n;
  if (!sink->OnPayload(payload)) return false;
  return left_ > 0 || EndFrame(sink);
}

bool FrameReader::EndFrame(FrameSink* sink) {
  phase_ = Phase::kHeader;
  return sink->OnFrameEnd(offset_);
}

bool FrameReader::Gap(uint64_t n, FrameSink* sink) {
  if (n == 0) return phase_ != Phase::kLost;
  if (phase_ != Phase::kPayload || n > left_) {
    offset_ += n;
    phase_ = Phase::kLost;
    return false;
  }
  offset_ += n;
  left_ -= static_cast<uint32_t>(n);
  if (!sink->OnPayloadGap(n) || (left_ == 0 && !EndFrame(sink))) phase_ = Phase::kLost;
  return phase_ != Phase::kLost;
}

}  // namespace weft::protocols::http2
