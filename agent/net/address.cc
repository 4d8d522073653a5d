#include "net/address.h"

#include <netdb.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>

#include "net/event_loop.h"
#include "net/http_client.h"

namespace weft::net {
namespace asio = boost::asio;

SocketAddress ToSocketAddress(const model::Endpoint& endpoint) {
  SocketAddress out;
  if (endpoint.family == 4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, endpoint.address.data(), 4);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, endpoint.address.data(), 16);
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.size = sizeof v6;
  }
  return out;
}

model::Endpoint FromSocketAddress(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof v4);
    uint8_t raw[4];
    std::memcpy(raw, &v4.sin_addr, 4);
    return model::Endpoint::V4(raw, ntohs(v4.sin_port));
  }
  if (address.family() == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address.storage, sizeof v6);
    uint8_t raw[16];
    std::memcpy(raw, &v6.sin6_addr, 16);
    return model::Endpoint::V6(raw, ntohs(v6.sin6_port));
  }
  return {};
}

namespace {

// A bound socket, or -1 with errno.
int TryBind(const addrinfo& at, int type) {
  int fd = socket(at.ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int on = 1, off = 0;
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // "[::]" serves IPv4 too, whatever the host's default is.
  if (at.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, at.ai_addr, at.ai_addrlen) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

base::Result<int> BindSocket(std::string_view endpoint, int type, uint16_t* port) {
  auto parts = SplitHostPort(endpoint);
  if (!parts.ok()) return parts.status();
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = type;
  const std::string& host = parts->first;
  int code = getaddrinfo(host.empty() ? nullptr : host.c_str(),
                         std::to_string(parts->second).c_str(), &hints, &found);
  std::string where = "bind " + std::string(endpoint);
  if (code != 0) return base::Error(where + ": " + gai_strerror(code));
  int fd = -1, error = 0;
  for (addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next) {
    fd = TryBind(*at, type);
    if (fd < 0) error = errno;
  }
  freeaddrinfo(found);
  if (fd < 0) return base::Error(where + ": " + std::strerror(error));
  if (port != nullptr) {
    SocketAddress bound;
    bound.size = sizeof bound.storage;
    getsockname(fd, bound.get(), &bound.size);
    *port = FromSocketAddress(bound).port;
  }
  return fd;
}

namespace {

// Whether `path` is a socket that was left behind. When in doubt it is not.
bool IsStaleSocket(const std::string& path, const sockaddr_un& at) {
  struct stat before {
  }, after{};
  if (lstat(path.c_str(), &before) != 0 || !S_ISSOCK(before.st_mode)) return false;
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  int rc = connect(probe, reinterpret_cast<const sockaddr*>(&at), sizeof at);
  bool refused = rc != 0 && errno == ECONNREFUSED;
  close(probe);
  return refused && lstat(path.c_str(), &after) == 0 && after.st_ino == before.st_ino;
}

}  // namespace

base::Result<int> BindUnixSocket(const std::string& path, uint32_t mode) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof at.sun_path) {
    return base::Error("bind unix://" + path + ": the path has no or too many characters");
  }
  std::memcpy(at.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::Error("bind unix://" + path + ": " + std::strerror(errno));
  fchmod(fd, mode);  // so that the file is never open wider than it should be
  int rc = bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at);
  if (rc != 0 && errno == EADDRINUSE && IsStaleSocket(path, at)) {
    unlink(path.c_str());
    rc = bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at);
  }
  if (rc == 0 && chmod(path.c_str(), mode) == 0) return fd;
  int error = errno;
  close(fd);
  return base::Error("bind unix://" + path + ": " + std::strerror(error));
}

std::shared_ptr<void> Resolve(EventLoop& loop, const std::string& host, uint16_t port,
                              std::function<void(base::Result<Addresses>)> done) {
  using Resolver = asio::ip::tcp::resolver;
  struct Query {
    explicit Query(asio::io_context& context) : resolver(context) {}
    Resolver resolver;
    std::function<void(base::Result<Addresses>)> done;
  };
  auto query = std::make_shared<Query>(loop.context());
  query->done = std::move(done);
  query->resolver.async_resolve(
      host, std::to_string(port), asio::ip::resolver_base::numeric_service,
      [weak = std::weak_ptr<Query>(query), host](const boost::system::error_code& error,
                                                 Resolver::results_type results) {
        auto query = weak.lock();
        if (!query) return;
        if (error) return query->done(base::Error("resolve " + host + ": " + error.message()));
        Addresses out;
        for (const auto& entry : results) {
          SocketAddress address;
          auto at = entry.endpoint();
          address.size = static_cast<socklen_t>(at.size());
          std::memcpy(&address.storage, at.data(), at.size());
          out.push_back(FromSocketAddress(address));
        }
        query->done(std::move(out));
      });
  return query;
}

}  // namespace weft::net
