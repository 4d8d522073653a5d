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
  kPeerShare,    // the peer's unfinished bodies hold too much of a scarce credit
  kTooSlow,      // the body came, but by drops
  kNoAnswer,     // HTTP/1.1: the service has not answered
};
inline constexpr size_t kRefusals = 16;
std::string_view RefusalName(Refusal refusal);
Response RefusalResponse(Refusal refusal, bool is_grpc);

// What one peer has open here: the connections of an address, or a single connection where all
// peers share one (loopback, unix sockets).
struct PeerAccount {
  uint64_t body_bytes = 0;  // credit held by bodies that are not complete

  // While more than half of the credit is free nobody is held back. Then a peer's unfinished
  // bodies, which may never become complete, end at a quarter of it.
  bool MayHold(uint64_t more, const base::ByteCredit& credit) const {
    return credit.used() + more <= credit.limit() / 2 || body_bytes + more <= credit.limit() / 4;
  }
};

class BodyIntake {
 public:
  // `account` (optional) must outlive this.
  BodyIntake(base::ByteCredit& credit, uint64_t limit_bytes, PeerAccount* account = nullptr)
      : charge_(&credit), account_(account), limit_(limit_bytes) {}
  ~BodyIntake() { LeaveAccount(); }
  BodyIntake(const BodyIntake&) = delete;
  BodyIntake& operator=(const BodyIntake&) = delete;

  // `claimed_bytes` more are announced; reserves up to `trusted_bytes` of them at once, paid for
  // like delivered ones. An announcement alone makes nobody allocate much: a peer is trusted with
  // as much as it has delivered before, and never with more than kMaxTrustedBytes, because each of
  // its streams may announce that.
  Refusal Announce(uint64_t claimed_bytes, uint64_t trusted_bytes);
  Refusal Append(base::ByteView bytes);
  // Inflates if `encoding` (of Content-Encoding or grpc-encoding) says so; what came is kept, and
  // stays paid for.
  Refusal Decode(std::string_view encoding);
  void Drop();

  static constexpr uint64_t kMaxTrustedBytes = 1 << 20;

  uint64_t size() const { return body_.size(); }
  void MoveInto(Request* request);
  // Gives back the credit.
  base::ByteBuffer TakeBytes();

 private:
  // Takes what is missing to hold `bytes`.
  Refusal Pay(uint64_t bytes) {
    if (bytes <= charge_.bytes()) return Refusal::kNone;
    const uint64_t more = bytes - charge_.bytes();
    if (account_ != nullptr && !account_->MayHold(more, *charge_.credit())) {
      return Refusal::kPeerShare;
    }
    if (!charge_.Take(more)) return Refusal::kNoCredit;
    if (account_ != nullptr) account_->body_bytes += more, accounted_ += more;
    return Refusal::kNone;
  }
  // The body is complete, or gone.
  void LeaveAccount() {
    if (account_ != nullptr) account_->body_bytes -= std::exchange(accounted_, 0);
  }

  base::ByteBuffer body_;
  base::SharedPacked packed_;
  CreditCharge charge_;
  PeerAccount* account_;
  uint64_t accounted_ = 0;
  uint64_t limit_;
};

}  // namespace weft::net
