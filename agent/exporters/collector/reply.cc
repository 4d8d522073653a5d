#include "exporters/collector/reply.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace weft::exporters::collector {
namespace {

constexpr size_t kMaxMessage = 240;

enum : int {
  kOk = 0,
  kCancelled = 1,
  kDeadlineExceeded = 4,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

std::string_view StatusName(int status) {
  static constexpr std::array<std::string_view, 17> kNames = {"ok",
                                                              "cancelled",
                                                              "unknown",
                                                              "invalid_argument",
                                                              "deadline_exceeded",
                                                              "not_found",
                                                              "already_exists",
                                                              "permission_denied",
                                                              "resource_exhausted",
                                                              "failed_precondition",
                                                              "aborted",
                                                              "out_of_range",
                                                              "unimplemented",
                                                              "internal",
                                                              "unavailable",
                                                              "data_loss",
                                                              "unauthenticated"};
  return status >= 0 && status < static_cast<int>(kNames.size()) ? kNames[status] : "unknown";
}

// The peer's text is outside input: short and printable before it reaches a log.
std::string Printable(std::string_view text) {
  std::string out(text.substr(0, kMaxMessage));
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return out;
}

// The words of gRPC in C++, Go and Python, of Java and .NET ("message exceeds … size"), of Rust
// (with OUT_OF_RANGE).
bool SaysTooLarge(std::string_view message) {
  std::string lower(message);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto has = [&lower](std::string_view words) {
    return lower.find(words) != std::string::npos;
  };
  return has("too large") || has("larger than") ||
         (has("message") && has("exceeds") && has("size"));
}

bool ReadVarint(base::ByteReader& in, uint64_t* out) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = in.U8();
    if (!in.ok()) return false;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return *out = value, true;
  }
  return in.Fail();
}

// One field: varints in `number`, length-delimited ones in `bytes`; fixed ones are passed over.
bool ReadField(base::ByteReader& in, uint64_t* tag, uint64_t* number, base::ByteView* bytes) {
  if (!ReadVarint(in, tag)) return false;
  switch (*tag & 7) {
    case 0:
      return ReadVarint(in, number);
    case 1:
      return in.Take(8), in.ok();
    case 2:
      if (!ReadVarint(in, number)) return false;
      *bytes = in.Take(*number);
      return in.ok();
    case 5:
      return in.Take(4), in.ok();
    default:
      return in.Fail();
  }
}

constexpr uint64_t Tag(uint64_t field, uint64_t wire) { return field << 3 | wire; }

}  // namespace

bool ParsePartialSuccess(base::ByteView body, uint64_t* rejected_spans, std::string* message) {
  *rejected_spans = 0;
  message->clear();
  base::ByteReader response(body);
  while (response.left() > 0) {
    uint64_t tag = 0, number = 0;
    base::ByteView bytes;
    if (!ReadField(response, &tag, &number, &bytes)) return false;
    if (tag != Tag(1, 2)) continue;
    base::ByteReader partial(bytes);
    while (partial.left() > 0) {
      base::ByteView text;
      if (!ReadField(partial, &tag, &number, &text)) return false;
      if (tag == Tag(1, 0)) *rejected_spans = static_cast<int64_t>(number) < 0 ? 0 : number;
      if (tag == Tag(2, 2)) *message = Printable(base::AsText(text));
    }
  }
  return true;
}

namespace {

struct HttpMeaning {
  int status;
  std::string_view reason;
  Verdict verdict;
};

// 2xx is judged by its body; what is not listed is final.
constexpr HttpMeaning kHttpMeanings[] = {
    {400, "http_400", Verdict::kRejected},    {401, "http_401", Verdict::kRetrySlowly},
    {403, "http_403", Verdict::kRetrySlowly}, {404, "http_404", Verdict::kRejected},
    {405, "http_405", Verdict::kRejected},    {413, "too_large", Verdict::kTooLarge},
    {415, "http_415", Verdict::kUnreadable},  {429, "http_429", Verdict::kRetry},
    {500, "http_500", Verdict::kRejected},    {501, "http_501", Verdict::kUnreadable},
    {502, "http_502", Verdict::kRetry},       {503, "http_503", Verdict::kRetry},
    {504, "http_504", Verdict::kRetry},
};

// google.rpc.Status.message, when the body is one; else the body as it is, if it is short text.
std::string ErrorText(const CallReply& reply) {
  if (!reply.message.empty()) return Printable(reply.message);
  base::ByteReader in(reply.body.view());
  std::string text;
  while (in.left() > 0) {
    uint64_t tag = 0, number = 0;
    base::ByteView bytes;
    if (!ReadField(in, &tag, &number, &bytes)) return Printable(base::AsText(reply.body.view()));
    if (tag == Tag(2, 2)) text = Printable(base::AsText(bytes));
  }
  return text;
}

// An answer that cannot be read is no success, and asking again would store the spans twice.
void JudgeSuccess(const CallReply& reply, Outcome* out) {
  if (reply.unreadable ||
      !ParsePartialSuccess(reply.body.view(), &out->rejected_spans, &out->message)) {
    out->verdict = Verdict::kRejected;
    out->reason = "bad_response";
    if (reply.unreadable) out->message = Printable(reply.message);
  } else {
    out->verdict = Verdict::kDelivered;
    out->reason = out->rejected_spans > 0 ? "partial_success" : "ok";
  }
}

Outcome JudgeHttp(const CallReply& reply) {
  Outcome out;
  if (reply.http_status / 100 == 2) {
    JudgeSuccess(reply, &out);
    return out;
  }
  out.reason = "http_other";
  for (const HttpMeaning& meaning : kHttpMeanings) {
    if (meaning.status != reply.http_status) continue;
    out.reason = meaning.reason;
    out.verdict = meaning.verdict;
  }
  out.message = ErrorText(reply);
  return out;
}

}  // namespace

Outcome Judge(const CallReply& reply, bool retry_exhausted) {
  if (reply.http_status != 0 && !reply.transport_error) return JudgeHttp(reply);
  Outcome out;
  out.reason = StatusName(reply.status);
  out.message = Printable(reply.message);
  if (reply.transport_error) {
    out.verdict = Verdict::kRetryConnection;
    out.reason = "connection";
    return out;
  }
  if (reply.unreadable) {
    out.reason = "bad_response";
    return out;
  }
  switch (reply.status) {
    case kOk:
      JudgeSuccess(reply, &out);
      break;
    case kCancelled:
    case kDeadlineExceeded:
    case kAborted:
    case kUnavailable:
    case kDataLoss:
      out.verdict = Verdict::kRetry;
      break;
    case kResourceExhausted:
    case kOutOfRange:
      if (reply.retry_delay) {
        out.verdict = Verdict::kRetry;
      } else if (SaysTooLarge(reply.message)) {
        out.verdict = Verdict::kTooLarge;
        out.reason = "too_large";
      } else {
        const bool again = retry_exhausted || reply.status == kOutOfRange;
        out.verdict = again ? Verdict::kRetry : Verdict::kRejected;
      }
      break;
    case kUnauthenticated:
    case kPermissionDenied:
      out.verdict = Verdict::kRetrySlowly;
      break;
    case kUnimplemented:
      out.verdict = Verdict::kUnreadable;
      break;
    default:
      out.verdict = Verdict::kRejected;
  }
  return out;
}

}  // namespace weft::exporters::collector
