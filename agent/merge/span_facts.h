// What merge must know of an SDK span beyond its SpanRef: whether it names its peer, and, where no
// context travelled, the HTTP method and path by which it can be recognised. Old and new semantic
// conventions. Private to this room.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace weft::merge {

struct SpanFacts {
  std::string_view method;   // empty = not said
  std::string_view path;     // without query; empty = not said
  uint16_t peer_port = 0;    // of the socket's other end; 0 = not said
  uint16_t server_port = 0;  // that a client asked for; 0 = not said
  bool has_peer_address = false;
  bool is_other_protocol = false;  // says that it is RPC, database or messaging
};

// `body`: an encoded Span that Index has accepted. Views live as long as it. Cost: one pass over
// its fields.
SpanFacts ReadSpanFacts(base::ByteView body);

// Equal, or equal once percent-encoding is undone: servers often report decoded paths.
bool SamePath(std::string_view a, std::string_view b);

}  // namespace weft::merge
