// A blocking TCP server of a few lines, for clients' tests: one thread, one connection after the
// other, closed when the handler returns.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace weft::net {

class RawServer {
 public:
  class Peer {
   public:
    Peer(int fd, const std::atomic<bool>& stop) : fd_(fd), stop_(stop) {}
    // True when `mark` came; false when the peer closed or the test is over.
    bool ReadUntil(std::string_view mark) {
      std::string got;
      while (got.find(mark) == std::string::npos && !stop_) {
        pollfd p{fd_, POLLIN, 0};
        if (poll(&p, 1, 5) <= 0) continue;
        char buffer[4096];
        ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
        if (n <= 0) return false;
        got.append(buffer, static_cast<size_t>(n));
      }
      return !stop_;
    }
    void Send(std::string_view text) { (void)send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }

   private:
    const int fd_;
    const std::atomic<bool>& stop_;
  };

  explicit RawServer(std::function<void(Peer&)> handler)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), handler_(std::move(handler)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    bind(fd_, reinterpret_cast<sockaddr*>(&at), size);
    listen(fd_, 16);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~RawServer() {
    stop_ = true;
    thread_.join();
    close(fd_);
  }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  void WaitForClosed(int count) {
    while (closed_ < count) std::this_thread::yield();
  }

 private:
  void Run() {
    while (!stop_) {
      pollfd p{fd_, POLLIN, 0};
      if (poll(&p, 1, 5) <= 0) continue;
      int fd = accept(fd_, nullptr, nullptr);
      Peer peer(fd, stop_);
      handler_(peer);
      close(fd);
      ++closed_;
    }
  }

  const int fd_;
  const std::function<void(Peer&)> handler_;
  uint16_t port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> closed_ = 0;
  std::thread thread_;
};

}  // namespace weft::net
