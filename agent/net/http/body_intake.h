// BodyIntake: collects one request's body with one copy, paying credit as bytes appear, and
// inflates it at the end. Refusal is everything that this room says no to by itself, and how it is
// said in each protocol. Internal to this room.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "net/credit_charge.h"
#include "net/listener.h"

namespace weft::net {

enum class Refusal : uint8_t {
  kNone,
  kTooLarge,
  kNoCredit,
  kBadCompression,
  kUnknownEncoding,
  kTruncated,     // gRPC: the stream ended inside a message, or before one
  kManyMessages,  // gRPC: a second message in a unary call
  kBadFraming,    // gRPC: a reserved flag, or compressed without an encoding
  kBadRequest,    // HTTP/1.1 syntax, smuggling
  kHeadTooLarge,
  kTimeout,
  kBadMethod,    // gRPC without POST
  kExpectation,  // Expect with something other than 100-continue
};
inline constexpr size_t kRefusals = 13;
std::string_view RefusalName(Refusal refusal);
Response RefusalResponse(Refusal refusal, bool is_grpc);

class BodyIntake {
 public:
  BodyIntake(base::ByteCredit& credit, uint64_t limit_bytes)
      : charge_(&credit), limit_(limit_bytes) {}

  // `claimed_bytes` more are announced; reserves up to `trusted_bytes` of them at once, paid for
  // like delivered ones. An announcement alone makes nobody allocate much: a peer is trusted with
  // as much as it has delivered before, and never with more than kMaxTrustedBytes, because each of
  // its streams may announce that.
  Refusal Announce(uint64_t claimed_bytes, uint64_t trusted_bytes);
  Refusal Append(base::ByteView bytes);
  // Inflates if `encoding` (of Content-Encoding or grpc-encoding) says so.
  Refusal Decode(std::string_view encoding);
  void Drop();

  static constexpr uint64_t kMaxTrustedBytes = 1 << 20;

  uint64_t size() const { return body_.size(); }
  void MoveInto(Request* request);
  // Gives back the credit.
  base::ByteBuffer TakeBytes();

 private:
  // Takes what is missing to hold `bytes`.
  bool Pay(uint64_t bytes) {
    return bytes <= charge_.bytes() || charge_.Take(bytes - charge_.bytes());
  }

  base::ByteBuffer body_;
  CreditCharge charge_;
  uint64_t limit_;
};

}  // namespace weft::net
