#include "sources/otlp/answer.h"

#include "base/coding/json_text.h"
#include "protocols/otlp/write.h"

namespace weft::sources::otlp {
namespace {

namespace wire = protocols::otlp;

// google.rpc.Status
constexpr uint32_t kStatusCode = 1, kStatusMessage = 2;
// ExportTraceServiceResponse and ExportTracePartialSuccess
constexpr uint32_t kPartialSuccess = 1, kRejectedSpans = 1, kErrorMessage = 2;

std::string_view ContentType(Encoding encoding) {
  return encoding == Encoding::kJson ? "application/json" : "application/x-protobuf";
}

std::string StatusJson(int code, std::string_view message) {
  std::string json = "{\"code\":" + std::to_string(code) + ",\"message\":";
  base::AppendJsonText(message, &json);
  return json + "}";
}

std::string StatusProto(int code, std::string_view message) {
  base::ByteBuffer bytes;
  wire::Writer w(bytes);
  w.Uint(kStatusCode, static_cast<uint64_t>(code));
  w.Text(kStatusMessage, message);
  return std::string(base::AsText(bytes.view()));
}

net::Response Failure(Encoding encoding, int http_status, int grpc_status,
                      std::string_view message) {
  net::Response response;
  if (encoding == Encoding::kGrpc) {
    response.grpc_status = grpc_status;
    response.grpc_message = message;
    return response;
  }
  response.status = http_status;
  response.content_type = ContentType(encoding);
  response.body = encoding == Encoding::kJson ? StatusJson(grpc_status, message)
                                              : StatusProto(grpc_status, message);
  return response;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] + 32) : a[i];
    if (c != lower[i]) return false;
  }
  return true;
}

}  // namespace

bool EncodingFromContentType(std::string_view content_type, Encoding* out) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && (content_type.back() == ' ' || content_type.back() == '\t')) {
    content_type.remove_suffix(1);
  }
  if (EqualsIgnoringCase(content_type, "application/x-protobuf")) {
    *out = Encoding::kProtobuf;
  } else if (EqualsIgnoringCase(content_type, "application/json")) {
    *out = Encoding::kJson;
  } else {
    return false;
  }
  return true;
}

net::Response Success(Encoding encoding, uint64_t rejected, std::string_view why) {
  net::Response response;
  if (encoding != Encoding::kGrpc) response.content_type = ContentType(encoding);
  if (encoding == Encoding::kJson) {
    response.body = "{}";
    if (rejected == 0) return response;
    response.body = "{\"partialSuccess\":{\"rejectedSpans\":\"" + std::to_string(rejected) +
                    "\",\"errorMessage\":";
    base::AppendJsonText(why, &response.body);
    response.body += "}}";
    return response;
  }
  if (rejected == 0) return response;
  base::ByteBuffer bytes;
  wire::Writer w(bytes);
  const size_t partial = w.Begin(kPartialSuccess);
  w.Uint(kRejectedSpans, rejected);
  w.Text(kErrorMessage, why);
  w.End(partial);
  response.body = base::AsText(bytes.view());
  return response;
}

net::Response BadRequest(Encoding encoding, std::string_view why) {
  return Failure(encoding, 400, net::kGrpcInvalidArgument, why);
}

net::Response Busy(Encoding encoding, std::chrono::milliseconds retry_after) {
  constexpr std::string_view kWhy = "no room now, come again";
  net::Response response = Failure(encoding, 503, net::kGrpcUnavailable, kWhy);
  const std::string details = net::RetryInfoDetails(net::kGrpcUnavailable, kWhy, retry_after);
  if (encoding == Encoding::kGrpc) {
    response.grpc_status_details = details;
    return response;
  }
  if (encoding == Encoding::kProtobuf) response.body = details;
  response.headers.emplace_back("retry-after", net::RetryAfterSeconds(retry_after));
  return response;
}

}  // namespace weft::sources::otlp
