// What the net tests share: a loop on a thread, a listener with a service that echoes, and a raw
// blocking socket.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "base/inflate.h"
#include "net/event_loop.h"
#include "net/listener.h"

namespace weft::net {

class LoopThread {
 public:
  LoopThread() : thread_([this] { loop.Run(); }) {}
  ~LoopThread() {
    loop.Stop();
    thread_.join();
  }
  // Runs `task` on the loop and waits for it.
  void Do(const std::function<void()>& task) {
    std::promise<void> done;
    loop.Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  EventLoop loop;

 private:
  std::thread thread_;
};

inline std::string TextOf(const base::ByteBuffer& bytes) {
  return std::string(base::AsText(bytes.view()));
}

// A listener on a free port; by default it answers with what it got.
class Server {
 public:
  explicit Server(ListenerOptions options = {}, uint64_t credit_bytes = 256 << 20,
                  Service service = Echo())
      : credit(credit_bytes) {
    options.endpoint = "127.0.0.1:0";
    thread.Do([&] {
      auto opened = Listener::Open(thread.loop, options, credit, std::move(service));
      if (opened.ok()) listener = std::move(*opened);
    });
    EXPECT_NE(listener, nullptr);
  }
  ~Server() {
    thread.Do([&] { listener.reset(); });
    EXPECT_EQ(credit.used(), 0u) << "credit was not given back";
  }

  static Service Echo() {
    return [](Request&& request, Responder responder) {
      Response response;
      response.content_type = "text/plain";
      response.body = TextOf(request.body);
      if (!request.is_grpc && request.body.empty()) {
        response.body = request.method + " " + request.path + "?" + request.query;
      }
      responder.Send(std::move(response));
    };
  }
  uint16_t port() const { return listener->port(); }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port()); }

  base::ByteCredit credit;
  LoopThread thread;
  std::unique_ptr<Listener> listener;
};

class RawClient {
 public:
  explicit RawClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  }
  ~RawClient() { close(fd_); }
  RawClient(const RawClient&) = delete;

  bool connected() const { return connected_; }
  // False when the server has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // What comes until the text contains `mark`, the server closes, or 5 s passed.
  std::string ReadUntil(std::string_view mark) {
    std::string out;
    while (out.find(mark) == std::string::npos && ReadSome(&out, 5000)) {
    }
    return out;
  }
  std::string ReadToEnd() {
    std::string out;
    while (ReadSome(&out, 5000)) {
    }
    return out;
  }
  // At least `size` bytes, and no more than `most`.
  std::string ReadSize(size_t size, size_t most = SIZE_MAX) {
    std::string out;
    while (out.size() < size && ReadSome(&out, 5000, most - out.size())) {
    }
    return out;
  }
  // True when the server closed within 5 s.
  bool WaitClosed() {
    std::string out;
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (ReadSome(&out, 5000)) {
    }
    return std::chrono::steady_clock::now() < until;
  }
  void FinishSending() { shutdown(fd_, SHUT_WR); }
  // The end of this client will be a RST.
  void ResetOnClose() {
    linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  bool ReadSome(std::string* out, int wait_ms, size_t most = SIZE_MAX) {
    pollfd p{fd_, POLLIN, 0};
    if (poll(&p, 1, wait_ms) <= 0) return false;
    char buffer[65536];
    ssize_t n = recv(fd_, buffer, std::min(most, sizeof buffer), 0);
    if (n <= 0) return false;
    out->append(buffer, static_cast<size_t>(n));
    return true;
  }

  int fd_;
  bool connected_ = false;
};

inline std::string Deflated(base::Compression compression, std::string_view text) {
  base::ByteBuffer out;
  EXPECT_TRUE(base::Deflate(compression, base::AsBytes(text), &out).ok());
  return TextOf(out);
}

// Peak resident memory of this process in KiB.
inline long PeakRssKb() {
  FILE* file = std::fopen("/proc/self/status", "r");
  char line[256];
  long kb = 0;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "VmHWM: %ld", &kb) == 1) break;
  }
  if (file != nullptr) std::fclose(file);
  return kb;
}

// Forgets the peak so far; what it is now.
inline long ResetPeakRssKb() {
  if (FILE* file = std::fopen("/proc/self/clear_refs", "w")) {
    std::fputs("5", file);
    std::fclose(file);
  }
  return PeakRssKb();
}

}  // namespace weft::net
