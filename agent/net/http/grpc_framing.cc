#include "net/http/grpc_framing.h"

#include <algorithm>

namespace weft::net {
namespace {

constexpr std::string_view kRetryInfoType = "type.googleapis.com/google.rpc.RetryInfo";
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int Base64Digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

void PutVarint(uint64_t v, std::string* out) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

void PutBytes(uint32_t field, std::string_view bytes, std::string* out) {
  PutVarint(field << 3 | 2, out);
  PutVarint(bytes.size(), out);
  out->append(bytes);
}

void PutNumber(uint32_t field, uint64_t v, std::string* out) {
  PutVarint(field << 3, out);
  PutVarint(v, out);
}

// One protobuf field at a time; stops at the end or at damage.
struct FieldReader {
  explicit FieldReader(base::ByteView message) : in(message) {}

  bool Next() {
    if (in.left() == 0) return false;
    uint64_t tag = Varint();
    field = static_cast<uint32_t>(tag >> 3);
    bytes = {};
    number = 0;
    switch (tag & 7) {
      case 0:
        number = Varint();
        break;
      case 1:
        in.Take(8);
        break;
      case 2:
        bytes = in.Take(Varint());
        break;
      case 5:
        in.Take(4);
        break;
      default:
        in.Fail();
    }
    return in.ok();
  }

  uint64_t Varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = in.U8();
      v |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return v;
    }
    in.Fail();
    return 0;
  }

  base::ByteReader in;
  uint32_t field = 0;
  uint64_t number = 0;
  base::ByteView bytes;
};

std::optional<std::chrono::milliseconds> DelayOfRetryInfo(base::ByteView info) {
  for (FieldReader reader(info); reader.Next();) {
    if (reader.field != 1) continue;
    int64_t seconds = 0, nanos = 0;
    for (FieldReader duration(reader.bytes); duration.Next();) {
      if (duration.field == 1) seconds = static_cast<int64_t>(duration.number);
      if (duration.field == 2) nanos = static_cast<int64_t>(duration.number);
    }
    // A day is more than anybody should be made to wait.
    seconds = std::clamp<int64_t>(seconds, 0, 86'400);
    nanos = std::clamp<int64_t>(nanos, 0, 999'999'999);
    return std::chrono::milliseconds(seconds * 1000 + nanos / 1'000'000);
  }
  return std::chrono::milliseconds(0);
}

}  // namespace

std::array<uint8_t, kGrpcPrefixBytes> GrpcPrefix(bool compressed, uint32_t length) {
  return {static_cast<uint8_t>(compressed), static_cast<uint8_t>(length >> 24),
          static_cast<uint8_t>(length >> 16), static_cast<uint8_t>(length >> 8),
          static_cast<uint8_t>(length)};
}

bool IsGrpcContentType(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  content_type.remove_prefix(kGrpc.size());
  return content_type.empty() || content_type[0] == '+' || content_type[0] == ';';
}

Refusal GrpcUnaryReader::Feed(base::ByteView bytes, uint64_t trusted_bytes, BodyIntake* body) {
  if (bytes.empty()) return Refusal::kNone;
  if (prefix_bytes_ < kGrpcPrefixBytes) {
    size_t n = std::min(bytes.size(), kGrpcPrefixBytes - prefix_bytes_);
    std::copy_n(bytes.begin(), n, prefix_.begin() + prefix_bytes_);
    prefix_bytes_ = static_cast<uint8_t>(prefix_bytes_ + n);
    bytes = bytes.subspan(n);
    if (prefix_bytes_ < kGrpcPrefixBytes) return Refusal::kNone;
    if (prefix_[0] > 1) return Refusal::kBadFraming;
    base::ByteReader reader(prefix_);
    reader.Take(1);
    missing_ = reader.BigU32();
    if (Refusal no = body->Announce(missing_, trusted_bytes); no != Refusal::kNone) return no;
  }
  if (bytes.size() > missing_) return Refusal::kManyMessages;
  missing_ -= static_cast<uint32_t>(bytes.size());
  return body->Append(bytes);
}

Refusal GrpcUnaryReader::Finish(std::string_view encoding, BodyIntake* body) const {
  if (prefix_bytes_ < kGrpcPrefixBytes || missing_ != 0) return Refusal::kTruncated;
  if (prefix_[0] == 0) return Refusal::kNone;
  if (encoding.empty() || encoding == "identity") return Refusal::kBadFraming;
  return body->Decode(encoding);
}

std::string Base64Encode(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) out.push_back(kBase64[bits >> (count - 6) & 63]);
  }
  if (count > 0) out.push_back(kBase64[bits << (6 - count) & 63]);
  return out;
}

std::optional<std::string> Base64Decode(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    int digit = Base64Digit(c);
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count));
    }
  }
  return out;
}

std::string RetryAfterSeconds(std::chrono::milliseconds retry_delay) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(retry_delay).count());
}

std::string RetryInfoDetails(int grpc_status, std::string_view message,
                             std::chrono::milliseconds retry_delay) {
  std::string duration, info, any, out;
  PutNumber(1, static_cast<uint64_t>(retry_delay.count() / 1000), &duration);
  if (int64_t millis = retry_delay.count() % 1000; millis != 0) {
    PutNumber(2, static_cast<uint64_t>(millis * 1'000'000), &duration);
  }
  PutBytes(1, duration, &info);
  PutBytes(1, kRetryInfoType, &any);
  PutBytes(2, info, &any);
  PutNumber(1, static_cast<uint64_t>(grpc_status), &out);
  if (!message.empty()) PutBytes(2, message, &out);
  PutBytes(3, any, &out);
  return out;
}

std::optional<std::chrono::milliseconds> FindRetryDelay(base::ByteView status) {
  for (FieldReader reader(status); reader.Next();) {
    if (reader.field != 3) continue;
    std::string_view type;
    base::ByteView value;
    for (FieldReader any(reader.bytes); any.Next();) {
      if (any.field == 1) type = base::AsText(any.bytes);
      if (any.field == 2) value = any.bytes;
    }
    if (type == kRetryInfoType) return DelayOfRetryInfo(value);
  }
  return std::nullopt;
}

}  // namespace weft::net
