#include "protocols/http2/field_names.h"

namespace weft::protocols::http2 {

FieldName FindField(std::string_view name) {
  // By length first: most fields of most requests are none of these.
  switch (name.size()) {
    case 4:
      return name == "host" ? FieldName::kHost : FieldName::kOther;
    case 5:
      return name == ":path" ? FieldName::kPath : FieldName::kOther;
    case 7:
      if (name == ":method") return FieldName::kMethod;
      if (name == ":scheme") return FieldName::kScheme;
      return name == ":status" ? FieldName::kStatus : FieldName::kOther;
    case 9:
      return name == ":protocol" ? FieldName::kProtocol : FieldName::kOther;
    case 10:
      if (name == ":authority") return FieldName::kAuthority;
      if (name == "user-agent") return FieldName::kUserAgent;
      return name == "tracestate" ? FieldName::kTracestate : FieldName::kOther;
    case 11:
      if (name == "traceparent") return FieldName::kTraceparent;
      return name == "grpc-status" ? FieldName::kGrpcStatus : FieldName::kOther;
    case 12:
      if (name == "content-type") return FieldName::kContentType;
      if (name == "grpc-message") return FieldName::kGrpcMessage;
      return name == "grpc-timeout" ? FieldName::kGrpcTimeout : FieldName::kOther;
    case 15:
      return name == "x-forwarded-for" ? FieldName::kForwardedFor : FieldName::kOther;
    default:
      return FieldName::kOther;
  }
}

bool IsRequestPseudo(FieldName name) {
  return name >= FieldName::kMethod && name <= FieldName::kProtocol;
}

std::string_view* SlotOf(FieldName name, Head* head) {
  switch (name) {
    case FieldName::kMethod:
      return &head->method;
    case FieldName::kPath:
      return &head->path;
    case FieldName::kScheme:
      return &head->scheme;
    case FieldName::kAuthority:
      return &head->authority;
    case FieldName::kProtocol:
      return &head->protocol;
    case FieldName::kHost:
      return &head->host;
    case FieldName::kUserAgent:
      return &head->user_agent;
    case FieldName::kContentType:
      return &head->content_type;
    case FieldName::kForwardedFor:
      return &head->forwarded_for;
    case FieldName::kTraceparent:
      return &head->traceparent;
    case FieldName::kGrpcStatus:
      return &head->grpc_status;
    case FieldName::kGrpcMessage:
      return &head->grpc_message;
    case FieldName::kGrpcTimeout:
      return &head->grpc_timeout;
    case FieldName::kOther:
    case FieldName::kStatus:
    case FieldName::kTracestate:
      return nullptr;
  }
  return nullptr;
}

uint16_t ParseStatus(std::string_view value) {
  if (value.size() != 3 || value[0] < '1' || value[0] > '9') return 0;
  unsigned status = 0;
  for (char c : value) {
    if (c < '0' || c > '9') return 0;
    status = status * 10 + static_cast<unsigned>(c - '0');
  }
  return static_cast<uint16_t>(status);
}

}  // namespace weft::protocols::http2
