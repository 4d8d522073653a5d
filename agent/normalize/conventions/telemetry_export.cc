#include "normalize/conventions/telemetry_export.h"

#include <algorithm>
#include <initializer_list>

#include "protocols/http1/head.h"

namespace weft::normalize {
namespace {

using protocols::http1::EqualsIgnoreCase;

bool IsOneOf(std::string_view text, std::initializer_list<std::string_view> set) {
  return std::find(set.begin(), set.end(), text) != set.end();
}

// The media type without its parameters.
std::string_view MediaType(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return type;
}

bool EndsWithOtlpPath(std::string_view path) {
  return path.ends_with("/v1/traces") || path.ends_with("/v1/metrics") ||
         path.ends_with("/v1/logs");
}

}  // namespace

bool IsTelemetryExport(std::string_view method, std::string_view content_type,
                       std::string_view path) {
  if (method != "POST") return false;
  // gRPC: the full name of the method is proof enough.
  if (path.starts_with("/opentelemetry.proto.collector.") && path.ends_with("/Export")) return true;
  if (path == "/jaeger.api_v2.CollectorService/PostSpans") return true;
  const std::string_view type = MediaType(content_type);
  const bool is_protobuf = EqualsIgnoreCase(type, "application/x-protobuf");
  const bool is_json = EqualsIgnoreCase(type, "application/json");
  const bool is_thrift = EqualsIgnoreCase(type, "application/x-thrift");
  if (IsOneOf(path, {"/v1/traces", "/v1/metrics", "/v1/logs"})) return is_protobuf || is_json;
  // Behind a prefix (OTEL_EXPORTER_OTLP_ENDPOINT may have a path) JSON is no proof: it may be
  // anybody's API.
  if (EndsWithOtlpPath(path)) return is_protobuf;
  if (path == "/api/traces")
    return is_thrift || EqualsIgnoreCase(type, "application/vnd.apache.thrift.binary");
  if (path == "/api/v2/spans") return is_json || is_protobuf;
  if (path == "/api/v1/spans") return is_json || is_thrift;
  return false;
}

bool IsProbableTelemetryExport(std::string_view method, uint16_t server_port) {
  constexpr uint16_t kOtlpGrpc = 4317, kOtlpHttp = 4318, kJaegerGrpc = 14250;
  return (method.empty() || method == "POST") &&
         (server_port == kOtlpGrpc || server_port == kOtlpHttp || server_port == kJaegerGrpc);
}

}  // namespace weft::normalize
