// An IP address and port. IPv4 is kept as IPv4, and v4-mapped IPv6 is turned into IPv4 at
// construction, so that both ends of a dual-stack connection compare equal (case T16).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

namespace weft::model {

struct Endpoint {
  std::array<uint8_t, 16> address{};  // network order; IPv4 in the first four bytes
  uint16_t port = 0;                  // host order
  uint8_t family = 0;                 // 0 none, 4 or 6

  bool operator==(const Endpoint&) const = default;
  bool known() const { return family != 0; }
  static Endpoint V4(const uint8_t (&raw)[4], uint16_t port);
  static Endpoint V6(const uint8_t (&raw)[16], uint16_t port);
  bool IsLoopback() const;
  // "127.0.0.1" or "::1", without the port; empty when unknown.
  std::string AddressText() const;
};

struct EndpointHash {
  size_t operator()(const Endpoint& e) const {
    uint64_t a, b;
    std::memcpy(&a, e.address.data(), 8);
    std::memcpy(&b, e.address.data() + 8, 8);
    return (a ^ (b * 0x9E3779B97F4A7C15ull) ^ (uint64_t{e.port} << 17)) * 0x9E3779B97F4A7C15ull;
  }
};

}  // namespace weft::model
