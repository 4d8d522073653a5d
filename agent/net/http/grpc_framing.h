// gRPC over HTTP/2, below the stream: the five-byte message prefix, base64 binary headers, and the
// few bytes of google.rpc.Status that weft says and understands (RetryInfo). Internal to this room.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "net/http/body_intake.h"

namespace weft::net {

inline constexpr size_t kGrpcPrefixBytes = 5;

// [compressed: 1 byte][length: 4 bytes, big-endian]
std::array<uint8_t, kGrpcPrefixBytes> GrpcPrefix(bool compressed, uint32_t length);

// "application/grpc", perhaps with "+proto" or ";…"; not grpc-web.
bool IsGrpcContentType(std::string_view content_type);

// Takes the DATA of a unary request or reply and finds its one message.
class GrpcUnaryReader {
 public:
  // `trusted_bytes`: as in BodyIntake::Announce.
  Refusal Feed(base::ByteView bytes, uint64_t trusted_bytes, BodyIntake* body);
  // At the end of the stream.
  Refusal Finish(std::string_view encoding, BodyIntake* body) const;

 private:
  std::array<uint8_t, kGrpcPrefixBytes> prefix_{};
  uint8_t prefix_bytes_ = 0;
  uint32_t missing_ = 0;
};

// Standard alphabet without padding; decoding accepts padding and gives nothing for anything else.
std::string Base64Encode(std::string_view bytes);
std::optional<std::string> Base64Decode(std::string_view text);

// The retry delay of a RetryInfo inside an encoded google.rpc.Status.
std::optional<std::chrono::milliseconds> FindRetryDelay(base::ByteView status);

}  // namespace weft::net
