// The table of what weft-bench can speak: one row per protocol.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "payload.h"

namespace weft::bench {

enum class Transport : uint8_t { kGrpc, kHttp, kUdp };

struct Protocol {
  std::string_view name;
  Transport transport;
  std::string_view target;        // gRPC method or HTTP path
  std::string_view content_type;  // HTTP only
  Payload (*encode)(const Sample&);
};

std::span<const Protocol> Protocols();
std::vector<std::string> ProtocolNames();
// `name` is one of ProtocolNames().
const Protocol& FindProtocol(std::string_view name);

}  // namespace weft::bench
