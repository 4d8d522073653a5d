#include "protocols/http2/side_reader.h"

#include <algorithm>
#include <cstring>

namespace weft::protocols::http2 {
namespace {
constexpr size_t kKeptBlockBytes = 2 * 1024;
}

bool SideReader::Feed(base::ByteView bytes, SideSink* sink, Output* out) {
  sink_ = sink, out_ = out;
  if (frames_.is_lost()) return frames_.Feed(bytes, this);
  const bool was_preface = frames_.in_preface();
  if (frames_.Feed(bytes, this)) return true;
  if (trouble_ == Trouble::kNone) {
    trouble_ = was_preface ? Trouble::kNotHttp2 : Trouble::kGarbage;
  }
  Lose(trouble_, sink, out);
  return false;
}

bool SideReader::Gap(uint64_t n, SideSink* sink, Output* out) {
  sink_ = sink, out_ = out;
  if (frames_.is_lost()) return frames_.Gap(n, this);
  if (frames_.Gap(n, this)) return true;
  Lose(trouble_ == Trouble::kNone ? Trouble::kGap : trouble_, sink, out);
  return false;
}

void SideReader::Lose(Trouble trouble, SideSink* sink, Output* out) {
  sink_ = sink, out_ = out;
  if (in_block_ && trouble == Trouble::kGap) {
    // Its beginning was seen: stream and time are certain.
    CutBlock();
    EndBlock(frames_.offset());
  }
  trouble_ = trouble;
  in_block_ = false;
  frames_.Lose();
  decoder_.Forget();
  ++counters_->desyncs;
  Event event{EventKind::kDesync, side_};
  event.offset = event.end = frames_.offset();
  sink_->OnFrame(event);
}

void SideReader::StartOver(uint64_t offset, bool at_preface) {
  frames_.StartOver(offset, at_preface);
  trouble_ = Trouble::kNone;
  in_block_ = false;
  expects_settings_ = at_preface;
  is_confirmed_ = !at_preface;
}

bool SideReader::Fail(Trouble trouble) {
  trouble_ = trouble;
  return false;
}

bool SideReader::OnFrameBegin(const FrameHeader& frame, uint64_t offset) {
  ++counters_->frames;
  if (expects_settings_) {
    if (frame.type != FrameType::kSettings || frame.Has(flags::kAck) || !IsAcceptable(frame)) {
      return Fail(Trouble::kNotHttp2);
    }
    expects_settings_ = false;
  }
  if (!IsAcceptable(frame)) return Fail(Trouble::kGarbage);
  // Nothing may come between the frames of a header block.
  const bool is_next_part =
      frame.type == FrameType::kContinuation && in_block_ && frame.stream == current_.stream;
  if (is_next_part != in_block_ || (frame.type == FrameType::kContinuation && !in_block_)) {
    return Fail(Trouble::kGarbage);
  }
  is_confirmed_ = true;
  frame_ = frame;
  frame_offset_ = offset;
  if (is_next_part && ++continuations_ > kMaxContinuations) return Fail(Trouble::kFlood);
  BeginPayload();
  if (frame.type == FrameType::kHeaders || frame.type == FrameType::kPushPromise) {
    if (!BeginBlock()) return Fail(Trouble::kGarbage);
  }
  return prefix_size_ <= frame.length || Fail(Trouble::kGarbage);
}

void SideReader::BeginPayload() {
  prefix_size_ = prefix_filled_ = 0;
  is_prefix_lost_ = false;
  switch (frame_.type) {
    case FrameType::kHeaders:
      if (frame_.Has(flags::kPriority)) prefix_size_ += 5;
      [[fallthrough]];
    case FrameType::kData:
      if (frame_.Has(flags::kPadded)) prefix_size_ += 1;
      break;
    case FrameType::kPushPromise:
      prefix_size_ = frame_.Has(flags::kPadded) ? 5 : 4;
      break;
    case FrameType::kReset:
    case FrameType::kGoAway:
      prefix_size_ = 4;
      break;
    default:
      break;
  }
  body_ = body_left_ = frame_.length - std::min<uint32_t>(prefix_size_, frame_.length);
  whole_ = {};
}

bool SideReader::BeginBlock() {
  in_block_ = true;
  is_block_cut_ = false;
  continuations_ = 0;
  block_.clear();
  current_ = {};
  current_.stream = frame_.stream;
  current_.is_push = frame_.type == FrameType::kPushPromise;
  current_.promised = current_.is_push ? kUnknownValue : 0;
  current_.end_stream = !current_.is_push && frame_.Has(flags::kEndStream);
  current_.offset = frame_offset_;
  return !current_.is_push || side_ == Side::kServer;
}

bool SideReader::OnPayload(base::ByteView bytes) {
  if (prefix_filled_ < prefix_size_) {
    const size_t n = std::min<size_t>(bytes.size(), prefix_size_ - prefix_filled_);
    std::memcpy(prefix_.data() + prefix_filled_, bytes.data(), n);
    prefix_filled_ = static_cast<uint8_t>(prefix_filled_ + n);
    bytes = bytes.subspan(n);
    if (prefix_filled_ == prefix_size_ && !is_prefix_lost_ && !ReadPrefix()) {
      return Fail(Trouble::kGarbage);
    }
  }
  const size_t n = std::min<size_t>(bytes.size(), body_left_);
  if (n > 0) {
    TakeBody(bytes.first(n));
    body_left_ -= static_cast<uint32_t>(n);
  }
  return true;
}

// The padding's length comes off the body.
bool SideReader::ReadPrefix() {
  const bool may_pad = carries_block() || frame_.type == FrameType::kData;
  if (!may_pad || !frame_.Has(flags::kPadded) || frame_.type == FrameType::kContinuation) {
    return true;
  }
  if (prefix_[0] > body_) return false;
  body_ -= prefix_[0];
  body_left_ = body_;
  return true;
}

uint32_t SideReader::PrefixValue() const {
  if (is_prefix_lost_) return kUnknownValue;
  base::ByteReader reader({prefix_.data() + prefix_size_ - 4, 4});
  return reader.BigU32();
}

bool SideReader::OnPayloadGap(uint64_t n) {
  if (prefix_filled_ < prefix_size_) {
    const uint64_t missing = std::min<uint64_t>(n, prefix_size_ - prefix_filled_);
    prefix_filled_ = static_cast<uint8_t>(prefix_filled_ + missing);
    is_prefix_lost_ = true;
    n -= missing;
  }
  n = std::min<uint64_t>(n, body_left_);
  body_left_ -= static_cast<uint32_t>(n);
  if (is_prefix_lost_ || n > 0) LoseBody(n);
  return true;
}

void SideReader::TakeBody(base::ByteView bytes) {
  if (frame_.type == FrameType::kData) {
    if (MessageCounter* counter = sink_->CounterOf(side_, frame_.stream)) {
      if (is_prefix_lost_) {
        counter->Lose();
      } else {
        counter->Feed(bytes);
      }
    }
    return;
  }
  if (!carries_block() || is_block_cut_) return;
  // In one piece, in one frame: decoded where it lies.
  if (block_.empty() && bytes.size() == body_ && frame_.Has(flags::kEndHeaders) &&
      bytes.size() <= kMaxBlockBytes) {
    whole_ = bytes;
    // Bytes of padding may come in later pieces, after these are gone.
    const bool ends_here = frames_.payload_left() == 0;
    if (ends_here) return;
    whole_ = {};
  }
  if (block_.size() + bytes.size() > kMaxBlockBytes) return CutBlock();
  block_.Append(bytes);
}

void SideReader::LoseBody(uint64_t n) {
  if (frame_.type == FrameType::kData) {
    if (MessageCounter* counter = sink_->CounterOf(side_, frame_.stream)) {
      if (is_prefix_lost_) counter->Lose();
      counter->Skip(n);
    }
  } else if (carries_block() && (n > 0 || frame_.Has(flags::kPadded))) {
    CutBlock();
  }
}

void SideReader::CutBlock() {
  if (!is_block_cut_) ++counters_->cut_blocks;
  is_block_cut_ = true;
  block_.clear();
}

bool SideReader::OnFrameEnd(uint64_t end) {
  Event event;
  event.side = side_;
  event.stream = frame_.stream;
  event.offset = frame_offset_;
  event.end = end;
  switch (frame_.type) {
    case FrameType::kData:
      event.kind = EventKind::kData;
      event.end_stream = frame_.Has(flags::kEndStream);
      event.value = body_;
      sink_->OnFrame(event);
      return true;
    case FrameType::kPushPromise:
      current_.promised = PrefixValue();
      if (current_.promised != kUnknownValue) current_.promised &= 0x7fffffffu;
      [[fallthrough]];
    case FrameType::kHeaders:
    case FrameType::kContinuation:
      return !frame_.Has(flags::kEndHeaders) || EndBlock(end);
    case FrameType::kReset:
      event.kind = EventKind::kReset;
      event.end_stream = true;
      event.value = PrefixValue();
      sink_->OnFrame(event);
      return true;
    case FrameType::kGoAway:
      event.kind = EventKind::kGoAway;
      event.value = PrefixValue();
      if (event.value != kUnknownValue) event.value &= 0x7fffffffu;
      sink_->OnFrame(event);
      return true;
    default:
      return true;
  }
}

bool SideReader::EndBlock(uint64_t end) {
  in_block_ = false;
  ++counters_->header_blocks;
  current_.end = end;
  bool is_good = true;
  if (is_block_cut_) {
    decoder_.Forget();
    current_.head.is_cut = true;
  } else {
    const base::ByteView bytes = whole_.empty() ? block_.view() : whole_;
    is_good = decoder_.Decode(bytes, &current_.head, &current_.shape, out_);
    counters_->unknown_fields += current_.head.unknown_fields;
  }
  whole_ = {};
  block_.clear();
  if (block_.capacity() > kKeptBlockBytes) {
    base::ByteBuffer empty;
    block_ = std::move(empty);
  }
  if (!is_good) return Fail(Trouble::kGarbage);
  return sink_->OnBlock(side_, current_) || Fail(Trouble::kGarbage);
}

}  // namespace weft::protocols::http2
