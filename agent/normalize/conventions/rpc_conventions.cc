// The gRPC half of SemanticConventions.
#include "normalize/conventions/redaction.h"
#include "normalize/conventions/semantic_conventions.h"
#include "protocols/grpc/grpc.h"

namespace weft::normalize {
namespace {

namespace grpc = protocols::grpc;

constexpr size_t kMaxRpcMethodBytes = 256;
constexpr std::string_view kSystem = "grpc";

bool IsError(uint32_t status, model::Role role) {
  return role == model::Role::kClient ? status != grpc::kOk : grpc::IsServerError(status);
}

// "package.Service/Method"; empty when the path names none.
std::string_view MethodOf(std::string_view path) {
  grpc::Method method;
  return path.size() <= kMaxRpcMethodBytes && grpc::ParsePath(path, &method) ? method.full
                                                                             : std::string_view{};
}

}  // namespace

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

void SemanticConventions::DescribeCallResult(std::optional<uint32_t> status, std::string_view cause,
                                             model::Span* span) {
  const std::string_view method = MethodOf(span->target);
  span->name = method.empty() ? kSystem : method;
  if (!status) {
    if (cause.empty()) return;
    span->attributes.Add("error.type", cause);
    span->is_error = true;
    return;
  }
  if (*status > grpc::kMaxStatus) status = grpc::kUnknown;
  const std::string_view name = grpc::StatusName(*status);
  span->attributes.Add("rpc.response.status_code", name);
  if (!IsError(*status, span->role)) return;
  span->attributes.Add("error.type", name);
  span->is_error = true;
}

}  // namespace weft::normalize
