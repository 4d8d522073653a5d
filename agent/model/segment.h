// Segment: bytes that eBPF saw on one connection in one direction. captured < true length, a
// missing position, sendfile and a skipped body are one case: a gap. Segments of one drain travel
// together as a SegmentBatch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "model/endpoint.h"
#include "model/process.h"

namespace weft::model {

// Socket cookie (unique for the life of the kernel) and birth time: never reused.
using ConnectionId = uint64_t;

enum class Direction : uint8_t { kSend, kReceive };  // as the owning process sees it

// What is known of a connection; shared by all its segments, immutable, made at its first record.
struct Connection {
  ConnectionId id = 0;  // the socket cookie
  uint64_t birth_ns =
      0;               // monotonic; of the socket, or of its first record if it is older than weft
  uint64_t netns = 0;  // inode of the network namespace
  Endpoint local, remote;
  bool joined_in_middle = false;  // older than weft: position 0 is not the first byte
};

// What the kernel side took the connection for when it met its first bytes.
enum class WireProtocol : uint8_t { kHttp1 = 1, kHttp2 = 2 };

enum class SegmentKind : uint8_t {
  kData,    // bytes, perhaps fewer captured than there were
  kEnd,     // this direction has ended in order: FIN sent or seen
  kClosed,  // the socket is gone; both directions have ended
};

struct Segment {
  SegmentKind kind = SegmentKind::kData;
  Direction direction = Direction::kSend;
  WireProtocol protocol = WireProtocol::kHttp1;
  // Plaintext out of a TLS library: positions count plaintext bytes, `sequence` is that of the
  // ciphertext.
  bool is_tls = false;
  std::shared_ptr<const Connection> connection;
  ProcessRef process;    // of the caller; null for kEnd and kClosed
  uint32_t thread = 0;   // tid of the caller; in Go: the goroutine for whose request it calls
  uint64_t time_ns = 0;  // monotonic; when the call returned
  uint64_t position =
      0;  // of the first byte in the stream of this direction, 64 bit, 0 at connection birth
  uint64_t length = 0;    // true number of bytes of the call
  uint32_t sequence = 0;  // raw TCP sequence number of the first byte
  base::ByteView
      captured;  // the first bytes of the call; size() <= length; lives in the batch's arena
};

// Owns: the captured bytes. In order of time_ns.
struct SegmentBatch {
  std::vector<Segment> items;
  base::ByteBuffer arena;
};

}  // namespace weft::model
