// SideReader: one side of a connection, from frames to what they mean by themselves: complete
// header blocks with their Head, data, resets. It takes padding and priority off, puts CONTINUATION
// frames together and keeps the side's header table. What a block means for its stream (request,
// trailers, …) is the Connection's business, which is its SideSink.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "protocols/http2/connection.h"
#include "protocols/http2/events.h"
#include "protocols/http2/frame.h"
#include "protocols/http2/header_decoder.h"
#include "protocols/http2/message_counter.h"

namespace weft::protocols::http2 {

struct Block {
  uint32_t stream = 0;
  uint32_t promised = 0;  // PUSH_PROMISE: the other stream; kUnknownValue when not captured
  bool is_push = false;
  bool end_stream = false;
  Head head;
  BlockShape shape;
  uint64_t offset = 0, end = 0;
};

class SideSink {
 public:
  // False: no peer would accept this.
  virtual bool OnBlock(Side side, const Block& block) = 0;
  // Where the messages of a DATA frame are counted; null: nowhere.
  virtual MessageCounter* CounterOf(Side side, uint32_t stream) = 0;
  // Of an event only kind, stream, value, end_stream, offset and end are filled.
  virtual void OnFrame(const Event& event) = 0;

 protected:
  ~SideSink() = default;
};

// Threads: one. Owns: the side's table. `sink` and `out` are set for the time of a call.
class SideReader final : private FrameSink {
 public:
  SideReader(Side side, Counters* counters) : side_(side), counters_(counters) {}

  FrameReader& frames() { return frames_; }
  const FrameReader& frames() const { return frames_; }
  // The next frame must be the SETTINGS that stands behind every preface.
  void ExpectSettings() { expects_settings_ = true; }
  bool is_confirmed() const { return is_confirmed_; }
  bool is_table_known() const { return decoder_.is_table_known(); }
  Trouble trouble() const { return trouble_; }
  size_t bytes() const { return decoder_.bytes() + block_.capacity(); }

  // False when the side is lost.
  bool Feed(base::ByteView bytes, SideSink* sink, Output* out);
  bool Gap(uint64_t n, SideSink* sink, Output* out);
  void Lose(Trouble trouble, SideSink* sink, Output* out);
  void StartOver(uint64_t offset, bool at_preface);
  // The side's past is not known.
  void ForgetTable() { decoder_.Forget(); }

 private:
  bool OnFrameBegin(const FrameHeader& frame, uint64_t offset) override;
  bool OnPayload(base::ByteView bytes) override;
  bool OnPayloadGap(uint64_t n) override;
  bool OnFrameEnd(uint64_t end) override;

  void BeginPayload();
  bool ReadPrefix();
  bool BeginBlock();
  void TakeBody(base::ByteView bytes);
  void LoseBody(uint64_t n);
  bool EndBlock(uint64_t end);
  bool EndData(uint64_t end);
  uint32_t PrefixValue() const;
  bool Fail(Trouble trouble);
  void CutBlock();
  bool carries_block() const {
    return frame_.type == FrameType::kHeaders || frame_.type == FrameType::kPushPromise ||
           frame_.type == FrameType::kContinuation;
  }

  const Side side_;
  Counters* const counters_;
  FrameReader frames_;
  HeaderDecoder decoder_;
  SideSink* sink_ = nullptr;
  Output* out_ = nullptr;

  bool expects_settings_ = false, is_confirmed_ = false;
  Trouble trouble_ = Trouble::kNone;

  FrameHeader frame_;
  uint64_t frame_offset_ = 0;
  // The part of the payload before its body: pad length, priority, promised stream, error code.
  std::array<uint8_t, 6> prefix_{};
  uint8_t prefix_size_ = 0, prefix_filled_ = 0;
  bool is_prefix_lost_ = false;
  uint32_t body_ = 0, body_left_ = 0;  // the rest is padding

  Block current_;
  bool in_block_ = false, is_block_cut_ = false;
  uint32_t continuations_ = 0;
  base::ByteBuffer block_;  // in pieces
  base::ByteView whole_;    // or in one, for the time of the frame
};

}  // namespace weft::protocols::http2
