#include "model/endpoint.h"

#include <arpa/inet.h>

namespace weft::model {

Endpoint Endpoint::V4(const uint8_t (&raw)[4], uint16_t port) {
  Endpoint e;
  std::memcpy(e.address.data(), raw, 4);
  e.port = port;
  e.family = 4;
  return e;
}

Endpoint Endpoint::V6(const uint8_t (&raw)[16], uint16_t port) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  Endpoint e;
  e.port = port;
  if (std::memcmp(raw, kMapped, 12) == 0) {
    std::memcpy(e.address.data(), raw + 12, 4);
    e.family = 4;
  } else {
    std::memcpy(e.address.data(), raw, 16);
    e.family = 6;
  }
  return e;
}

bool Endpoint::IsLoopback() const {
  static constexpr std::array<uint8_t, 16> kV6Loopback = {0, 0, 0, 0, 0, 0, 0, 0,
                                                          0, 0, 0, 0, 0, 0, 0, 1};
  return family == 4 ? address[0] == 127 : family == 6 && address == kV6Loopback;
}

std::string Endpoint::AddressText() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family == 4) inet_ntop(AF_INET, address.data(), text, sizeof text);
  if (family == 6) inet_ntop(AF_INET6, address.data(), text, sizeof text);
  return text;
}

}  // namespace weft::model
