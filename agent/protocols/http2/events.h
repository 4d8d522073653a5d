// What http2::Connection tells its caller: Events, the heads that belong to them, and the Output
// that owns the text of both. One Output serves any number of connections of a thread. Only the
// fields named in Head are ever copied out of a header block: Authorization, Cookie and everything
// else are decoded (the table needs it) and dropped.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace weft::protocols::http2 {

// Whose bytes: the client's requests or the server's responses.
enum class Side : uint8_t { kClient, kServer };
constexpr Side Other(Side side) { return side == Side::kClient ? Side::kServer : Side::kClient; }

inline constexpr size_t kMaxTraceStates = 4;
inline constexpr uint32_t kNoHead = ~0u;

// A decoded header block. What is set is certain; what is not set is absent only when
// `unknown_fields` is 0 and `is_cut` is false, otherwise it may be one of the fields that could not
// be read (the connection was joined in the middle, or bytes were lost). Of a field that comes
// twice the first is kept. Owns: nothing; the views live in the Output until it is cleared.
struct Head {
  std::string_view method, path, scheme, authority, protocol;  // pseudo-header fields
  uint16_t status = 0;                                         // 100–999
  std::string_view host, user_agent, content_type, forwarded_for, traceparent;
  std::string_view grpc_status, grpc_message, grpc_timeout;
  uint8_t traceparent_count = 0, tracestate_count = 0;  // saturating
  std::array<std::string_view, kMaxTraceStates> tracestate;
  uint32_t unknown_fields = 0;  // whose name refers to a table entry that was never seen
  bool is_cut = false;          // bytes of the block are missing, or it was too large to keep

  bool is_complete() const { return unknown_fields == 0 && !is_cut; }
};

enum class EventKind : uint8_t {
  kRequest,        // the client opened a stream
  kResponse,       // final response head. status 0: not readable; a later kResponse replaces it
  kInformational,  // 1xx
  kData,           // a DATA frame is over
  kTrailers,       // of either side; end_stream is set
  kReset,          // RST_STREAM; `value` is the error code, kUnknownValue if not seen
  kGoAway,         // `value` is the last stream that is processed, kUnknownValue if not seen
  kPush,           // the server promised stream `value`; `head` is the promised request
  kDropped,        // the stream table was full: nothing more will be told of `stream`
  kDesync,         // the side's framing is lost; what it said from here to the Resync is unknown
};
inline constexpr uint32_t kUnknownValue = ~0u;

struct Event {
  EventKind kind;
  Side side;                // who spoke
  bool end_stream = false;  // the side says nothing more on this stream
  // kData: `messages` is the number of length-prefixed messages that the side has begun on this
  // stream. False: content type unknown or not gRPC's, or a prefix was not captured.
  bool are_messages_known = false;
  uint32_t stream = 0;
  uint32_t head = kNoHead;  // index into Output::heads
  uint32_t value = 0;       // see EventKind; kData: bytes of payload without padding
  uint32_t messages = 0;
  uint64_t offset = 0;  // of the first byte of the (first) frame in the side's stream
  uint64_t end = 0;     // just behind the (last) frame
};

// Threads: one. Filled by a Connection, cleared by the caller. Cost: no allocation once it has
// grown to the usual size. Memory: texts end at kMaxTextBytes; heads beyond are marked is_cut.
class Output {
 public:
  static constexpr size_t kMaxTextBytes = 4 << 20;

  std::vector<Event> events;
  std::vector<Head> heads;

  void clear();
  // A copy of `text` that lives until clear(). Null data when there is no room for it.
  std::string_view Keep(std::string_view text);

 private:
  static constexpr size_t kChunkBytes = 64 * 1024;
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  std::vector<Chunk> chunks_;  // never moved: views point into them
  size_t chunk_ = 0, used_ = 0;
  size_t total_ = 0;
};

}  // namespace weft::protocols::http2
