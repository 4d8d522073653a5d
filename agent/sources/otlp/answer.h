// Private to sources/otlp: what a client is told, in the encoding that it spoke.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/listener.h"

namespace weft::sources::otlp {

enum class Encoding : uint8_t { kGrpc, kProtobuf, kJson };

// "application/x-protobuf" and "application/json", with or without parameters; false for anything
// else.
bool EncodingFromContentType(std::string_view content_type, Encoding* out);

// Everything taken, or all but `rejected` spans, and why.
net::Response Success(Encoding encoding, uint64_t rejected, std::string_view why);
// The client must not send this again.
net::Response BadRequest(Encoding encoding, std::string_view why);
// The client should send this again, in a second.
net::Response Busy(Encoding encoding, std::chrono::milliseconds retry_after);

}  // namespace weft::sources::otlp
