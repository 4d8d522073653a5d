#include "net/http/body_intake.h"

#include <algorithm>

#include "base/inflate.h"

namespace weft::net {
namespace {

constexpr uint64_t kUntrustedReserveBytes = 16 << 10;

struct RefusalText {
  std::string_view name, message;
  int status, grpc_status;
};

const RefusalText& TextOf(Refusal refusal) {
  static constexpr RefusalText kTexts[kRefusals] = {
      {"none", "", 200, kGrpcOk},
      {"too_large", "request body is larger than the limit", 413, kGrpcResourceExhausted},
      {"no_credit", "no memory for this request now", 503, kGrpcUnavailable},
      {"bad_compression", "compressed body is damaged", 400, kGrpcInvalidArgument},
      {"unknown_encoding", "content encoding is not supported", 415, kGrpcUnimplemented},
      {"truncated", "message is truncated", 400, kGrpcInvalidArgument},
      {"many_messages", "more than one message in a unary call", 400, kGrpcUnimplemented},
      {"bad_framing", "bad message flags", 400, kGrpcInternal},
      {"bad_request", "malformed request", 400, kGrpcInvalidArgument},
      {"head_too_large", "request head is larger than the limit", 431, kGrpcResourceExhausted},
      {"timeout", "request took too long to arrive", 408, kGrpcDeadlineExceeded},
      {"bad_method", "method is not allowed", 405, kGrpcUnimplemented},
      {"expectation", "expectation is not supported", 417, kGrpcUnimplemented},
      {"peer_share", "too many unfinished requests of this peer now", 503, kGrpcUnavailable},
      {"too_slow", "request body comes too slowly", 408, kGrpcDeadlineExceeded},
      {"no_answer", "no answer yet, come again", 503, kGrpcUnavailable},
  };
  return kTexts[static_cast<size_t>(refusal)];
}

}  // namespace

std::string_view RefusalName(Refusal refusal) { return TextOf(refusal).name; }

Response RefusalResponse(Refusal refusal, bool is_grpc) {
  const RefusalText& text = TextOf(refusal);
  const bool may_retry = refusal == Refusal::kNoCredit || refusal == Refusal::kPeerShare ||
                         refusal == Refusal::kNoAnswer;
  Response out;
  if (is_grpc) {
    out.grpc_status = text.grpc_status;
    out.grpc_message = text.message;
    if (may_retry) {
      out.grpc_status_details =
          RetryInfoDetails(text.grpc_status, text.message, std::chrono::seconds(1));
    }
    if (refusal == Refusal::kUnknownEncoding) {
      out.headers.emplace_back("grpc-accept-encoding", "identity,gzip,deflate,zstd,snappy");
    }
    return out;
  }
  out.status = text.status;
  out.content_type = "text/plain; charset=utf-8";
  out.body.append(text.message).push_back('\n');
  if (may_retry) out.headers.emplace_back("retry-after", "1");
  if (refusal == Refusal::kUnknownEncoding) {
    out.headers.emplace_back("accept-encoding", "gzip, deflate, zstd, snappy, lz4");
  }
  return out;
}

Refusal BodyIntake::Announce(uint64_t claimed_bytes, uint64_t trusted_bytes) {
  if (claimed_bytes > limit_ - std::min<uint64_t>(limit_, body_.size())) return Refusal::kTooLarge;
  uint64_t reserve =
      std::min(claimed_bytes, std::clamp(trusted_bytes, kUntrustedReserveBytes, kMaxTrustedBytes));
  if (Refusal no = Pay(body_.size() + reserve); no != Refusal::kNone) return no;
  body_.Reserve(body_.size() + reserve);
  return Refusal::kNone;
}

Refusal BodyIntake::Append(base::ByteView bytes) {
  if (bytes.size() > limit_ - body_.size()) return Refusal::kTooLarge;
  if (Refusal no = Pay(body_.size() + bytes.size()); no != Refusal::kNone) return no;
  body_.Append(bytes);
  return Refusal::kNone;
}

Refusal BodyIntake::Decode(std::string_view encoding) {
  base::Compression compression;
  if (!base::CompressionFromName(encoding, &compression)) return Refusal::kUnknownEncoding;
  if (compression == base::Compression::kNone) return Refusal::kNone;
  base::ByteBuffer inflated;
  uint64_t charged = 0;
  auto status =
      base::Inflate(compression, body_.view(), limit_, charge_.credit(), &inflated, &charged);
  LeaveAccount();
  charge_.Return(charge_.bytes() - std::min<uint64_t>(charge_.bytes(), body_.size()));
  charge_.Adopt(charged);
  if (status == base::InflateStatus::kDone) {
    packed_ = std::make_shared<const base::Packed>(compression, std::move(body_));
  } else {
    charge_.Return();
  }
  body_ = std::move(inflated);
  switch (status) {
    case base::InflateStatus::kDone:
      return Refusal::kNone;
    case base::InflateStatus::kTooLarge:
      return Refusal::kTooLarge;
    case base::InflateStatus::kNoCredit:
      return Refusal::kNoCredit;
    case base::InflateStatus::kBad:
      break;
  }
  return Refusal::kBadCompression;
}

void BodyIntake::Drop() {
  LeaveAccount();
  charge_.Return();
  body_ = base::ByteBuffer();
  packed_.reset();
}

base::ByteBuffer BodyIntake::TakeBytes() {
  LeaveAccount();
  charge_.Return();
  return std::move(body_);
}

void BodyIntake::MoveInto(Request* request) {
  LeaveAccount();
  request->body = std::move(body_);
  request->packed = std::move(packed_);
  request->charge = std::move(charge_);
}

}  // namespace weft::net
