#include "protocols/http1/entry_points.h"

#include <algorithm>

#include "protocols/http1/message_parser.h"

namespace weft::protocols::http1 {

std::string TryMessages(base::ByteView bytes) {
  if (bytes.empty()) return "";
  MessageParser parser(bytes[0] % 2 == 0 ? MessageKind::kRequest : MessageKind::kResponse);
  Output out;
  base::ByteReader reader(bytes.subspan(1));
  uint64_t sum = 0, last_end = 0;
  while (reader.left() > 1) {
    const uint8_t action = reader.U8();
    const uint64_t n = action & 0x7f;
    const uint64_t before = parser.offset();
    const base::ByteView next = reader.Take(std::min<uint64_t>(n, reader.left()));
    uint64_t expected = before + next.size();
    if ((action & 0x80) != 0) {
      parser.Gap(n * n, n % 2 == 0 ? GapCause::kTruncated : GapCause::kLost, &out);
      expected = before + n * n;
    } else {
      if (parser.is_lost()) parser.Resync(next, before);
      const model::ParseState state = parser.Feed(next, &out);
      if ((state == model::ParseState::kBad) != parser.is_lost()) return "state";
    }
    if (parser.offset() != expected) return "offset";
    for (const Event& event : out.events) {
      if (event.kind == EventKind::kHead && event.head >= out.heads.size()) return "head";
      if (event.offset > parser.offset()) return "ahead of the stream";
      if (event.kind == EventKind::kEnd && event.offset < last_end) return "ends go back";
      if (event.kind == EventKind::kEnd) last_end = event.offset;
    }
    for (const Head& head : out.heads) {
      for (std::string_view text : {head.method, head.target, head.host, head.user_agent,
                                    head.content_type, head.forwarded_for, head.traceparent}) {
        for (char c : text) sum += static_cast<uint8_t>(c);
      }
    }
    out.clear();
  }
  return sum == ~0ull ? "?" : "";
}

}  // namespace weft::protocols::http1
