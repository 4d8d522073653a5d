// The head of an HTTP/1.x message (RFC 9112): what weft keeps of a start line and its header
// fields, as views into the bytes. Pure functions over one complete (or cut) head. Everything that
// is not named here is skipped without being looked at, in particular Authorization, Cookie and
// Set-Cookie.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace weft::protocols::http1 {

enum class MessageKind : uint8_t { kRequest, kResponse };

// How the end of a body is found.
enum class BodyKind : uint8_t {
  kNone,
  kLength,
  kChunked,
  kUntilClose,  // responses only
  kUnknown,     // the fields contradict each other, or the head was cut before its end
};

inline constexpr size_t kMaxHeadBytes = 64 * 1024;  // head, and trailers, of one message
inline constexpr size_t kMaxMethodBytes = 24;
inline constexpr size_t kMaxTraceStates = 4;  // header fields; further ones are ignored

// Owns: nothing; the views point into the parsed bytes. Values are trimmed; a folded value keeps
// its line breaks.
struct Head {
  std::string_view method, target;  // requests
  uint16_t status = 0;              // responses: 100–999
  uint8_t minor_version = 1;        // HTTP/1.x
  bool has_version = true;          // false when the start line was cut before it
  bool is_truncated = false;        // cut by the capture limit: later fields are unknown
  bool has_both_lengths =
      false;  // Transfer-Encoding and Content-Length: the mark of request smuggling (T36)
  bool upgrades_to_h2c = false;  // Upgrade: h2c
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;  // for kLength

  std::string_view host, user_agent, content_type, forwarded_for, traceparent;
  uint8_t host_count = 0, traceparent_count = 0, tracestate_count = 0;
  std::array<std::string_view, kMaxTraceStates> tracestate;
};

// What the framing fields said; several fields of one name are combined.
struct Framing {
  bool has_length = false, is_length_bad = false;
  bool has_encoding = false, is_chunked = false;
  bool is_ambiguous = false;  // a blank before the colon: some read the field, some do not
  uint64_t length = 0;
};

enum class StartLine : uint8_t { kGood, kBad, kHttp2 };

// `line` without its line end. kHttp2 is the HTTP/2 preface "PRI * HTTP/2.0".
StartLine ParseRequestLine(std::string_view line, Head* head);
// The front of a request line that was cut before its end; false when not even a part of the target
// is there. A target that ends at the cut may be longer than what is returned.
bool ParseCutRequestLine(std::string_view line, Head* head);
StartLine ParseStatusLine(std::string_view line, Head* head);

// The lines behind the start line, up to but not including the empty one. False when a line is no
// header field. With `is_cut` the last line may be incomplete: it is ignored.
bool ParseFields(std::string_view lines, bool is_cut, Head* head, Framing* framing);

// Where the lines of a whole head end and their names do, as offsets from its first byte.
struct HeadLines {
  struct Line {
    uint32_t colon;  // the first one; 0: there is none
    uint32_t end;    // the line feed
  };
  static constexpr size_t kMax = 64;

  uint32_t size = 0;   // of the head, with the empty line
  uint32_t count = 0;  // with the start line, without the empty one
  std::array<Line, kMax> lines;
};

// Finds all of that in one pass over a head whose first byte begins the start line. False when the
// empty line is not there, or when the head is unusual (more lines, folded values): then the way
// that takes it apart line by line has to do.
bool ScanHead(std::string_view bytes, HeadLines* out);
// As ParseFields, for a head that was scanned.
bool ParseFields(std::string_view head, const HeadLines& lines, Head* out, Framing* framing);

// Could these first bytes become a start line? Looks at the first 32 bytes only.
bool IsPlausiblePrefix(MessageKind kind, std::string_view bytes);

// Is this, at a place where nothing is known, the start of a message? Needs the whole start line,
// or (when the bytes end before it does) a well-known method or "HTTP/1.".
bool IsPlausibleBoundary(MessageKind kind, std::string_view bytes);

// ASCII, without regard to case; `lower` is lower case.
bool EqualsIgnoreCase(std::string_view text, std::string_view lower);

}  // namespace weft::protocols::http1
