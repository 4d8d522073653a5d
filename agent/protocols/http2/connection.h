// Connection: both directions of one HTTP/2 connection (RFC 9113), from bytes to events of its
// streams. Each side is cut into frames and its header blocks are decoded in byte order; payloads
// are only counted. Bytes that were not captured are told by Gap: inside a payload they are skipped
// exactly; where a frame header is among them the side is lost until Resync. After a join or a loss
// the header table is unknown: what is literal, static or was inserted since is reported, the rest
// is marked (docs/adr/0009-http2-joined.md).
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "model/parser.h"
#include "protocols/http2/events.h"

namespace weft::protocols::http2 {

inline constexpr size_t kMaxBlockBytes = 64 * 1024;  // a header block with its continuations
inline constexpr uint32_t kMaxContinuations = 256;   // frames of one block
inline constexpr size_t kMaxStreams = 4096;          // known at one time
inline constexpr size_t kPrefaceBytes = 24;

enum class Start : uint8_t {
  kPreface,   // from the first byte: the client's preface, then SETTINGS on both sides
  kUpgraded,  // likewise, behind a 101: the HTTP/1.1 request is stream 1, and it is over
  kJoined,    // in the middle: both sides wait for Resync. (When a preface comes after all, the
              // connection was not in use before: begin a new Connection with kPreface.)
};

// Why a side stopped.
enum class Trouble : uint8_t {
  kNone,
  kNotHttp2,  // a preface, but no SETTINGS behind it: another protocol. There is no way back
  kGarbage,   // what no HTTP/2 peer would accept
  kFlood,     // more than kMaxContinuations
  kGap,
};

// What happened so far, for the caller's metrics.
struct Counters {
  uint64_t frames = 0, header_blocks = 0;
  uint64_t cut_blocks = 0;        // larger than kMaxBlockBytes, or bytes missing
  uint64_t unknown_fields = 0;    // in all heads
  uint64_t uncertain_blocks = 0;  // unreadable blocks of which not even the kind is certain
  uint64_t dropped_streams = 0;
  uint64_t desyncs = 0;
};

// Threads: one. Cost: no allocation per frame in steady state. Fails: kBad; then the side's bytes
// are only counted until Resync. Memory: bytes(); at most about 1 MiB under attack.
class Connection {
 public:
  explicit Connection(Start start);
  ~Connection();
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;

  // Where a side's stream begins, when that is not 0. Before anything of it is fed.
  void StartAt(Side side, uint64_t offset);
  // The next bytes of one side, cut anywhere. The other side's may come earlier or later. kDone: at
  // a frame boundary.
  model::ParseState Feed(Side side, base::ByteView bytes, Output* out);
  // The next `n` bytes of the side are not known, because they were not captured or got lost.
  model::ParseState Gap(Side side, uint64_t n, Output* out);
  // Starts a lost side over at `offset` if `next`, the first bytes of a call that carried `length`
  // bytes, can only be frames; they are not consumed. False (and nothing changed) otherwise.
  bool Resync(Side side, base::ByteView next, uint64_t length, uint64_t offset);
  // The caller knows of a loss whose size is not known.
  void LoseFraming(Side side, Output* out);

  uint64_t offset(Side side) const;  // of the next byte
  bool is_lost(Side side) const;
  bool at_boundary(Side side) const;
  // Both sides have shown themselves to be HTTP/2 (SETTINGS behind the preface, or a Resync).
  bool is_confirmed() const;
  // Everything in the side's header table is known.
  bool is_table_known(Side side) const;
  // How many bytes of the current frame's payload are still to come; 0 at a frame header.
  uint64_t payload_left(Side side) const;
  Trouble trouble(Side side) const;
  const Counters& counters() const;
  size_t open_streams() const;
  // Heap bytes in use.
  size_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Could these be frames and nothing else? `next` is the front of `length` bytes. True when the
// frames tile all of `length`, or when three frame headers in a row make sense.
bool LooksLikeFrames(base::ByteView next, uint64_t length);
// Are these the first bytes of a client's connection preface? (All of it, or all that is there.)
bool IsPreface(base::ByteView bytes);

}  // namespace weft::protocols::http2
