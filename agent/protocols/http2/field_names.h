// The header fields that a Head keeps, and how they are recognised. A field whose name is not here
// is never copied.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocols/http2/events.h"

namespace weft::protocols::http2 {

enum class FieldName : uint8_t {
  kOther,
  kMethod,
  kPath,
  kScheme,
  kAuthority,
  kProtocol,
  kStatus,
  kHost,
  kUserAgent,
  kContentType,
  kForwardedFor,
  kTraceparent,
  kTracestate,
  kGrpcStatus,
  kGrpcMessage,
  kGrpcTimeout,
};

// Names are lower case in HTTP/2; anything else is kOther.
FieldName FindField(std::string_view name);
// One of the fields that only a request has.
bool IsRequestPseudo(FieldName name);
// Where the field goes; null for kOther, kStatus and kTracestate.
std::string_view* SlotOf(FieldName name, Head* head);
// Three digits from 100; 0 otherwise.
uint16_t ParseStatus(std::string_view value);

}  // namespace weft::protocols::http2
