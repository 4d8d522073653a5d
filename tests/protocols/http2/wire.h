// What the tests of HTTP/2 are written with: frames by hand, HPACK by nghttp2's deflater, a
// Connection fed in pieces, and its events as text.
#pragma once

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocols/http2/connection.h"
#include "protocols/http2/frame.h"

namespace weft::protocols::http2::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string Frame(FrameType type, uint8_t frame_flags, uint32_t stream,
                         std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(frame_flags);
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out.append(payload);
}
inline std::string Settings() { return Frame(FrameType::kSettings, 0, 0, ""); }
inline std::string Number(uint32_t value) {
  std::string out;
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(value >> shift);
  return out;
}

// An HPACK encoder with its table.
class Deflater {
 public:
  explicit Deflater(size_t max_table = 4096) {
    EXPECT_EQ(nghttp2_hd_deflate_new(&deflater_, max_table), 0);
  }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() { nghttp2_hd_deflate_del(deflater_); }

  void Resize(size_t size) { nghttp2_hd_deflate_change_table_size(deflater_, size); }
  std::string Block(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields) {
      list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                      value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    std::string out(nghttp2_hd_deflate_bound(deflater_, list.data(), list.size()), '\0');
    const auto n = nghttp2_hd_deflate_hd(deflater_, reinterpret_cast<uint8_t*>(out.data()),
                                         out.size(), list.data(), list.size());
    EXPECT_GE(n, 0);
    out.resize(static_cast<size_t>(n));
    return out;
  }

 private:
  nghttp2_hd_deflater* deflater_ = nullptr;
};

inline std::string HeadText(const Head& head) {
  std::string out;
  auto Add = [&](const char* name, std::string_view value) {
    if (value.data() != nullptr) out.append(" ").append(name).append("=").append(value);
  };
  if (head.status != 0) out += " status=" + std::to_string(head.status);
  Add("method", head.method), Add("path", head.path), Add("scheme", head.scheme);
  Add("authority", head.authority), Add("protocol", head.protocol), Add("host", head.host);
  Add("agent", head.user_agent), Add("type", head.content_type);
  Add("for", head.forwarded_for), Add("traceparent", head.traceparent);
  for (std::string_view state : head.tracestate) Add("tracestate", state);
  Add("grpc-status", head.grpc_status), Add("grpc-message", head.grpc_message);
  Add("grpc-timeout", head.grpc_timeout);
  if (head.traceparent_count > 1) out += " traceparents=" + std::to_string(head.traceparent_count);
  if (head.unknown_fields > 0) out += " unknown=" + std::to_string(head.unknown_fields);
  if (head.is_cut) out += " cut";
  return out;
}

inline std::string EventText(const Event& event, const Output& out) {
  static const char* const kNames[] = {"request",  "response", "informational", "data",
                                       "trailers", "reset",    "goaway",        "push",
                                       "dropped",  "desync"};
  std::string text = event.side == Side::kClient ? "> " : "< ";
  text += std::to_string(event.stream) + " " + kNames[static_cast<size_t>(event.kind)];
  if (event.kind == EventKind::kData || event.kind == EventKind::kReset ||
      event.kind == EventKind::kGoAway || event.kind == EventKind::kPush) {
    text += event.value == kUnknownValue ? " ?" : " " + std::to_string(event.value);
  }
  if (event.are_messages_known) text += " messages=" + std::to_string(event.messages);
  if (event.head != kNoHead) text += HeadText(out.heads.at(event.head));
  if (event.end_stream) text += " end";
  return text;
}

// A Connection whose events are collected as lines.
struct Reader {
  explicit Reader(Start start = Start::kPreface) : connection(start) {}

  model::ParseState Feed(Side side, std::string_view bytes) {
    model::ParseState state = connection.Feed(side, base::AsBytes(bytes), &out);
    Take();
    return state;
  }
  model::ParseState Gap(Side side, uint64_t n) {
    model::ParseState state = connection.Gap(side, n, &out);
    Take();
    return state;
  }
  bool Resync(Side side, std::string_view next) {
    return connection.Resync(side, base::AsBytes(next), next.size(), connection.offset(side));
  }
  // Preface and SETTINGS of both sides.
  void Open() {
    Feed(Side::kClient, std::string(kClientPreface) + Settings());
    Feed(Side::kServer, Settings());
  }
  std::string All() const {
    std::string all;
    for (const std::string& line : lines) all += line + "\n";
    return all;
  }

  void Take() {
    for (const Event& event : out.events) lines.push_back(EventText(event, out));
    out.clear();
  }
  Connection connection;
  Output out;
  std::vector<std::string> lines;
};

inline const Fields kGet = {{":method", "GET"},          {":scheme", "http"},
                            {":path", "/shop?id=1"},     {":authority", "shop.example"},
                            {"user-agent", "curl/7.88"}, {"authorization", "secret"}};
inline const Fields kOk = {{":status", "200"}, {"content-type", "text/plain"}};

inline constexpr uint8_t kEndHeaders = flags::kEndHeaders;
inline constexpr uint8_t kEndAll = flags::kEndHeaders | flags::kEndStream;

}  // namespace weft::protocols::http2::testing
