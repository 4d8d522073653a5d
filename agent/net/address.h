// Addresses as the kernel writes them, and names to addresses. Internal to this room.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/endpoint.h"

namespace weft::net {

class EventLoop;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress ToSocketAddress(const model::Endpoint& endpoint);
model::Endpoint FromSocketAddress(const SocketAddress& address);

// A socket of `type` bound to "host:port", and its port. Blocks for the name; for start-up.
base::Result<int> BindSocket(std::string_view endpoint, int type, uint16_t* port);

// A unix socket bound at `path`. A socket file that nobody listens on is replaced; anything else
// that is there stays and is an error.
base::Result<int> BindUnixSocket(const std::string& path, uint32_t mode);

// Asks the resolver in the background. `done` is called on the loop, never from inside; drop the
// returned handle to make sure that it is not called any more.
using Addresses = std::vector<model::Endpoint>;
std::shared_ptr<void> Resolve(EventLoop& loop, const std::string& host, uint16_t port,
                              std::function<void(base::Result<Addresses>)> done);

}  // namespace weft::net
