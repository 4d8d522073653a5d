#include "protocols/http2/entry_points.h"

#include <algorithm>

#include "protocols/http2/connection.h"
#include "protocols/http2/header_decoder.h"

namespace weft::protocols::http2 {
namespace {

constexpr std::string_view Head::*kTexts[] = {
    &Head::method,       &Head::path,        &Head::scheme,       &Head::authority,
    &Head::protocol,     &Head::host,        &Head::user_agent,   &Head::content_type,
    &Head::traceparent,  &Head::grpc_status, &Head::grpc_message, &Head::grpc_timeout,
    &Head::forwarded_for};

// Reads every byte of what was reported, so that a sanitizer sees what does not live.
uint64_t Touch(const Output& out) {
  uint64_t sum = 0;
  for (const Head& head : out.heads) {
    for (auto text : kTexts) {
      for (char c : head.*text) sum += static_cast<uint8_t>(c);
    }
    for (std::string_view state : head.tracestate) {
      for (char c : state) sum += static_cast<uint8_t>(c);
    }
  }
  return sum;
}

std::string CheckEvents(const Output& out, const Connection& connection) {
  for (const Event& event : out.events) {
    if (event.head != kNoHead && event.head >= out.heads.size()) return "head does not exist";
    if (event.end < event.offset) return "ends before it begins";
    if (event.end > connection.offset(event.side) && event.kind != EventKind::kDropped) {
      return "ends behind what was fed";
    }
  }
  return Touch(out) == ~0ull ? "?" : "";
}

}  // namespace

std::string TryConnection(base::ByteView bytes) {
  if (bytes.empty()) return "";
  Connection connection(static_cast<Start>(bytes[0] % 3));
  Output out;
  base::ByteReader reader(bytes.subspan(1));
  while (reader.left() > 2) {
    const uint8_t action = reader.U8();
    const Side side = static_cast<Side>(action & 1);
    const uint64_t n = static_cast<uint64_t>(reader.U8()) * (action & 0x80 ? 64 : 1);
    const uint64_t before = connection.offset(side);
    const base::ByteView next = reader.Take(std::min<uint64_t>(n, reader.left()));
    uint64_t expected = before + next.size();
    if ((action & 0x06) == 0x02) {
      connection.Gap(side, n, &out);
      expected = before + n;
    } else {
      if (connection.is_lost(side)) connection.Resync(side, next, next.size(), before);
      const model::ParseState state = connection.Feed(side, next, &out);
      if ((state == model::ParseState::kBad) != connection.is_lost(side)) return "state";
    }
    if (connection.offset(side) != expected) return "offset";
    std::string wrong = CheckEvents(out, connection);
    if (!wrong.empty()) return wrong;
    if (connection.open_streams() > kMaxStreams) return "streams";
    if (connection.bytes() > 1'000'000) return "memory";
    out.clear();
  }
  return "";
}

std::string TryBlocks(base::ByteView bytes) {
  if (bytes.empty()) return "";
  const size_t size = 1u + bytes[0];
  bytes = bytes.subspan(1);
  HeaderDecoder known, joined;
  joined.Forget();
  for (size_t number = 0; !bytes.empty(); ++number) {
    const base::ByteView block = bytes.first(std::min(size, bytes.size()));
    bytes = bytes.subspan(block.size());
    Output out;
    Head truth, reported;
    BlockShape shape;
    // Beyond a table that is too large, the first decoder joins too.
    if (!known.Decode(block, &truth, &shape, &out) || !known.is_table_known()) return "";
    if (number == 0) continue;
    if (!joined.Decode(block, &reported, &shape, &out)) return "refused what is good";
    if (Touch(out) == ~0ull) return "?";
    // A second field of a name is the first one that can be read.
    if (reported.unknown_fields > 0) continue;
    for (auto text : kTexts) {
      if ((reported.*text).data() != nullptr && reported.*text != truth.*text) return "wrong";
    }
    if (reported.status != truth.status) return "wrong status";
  }
  return "";
}

}  // namespace weft::protocols::http2
