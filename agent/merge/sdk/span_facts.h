// What merge must know of an SDK span beyond its SpanRef: whether it names its peer, and, where no
// context travelled, the HTTP method and path by which it can be recognised. Old and new semantic
// conventions. Private to this room.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace weft::merge {

struct SpanFacts {
  std::string_view method;   // empty = not said
  std::string_view path;     // without query; empty = not said
  uint16_t peer_port = 0;    // of the socket's other end; 0 = not said
  uint16_t server_port = 0;  // that a client asked for; 0 = not said
  bool has_peer_address = false;
  bool is_other_protocol = false;  // says that it is another RPC, database or messaging
  // gRPC; the service is part of the method in the newer convention.
  bool is_grpc = false;
  std::string_view rpc_service, rpc_method;
  // Whether it says what was asked for.
  bool has_request() const { return !method.empty() || (is_grpc && !rpc_method.empty()); }
};

// `body`: an encoded Span that Index has accepted. Views live as long as it. Cost: one pass over
// its fields.
SpanFacts ReadSpanFacts(base::ByteView body);

// Whether a request of this method and path can be the span's, as far as it says.
bool FitsRequest(const SpanFacts& facts, std::string_view method, std::string_view path);

// Equal for equal methods (without regard to case) and paths (percent-encoding undone).
uint32_t HashRequest(std::string_view method, std::string_view path);
// The same of what the span says; nothing if it leaves one of them open.
std::optional<uint32_t> HashRequest(const SpanFacts& facts);

// Equal, or equal once percent-encoding is undone: servers often report decoded paths.
bool SamePath(std::string_view a, std::string_view b);

}  // namespace weft::merge
