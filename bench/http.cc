#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <string_view>
#include <vector>

#include "commands.h"
#include "histogram.h"
#include "report.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;

int Connect(const HttpOptions& options) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1 ||
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

struct Connection {
  int fd = -1;
  bool busy = false;
  Clock::time_point due{};
  std::string received{};
};

// True when `text` holds one whole answer with Content-Length (or none and no body).
bool Complete(const std::string& text) {
  size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  size_t at = text.find("ontent-Length: ");
  if (at == std::string::npos) at = text.find("ontent-length: ");
  size_t length = at < end ? std::strtoull(text.c_str() + at + 15, nullptr, 10) : 0;
  return text.size() >= end + 4 + length;
}

}  // namespace

int RunHttp(const HttpOptions& options) {
  const std::string request =
      "GET " + options.path + " HTTP/1.1\r\nHost: " + options.host + "\r\n\r\n";
  std::vector<Connection> connections(options.connections);
  int poll = epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < connections.size(); ++i) {
    connections[i].fd = Connect(options);
    if (connections[i].fd < 0) {
      std::fprintf(stderr, "weft-bench: cannot connect to %s:%u\n", options.host.c_str(),
                   options.port);
      return 1;
    }
    epoll_event event{EPOLLIN, {.u64 = i}};
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event);
  }
  Histogram latency;
  uint64_t sent = 0, errors = 0, done = 0;
  std::deque<Clock::time_point>
      waiting;  // due, but every connection is busy: their latency runs already
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(options.duration_seconds);
  uint64_t planned = 0;
  std::vector<epoll_event> events(256);
  std::vector<char> buffer(1 << 18);
  while (true) {
    auto now = Clock::now();
    for (; now < end; ++planned) {
      auto due = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                             static_cast<double>(planned) / options.rate));
      if (due > now || due >= end) break;
      waiting.push_back(due);
    }
    for (auto& c : connections) {
      if (waiting.empty()) break;
      if (c.busy || c.fd < 0) continue;
      c.due = waiting.front();
      waiting.pop_front();
      c.busy = true;
      ++sent;
      if (send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(request.size()))
        ++errors;
    }
    if (now >= end && (done + errors >= sent || now >= end + std::chrono::seconds(2))) break;
    int n = epoll_wait(poll, events.data(), static_cast<int>(events.size()), 1);
    for (int i = 0; i < n; ++i) {
      Connection& c = connections[events[static_cast<size_t>(i)].data.u64];
      ssize_t got = recv(c.fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        if (c.busy) ++errors;
        close(c.fd);
        c = Connection{};
        c.fd = Connect(options);
        epoll_event event{EPOLLIN, {.u64 = static_cast<uint64_t>(&c - connections.data())}};
        if (c.fd >= 0) epoll_ctl(poll, EPOLL_CTL_ADD, c.fd, &event);
        continue;
      }
      c.received.append(buffer.data(), static_cast<size_t>(got));
      if (!Complete(c.received)) continue;
      if (c.received.compare(9, 1, "2") != 0) ++errors;
      latency.Record(static_cast<uint64_t>((Clock::now() - c.due).count()));
      c.received.clear();
      c.busy = false;
      ++done;
    }
  }
  for (auto& c : connections)
    if (c.fd >= 0) close(c.fd);
  close(poll);
  Report report;
  report.Add("requests_planned", static_cast<double>(planned));
  report.Add("requests_done", static_cast<double>(done));
  report.Add("errors", static_cast<double>(errors + waiting.size()));
  for (auto [name, q] : {std::pair{"latency_p50_us", 0.5},
                         {"latency_p90_us", 0.9},
                         {"latency_p99_us", 0.99},
                         {"latency_p999_us", 0.999},
                         {"latency_max_us", 1.0}})
    report.Add(name, static_cast<double>(latency.Quantile(q)) / 1000);
  report.Print(options.json);
  return errors == 0 && waiting.empty() ? 0 : 1;
}

}  // namespace weft::bench
