// Test kit: what one side of an HTTP/2 connection puts on the wire, written by hand.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::normalize {

using Fields = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
  return out.append(payload);
}
inline std::string Number(uint32_t n) {
  std::string out;
  for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(n >> shift));
  return out;
}

class Speaker {
 public:
  // Pseudo-header fields by the static table, as every encoder does; the rest as literals that the
  // table does not keep.
  static std::string Block(const Fields& fields) {
    static constexpr std::pair<std::string_view, std::string_view> kStatic[] = {
        {":authority", ""},  {":method", "GET"},  {":method", "POST"},  {":path", "/"},
        {":path", "/index"}, {":scheme", "http"}, {":scheme", "https"}, {":status", "200"}};
    std::string out;
    for (const auto& [name, value] : fields) {
      int same_name = 0, same = 0;
      for (int i = 0; i < static_cast<int>(std::size(kStatic)); ++i) {
        if (kStatic[i].first != name) continue;
        if (same_name == 0) same_name = i + 1;
        if (kStatic[i].second == value && i != 4) same = i + 1;
      }
      out.push_back(static_cast<char>(same != 0 ? 0x80 | same : same_name));
      if (same != 0) continue;
      if (same_name == 0) out += Literal(name);
      out += Literal(value);
    }
    return out;
  }
  static std::string Headers(uint32_t stream, const Fields& fields, bool end_stream = false) {
    return Frame(1, static_cast<uint8_t>(4 | (end_stream ? 1 : 0)), stream, Block(fields));
  }
  static std::string Data(uint32_t stream, std::string_view bytes, bool end_stream = false) {
    return Frame(0, end_stream ? 1 : 0, stream, bytes);
  }
  // A gRPC message of `n` bytes.
  static std::string Message(uint32_t n) {
    return std::string(1, '\0') + Number(n) + std::string(n, 'm');
  }
  static std::string Settings() { return Frame(4, 0, 0, ""); }
  static std::string SettingsAck() { return Frame(4, 1, 0, ""); }
  static std::string Reset(uint32_t stream, uint32_t code) {
    return Frame(3, 0, stream, Number(code));
  }
  static std::string GoAway(uint32_t last, uint32_t code) {
    return Frame(7, 0, 0, Number(last) + Number(code));
  }

 private:
  static std::string Literal(std::string_view text) {
    std::string out;
    if (text.size() < 127) return out.append(1, static_cast<char>(text.size())).append(text);
    out.push_back(127);
    size_t rest = text.size() - 127;
    for (; rest >= 128; rest >>= 7) out.push_back(static_cast<char>((rest & 127) | 128));
    return out.append(1, static_cast<char>(rest)).append(text);
  }
};

inline Fields Get(std::string path, Fields more = {}) {
  Fields out = {{":method", "GET"}, {":scheme", "http"}, {":authority", "shop.test:8080"}};
  out.push_back({":path", std::move(path)});
  out.insert(out.end(), more.begin(), more.end());
  return out;
}
inline Fields Call(std::string path, Fields more = {}) {
  Fields out = {{":method", "POST"}, {":scheme", "http"}, {":path", std::move(path)}};
  out.push_back({":authority", "shop.test:8080"});
  out.push_back({"content-type", "application/grpc"});
  out.push_back({"te", "trailers"});
  out.insert(out.end(), more.begin(), more.end());
  return out;
}
inline const Fields kStatusOk = {{":status", "200"}};
inline const Fields kCallAccepted = {{":status", "200"}, {"content-type", "application/grpc"}};
inline Fields Trailers(int status) { return {{"grpc-status", std::to_string(status)}}; }

}  // namespace weft::normalize
