// For tests of receivers: one raw HTTP request over a connection of its own, and a sink that keeps
// what it is given.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/credit.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/sink.h"
#include "net/event_loop.h"

namespace weft::sources {

struct HttpAnswer {
  int status = 0;
  std::string head, body;
};

// `head`: the request line and headers, without Content-Length.
inline HttpAnswer Exchange(uint16_t port, const std::string& head, const std::string& body = "") {
  const std::string request =
      head + "\r\nHost: x\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  HttpAnswer answer;
  std::string text;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t n = send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;)
      text.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return answer;
  answer.status = std::atoi(text.c_str() + 9);
  answer.head = text.substr(0, end);
  answer.body = text.substr(end + 4);
  return answer;
}

class KeepingSink final : public model::Sink<model::OtlpBatch> {
 public:
  model::PushResult Push(model::OtlpBatch&& batch) override {
    if (is_busy) return model::PushResult::kBusy;
    for (const auto& span : batch.spans) spans += span.dropped ? 0 : 1;
    batches.push_back(std::move(batch));
    return model::PushResult::kTaken;
  }
  bool is_busy = false;
  uint64_t spans = 0;
  std::vector<model::OtlpBatch> batches;
};

// Everything a receiver is given.
struct TestWorld {
  base::ByteCredit credit{64 << 20};
  base::FakeClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  net::EventLoop loop;
  KeepingSink sink;

  // Runs `client` on a thread of its own while the loop serves it.
  void Serve(const std::function<void()>& client) {
    std::thread thread([&] {
      client();
      loop.Stop();
    });
    loop.Run();
    thread.join();
  }
  HttpAnswer Http(uint16_t port, const std::string& head, const std::string& body = "") {
    HttpAnswer answer;
    Serve([&] { answer = Exchange(port, head, body); });
    return answer;
  }
  double Value(const std::string& name, const base::Labels& labels) const {
    for (const auto& sample : metrics.Snapshot()) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
    return -1;
  }
};

}  // namespace weft::sources
