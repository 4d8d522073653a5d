// MessageParser: one direction of one HTTP/1.x connection, from bytes to messages (RFC 9112). It
// keeps heads and counts bodies: no body byte is stored or looked at. Bytes that were not captured
// are told by Gap, so that a body of known length is skipped exactly; where the framing is lost,
// the parser stops until Resync finds the next message.
//
//   head ─▶ none │ length │ chunk-size ⇄ chunk-data … trailers │ until close ─▶ head …
//   any  ─▶ lost (garbage, gap)  ─Resync─▶ head            response 101, CONNECT 2xx ─▶ tunnel
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "model/parser.h"
#include "protocols/http1/head.h"

namespace weft::protocols::http1 {

inline constexpr size_t kMaxChunkLineBytes = 4 * 1024;  // chunk size with its extensions
inline constexpr size_t kMaxExpected = 256;             // requests whose responses are outstanding

enum class EventKind : uint8_t { kHead, kEnd };

struct Event {
  EventKind kind;
  uint32_t head = 0;  // kHead: index into Output::heads
  uint64_t offset =
      0;  // stream offset; kHead: of the head's first byte; kEnd: just behind the message
};

// Filled by the parser, cleared by the caller. Views in `heads` are valid until the parser's next
// call.
struct Output {
  std::vector<Event> events;
  std::vector<Head> heads;
  void clear() { events.clear(), heads.clear(); }
};

// Why bytes are missing: the capture limit (the call's own tail), or a record that never came.
enum class GapCause : uint8_t { kTruncated, kLost };

// Why the parser stopped.
enum class Trouble : uint8_t {
  kNone,
  kGarbage,
  kHttp2,
  kTooLarge,
  kBadChunk,
  kBadLength,
  kGap,
  kGivenUp
};

// What a response must know of its request.
enum class RequestClass : uint8_t { kOther = 0, kHead = 1, kConnect = 2 };

// Threads: one. Cost: no allocation in steady state; a head that arrives in pieces is copied once.
// Fails: kBad; then bytes are only counted until Resync. Memory: at most 2 · kMaxHeadBytes.
class MessageParser {
 public:
  explicit MessageParser(MessageKind kind, uint64_t offset = 0) : kind_(kind), offset_(offset) {}

  // Says where the stream begins, if it was not known at construction. Before anything is fed.
  void StartAt(uint64_t offset) { offset_ = offset; }
  // The next bytes of the stream. kDone: at a message boundary. kNeedMore: inside a message.
  model::ParseState Feed(base::ByteView bytes, Output* out);
  // The next `n` bytes of the stream are not known. In a head, kTruncated emits what was seen
  // (is_truncated) and kLost drops it; both lose the framing.
  model::ParseState Gap(uint64_t n, GapCause cause, Output* out);
  // The stream has ended: completes a message that runs until close. Others stay incomplete.
  void End(Output* out);
  // Starts over at stream offset `offset` if `next`, the bytes there, begin a message; they are not
  // consumed. False (and nothing changed) otherwise.
  bool Resync(base::ByteView next, uint64_t offset);
  // The caller knows better: what follows is no continuation of the current message.
  void LoseFraming() { Fail(Trouble::kGivenUp); }

  // Responses: announces the next request, in order. False when kMaxExpected are outstanding.
  bool ExpectResponseTo(RequestClass request);
  void ForgetExpected() { expected_count_ = 0; }

  uint64_t offset() const { return offset_; }  // of the next byte
  bool at_boundary() const { return phase_ == Phase::kHead && !in_head_; }
  bool in_head() const { return phase_ == Phase::kHead && in_head_; }
  bool is_lost() const { return phase_ == Phase::kLost; }
  uint64_t head_offset() const { return head_offset_; }  // of the latest head
  // Offset behind the current message; 0 when it is not known in advance.
  uint64_t known_end() const { return phase_ == Phase::kLength ? offset_ + left_ : 0; }
  // A body was announced and no byte of it has come (a client that waits for 100 Continue may never
  // send it, T30).
  bool body_untouched() const {
    return phase_ == Phase::kLength
               ? left_ == length_
               : phase_ == Phase::kChunkSize && is_first_chunk_ && line_bytes_ == 0;
  }
  // Of heads in pieces.
  size_t bytes() const { return partial_.capacity() + parsed_.capacity(); }
  // Gives up a head that is not complete; what Output shows of the last one is gone.
  void ReleaseMemory() {
    if (in_head()) LoseFraming();
    partial_ = {};
    parsed_ = {};
  }
  Trouble trouble() const { return trouble_; }

 private:
  enum class Phase : uint8_t {
    kHead,
    kLength,
    kUntilClose,
    kChunkSize,
    kChunkData,
    kChunkEnd,
    kTrailer,
    kLost,
    kTunnel
  };
  // Where the search for an empty line stands.
  enum class LineState : uint8_t { kInside, kAtStart, kAfterCr };

  model::ParseState State() const;
  void Fail(Trouble trouble);
  // Each takes what it can from [p, end), advances offset_ and returns the rest.
  const char* FeedHead(const char* p, const char* end, Output* out);
  const char* FeedBody(const char* p, const char* end, Output* out);
  const char* FeedChunkSize(const char* p, const char* end);
  const char* FeedChunkEnd(const char* p);
  const char* FeedTrailer(const char* p, const char* end, Output* out);
  void GapInChunked(uint64_t n, GapCause cause, Output* out);
  // Just behind the empty line, or null. Looks at every byte once, however they are split.
  const char* FindEmptyLine(const char* p, const char* end);
  bool CheckStart(std::string_view head);
  // `lines`: of a head that was scanned in one pass, else null.
  void EmitHead(std::string_view bytes, bool is_cut, const HeadLines* lines, Output* out);
  bool ParseHead(std::string_view bytes, const HeadLines* lines, Head* head, Framing* framing);
  void EmitCutHead(Output* out);
  void EnterBody(const Head& head, RequestClass request, Output* out);
  void ChooseBody(const Framing& framing, RequestClass request, Head* head) const;
  void EndMessage(Output* out);
  void EndChunkLine();
  RequestClass PopExpected();

  const MessageKind kind_;
  Phase phase_ = Phase::kHead;
  LineState line_state_ = LineState::kInside;
  Trouble trouble_ = Trouble::kNone;
  bool in_head_ = false;          // some bytes of a head have been seen
  bool start_line_good_ = false;  // of a head that is not complete yet
  bool in_chunk_extension_ = false;
  bool chunk_cr_seen_ = false;
  bool is_first_chunk_ = false;  // and its size is not known yet
  uint8_t chunk_digits_ = 0;
  uint32_t line_bytes_ = 0;       // of the chunk-size line or the trailers
  uint32_t start_line_size_ = 0;  // with its line end; 0 = not complete
  uint64_t offset_;
  uint64_t head_offset_ = 0;
  uint64_t length_ = 0, left_ = 0;  // of the body or chunk
  base::ByteBuffer partial_;        // a head in pieces
  base::ByteBuffer
      parsed_;  // the last head that was completed from pieces: its views live until the next call
  std::array<uint64_t, kMaxExpected / 32> expected_{};  // a ring of two-bit RequestClass
  uint16_t expected_front_ = 0, expected_count_ = 0;
};

}  // namespace weft::protocols::http1
