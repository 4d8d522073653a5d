#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "load_run.h"
#include "net/http_client.h"
#include "socket.h"

namespace weft::bench {

int Connect(const std::string& endpoint, int type) {
  auto parts = net::SplitHostPort(endpoint);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (!parts.ok() || inet_pton(AF_INET, parts->first.c_str(), &address.sin_addr) != 1) return -1;
  address.sin_port = htons(parts->second);
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  int on = 1;
  if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

Totals RunUdpLoad(const LoadOptions& options, std::vector<Payload> payloads,
                  const Schedule& schedule) {
  Totals totals;
  int fd = Connect(options.endpoint, SOCK_DGRAM);
  if (fd < 0) return totals.errors = 1, totals;
  while (!schedule.Over(totals.sent)) {
    std::this_thread::sleep_until(schedule.Due(totals.sent));
    Payload& payload = payloads[totals.sent % payloads.size()];
    payload.Stamp(Serial(options, totals.sent++));
    const std::string& bytes = payload.bytes;
    if (send(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
      ++totals.errors;
  }
  close(fd);
  return totals;
}

}  // namespace weft::bench
