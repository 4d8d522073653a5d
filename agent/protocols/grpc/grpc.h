// What gRPC says in HTTP's fields (and, in gRPC-Web, behind the body): kind, service and method,
// status, message, timeout. Pure functions over views; framing of messages is counted where the
// DATA is, in protocols/http2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weft::protocols::grpc {

enum class Kind : uint8_t {
  kNone,
  kGrpc,
  kWeb,      // application/grpc-web…: trailers are the last frame of the body
  kWebText,  // application/grpc-web-text…: likewise, everything in base64
};
// From content-type, whatever its case, suffix ("+proto") and parameters.
Kind KindOf(std::string_view content_type);

// "/package.Service/Method" → both parts; false for anything else.
struct Method {
  std::string_view service, method;
  std::string_view full;  // "package.Service/Method"
};
bool ParsePath(std::string_view path, Method* method);

inline constexpr uint8_t kOk = 0, kCancelled = 1, kUnknown = 2, kUnavailable = 14, kMaxStatus = 16;
// Decimal digits; nullopt when it is not a number. Numbers beyond kMaxStatus are told as they are.
std::optional<uint32_t> ParseStatus(std::string_view grpc_status);
// "OK", "CANCELLED", …; empty for numbers that have no name.
std::string_view StatusName(uint32_t status);
// Does a server count the status as its own error? (OpenTelemetry's conventions for RPC spans.)
bool IsServerError(uint32_t status);
// What a client makes of a response without grpc-status.
uint32_t StatusFromHttp(uint16_t http_status);
// What a client makes of RST_STREAM.
uint32_t StatusFromReset(uint32_t http2_error_code);

// grpc-message without its percent-encoding. What is no valid escape stays as it is. At most
// `max_bytes`; bytes that are not UTF-8 are the caller's to mend.
std::string DecodeMessage(std::string_view grpc_message, size_t max_bytes = 1024);

// grpc-timeout ("100m", "5S"): nanoseconds; nullopt when malformed.
std::optional<uint64_t> ParseTimeout(std::string_view grpc_timeout);

// The trailers of a gRPC-Web response: the frame with flag 0x80 at the end of the body, without
// its five-byte prefix, or (trailers-only) header fields.
struct WebTrailers {
  std::string_view status, message;
};
// Looks for the trailers frame in `body`, which starts at a message's prefix. False when it is not
// there or not complete.
bool FindWebTrailers(base::ByteView body, WebTrailers* trailers);

}  // namespace weft::protocols::grpc
