#include "protocols/grpc/grpc.h"

#include <algorithm>
#include <array>

namespace weft::protocols::grpc {
namespace {

constexpr std::array<std::string_view, kMaxStatus + 1> kStatusNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

constexpr size_t kPrefixBytes = 5;
constexpr uint8_t kTrailersFlag = 0x80;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(),
                                                   [](char a, char b) { return Lower(a) == b; });
}

bool StartsWithIgnoreCase(std::string_view text, std::string_view lower) {
  return EqualsIgnoreCase(text.substr(0, lower.size()), lower);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Kind KindOf(std::string_view content_type) {
  constexpr std::string_view kBase = "application/grpc", kWeb = "-web", kText = "-text";
  content_type = Trim(content_type);
  if (!StartsWithIgnoreCase(content_type, kBase)) return Kind::kNone;
  content_type.remove_prefix(kBase.size());
  Kind kind = Kind::kGrpc;
  if (StartsWithIgnoreCase(content_type, kWeb)) {
    content_type.remove_prefix(kWeb.size());
    kind = Kind::kWeb;
    if (StartsWithIgnoreCase(content_type, kText)) {
      content_type.remove_prefix(kText.size());
      kind = Kind::kWebText;
    }
  }
  // "application/grpcfoo" is another type.
  const bool ends = content_type.empty() || content_type[0] == '+' || content_type[0] == ';' ||
                    content_type[0] == ' ';
  return ends ? kind : Kind::kNone;
}

bool ParsePath(std::string_view path, Method* method) {
  if (path.size() < 4 || path[0] != '/') return false;
  path.remove_prefix(1);
  // gRPC allows slashes in the service's name, not in the method's.
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == path.size()) return false;
  if (path.find_first_of("?# ") != std::string_view::npos) return false;
  *method = {path.substr(0, slash), path.substr(slash + 1), path};
  return true;
}

std::optional<uint32_t> ParseStatus(std::string_view grpc_status) {
  grpc_status = Trim(grpc_status);
  if (grpc_status.empty() || grpc_status.size() > 9) return std::nullopt;
  uint32_t value = 0;
  for (char c : grpc_status) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  return value;
}

std::string_view StatusName(uint32_t status) {
  return status <= kMaxStatus ? kStatusNames[status] : std::string_view();
}

bool IsServerError(uint32_t status) {
  constexpr uint32_t kDeadline = 4, kUnimplemented = 12, kInternal = 13, kUnavailable = 14,
                     kDataLoss = 15;
  return status == kUnknown || status == kDeadline || status == kUnimplemented ||
         status == kInternal || status == kUnavailable || status == kDataLoss;
}

uint32_t StatusFromHttp(uint16_t http_status) {
  switch (http_status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return kUnknown;
  }
}

uint32_t StatusFromReset(uint32_t http2_error_code) {
  switch (http2_error_code) {
    case 7:  // REFUSED_STREAM
      return 14;
    case 8:  // CANCEL
      return 1;
    case 0xb:  // ENHANCE_YOUR_CALM
      return 8;
    case 0xc:  // INADEQUATE_SECURITY
      return 7;
    case 5:  // STREAM_CLOSED: no mapping is defined
      return kUnknown;
    default:
      return http2_error_code <= 0xa ? 13 : kUnknown;
  }
}

std::string DecodeMessage(std::string_view grpc_message, size_t max_bytes) {
  std::string out;
  out.reserve(std::min(grpc_message.size(), max_bytes));
  for (size_t at = 0; at < grpc_message.size() && out.size() < max_bytes; ++at) {
    if (grpc_message[at] == '%' && grpc_message.size() - at > 2) {
      const int high = HexDigit(grpc_message[at + 1]), low = HexDigit(grpc_message[at + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high << 4 | low);
        at += 2;
        continue;
      }
    }
    out += grpc_message[at];
  }
  return out;
}

std::optional<uint64_t> ParseTimeout(std::string_view grpc_timeout) {
  if (grpc_timeout.size() < 2 || grpc_timeout.size() > 9) return std::nullopt;
  uint64_t value = 0;
  for (char c : grpc_timeout.substr(0, grpc_timeout.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  constexpr uint64_t kSecond = 1'000'000'000, kHour = 3600 * kSecond;
  switch (grpc_timeout.back()) {
    case 'H':
      return std::min(value, UINT64_MAX / kHour) * kHour;  // 99999999H does not fit
    case 'M':
      return value * 60 * kSecond;
    case 'S':
      return value * kSecond;
    case 'm':
      return value * 1'000'000;
    case 'u':
      return value * 1000;
    case 'n':
      return value;
    default:
      return std::nullopt;
  }
}

bool FindWebTrailers(base::ByteView body, WebTrailers* trailers) {
  base::ByteReader reader(body);
  while (reader.left() >= kPrefixBytes) {
    const uint8_t frame_flags = reader.U8();
    const base::ByteView payload = reader.Take(reader.BigU32());
    if (!reader.ok()) return false;
    if ((frame_flags & kTrailersFlag) == 0) continue;
    if ((frame_flags & 1) != 0) return false;  // compressed
    *trailers = {};
    std::string_view text = base::AsText(payload);
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      const size_t colon = line.find(':');
      if (colon == std::string_view::npos) continue;
      const std::string_view name = Trim(line.substr(0, colon)),
                             value = Trim(line.substr(colon + 1));
      if (EqualsIgnoreCase(name, "grpc-status")) trailers->status = value;
      if (EqualsIgnoreCase(name, "grpc-message")) trailers->message = value;
    }
    return true;
  }
  return false;
}

}  // namespace weft::protocols::grpc
