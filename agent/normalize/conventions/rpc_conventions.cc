// The gRPC half of SemanticConventions.
#include <algorithm>
#include <iterator>

#include "normalize/conventions/redaction.h"
#include "normalize/conventions/semantic_conventions.h"
#include "protocols/http1/head.h"

namespace weft::normalize {
namespace {

constexpr std::string_view kStatusNames[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};
// The codes that are a server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
// UNAVAILABLE, DATA_LOSS.
constexpr int kServerErrors[] = {2, 4, 12, 13, 14, 15};
constexpr size_t kMaxRpcMethodBytes = 256;
constexpr std::string_view kSystem = "grpc";

bool IsError(int status, model::Role role) {
  if (role == model::Role::kClient) return status != 0;
  return std::find(std::begin(kServerErrors), std::end(kServerErrors), status) !=
         std::end(kServerErrors);
}

// "/package.Service/Method" without its first slash; empty when it is none.
std::string_view MethodOf(std::string_view path) {
  if (!path.starts_with('/') || path.size() > kMaxRpcMethodBytes) return {};
  path.remove_prefix(1);
  const size_t slash = path.rfind('/');
  const bool is_method = slash != std::string_view::npos && slash != 0 && slash + 1 < path.size();
  return is_method ? path : std::string_view{};
}

}  // namespace

int GrpcStatusOfHttp(uint16_t status) {
  switch (status) {
    case 400:
      return kGrpcInternal;
    case 401:
      return kGrpcUnauthenticated;
    case 403:
      return kGrpcPermissionDenied;
    case 404:
      return kGrpcUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return kGrpcUnavailable;
    default:
      return kGrpcUnknown;
  }
}

bool IsGrpcContentType(std::string_view content_type) {
  constexpr std::string_view kType = "application/grpc";
  if (!protocols::http1::EqualsIgnoreCase(content_type.substr(0, kType.size()), kType)) {
    return false;
  }
  return content_type.size() == kType.size() ||
         std::string_view("+;- ").find(content_type[kType.size()]) != std::string_view::npos;
}

void SemanticConventions::DescribeCall(const RequestFacts& request, const Target& target,
                                       const ConnectionText& text, model::Span* span) {
  SetTarget(request, target, span);
  span->attributes.Add("rpc.system.name", kSystem);
  const std::string_view method = MethodOf(span->target);
  if (!method.empty()) span->attributes.Add("rpc.method", method);
  Authority authority = SplitAuthority(request.host);
  if (authority.port == 0) authority.port = span->server.port;
  if (authority.host.empty()) {
    authority.host = span->role == model::Role::kServer ? text.local_address : text.peer_address;
  }
  DescribePeer(request, authority, text, span);
}

void SemanticConventions::DescribeCallResult(int status, std::string_view cause,
                                             model::Span* span) {
  const std::string_view method = MethodOf(span->target);
  span->name = method.empty() ? kSystem : method;
  if (status == kNoGrpcStatus) {
    if (cause.empty()) return;
    span->attributes.Add("error.type", cause);
    span->is_error = true;
    return;
  }
  if (status < 0 || status >= static_cast<int>(std::size(kStatusNames))) status = kGrpcUnknown;
  const std::string_view name = kStatusNames[status];
  span->attributes.Add("rpc.response.status_code", name);
  if (!IsError(status, span->role)) return;
  span->attributes.Add("error.type", name);
  span->is_error = true;
}

}  // namespace weft::normalize
