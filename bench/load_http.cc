#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "load_run.h"
#include "socket.h"

namespace weft::bench {
namespace {

// A refused request of a closed loop is sent again after this.
constexpr std::chrono::milliseconds kRetryPause{5};
// A receiver that cannot be reached is asked again, not hammered.
constexpr std::chrono::milliseconds kConnectPause{10};

bool SendAll(int fd, std::string_view bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// The value of a header in `head` (which begins with the status line and ends with an empty line);
// empty when absent. `name` ends with the colon.
std::string_view HeaderValue(std::string_view head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
    std::string_view line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    if (line.size() < name.size() || strncasecmp(line.data(), name.data(), name.size()) != 0)
      continue;
    line.remove_prefix(name.size());
    while (line.starts_with(' ')) line.remove_prefix(1);
    return line;
  }
  return {};
}

struct Answer {
  int status = 0;  // 0: the connection broke
  bool close = false;
};

// One whole answer, with Content-Length or in chunks.
Answer ReadAnswer(int fd, std::string* buffer) {
  char chunk[4096];
  while (true) {
    const size_t end = buffer->find("\r\n\r\n");
    if (end != std::string::npos) {
      const std::string_view head = std::string_view(*buffer).substr(0, end + 4);
      const bool chunked = HeaderValue(head, "transfer-encoding:") == "chunked";
      const bool close = HeaderValue(head, "connection:") == "close";
      const size_t length =
          std::strtoull(std::string(HeaderValue(head, "content-length:")).c_str(), nullptr, 10);
      const bool whole =
          chunked ? buffer->ends_with("0\r\n\r\n") : buffer->size() >= end + 4 + length;
      if (whole) {
        const Answer answer{std::atoi(buffer->c_str() + 9), close};
        buffer->clear();  // there is no pipelining: nothing of a next answer is here
        return answer;
      }
    }
    const ssize_t n = recv(fd, chunk, sizeof chunk, 0);
    if (n <= 0) return {};
    buffer->append(chunk, static_cast<size_t>(n));
  }
}

// One connection's part of the load.
class HttpConnection {
 public:
  HttpConnection(const LoadOptions& options, Payload payload, const Schedule& schedule)
      : options_(options), schedule_(schedule), payload_(std::move(payload)) {
    const Protocol& protocol = FindProtocol(options.protocol);
    head_ = "POST " + std::string(protocol.target) + " HTTP/1.1\r\nHost: " + options.endpoint +
            "\r\nContent-Type: " + std::string(protocol.content_type);
    if (options.compression != "none") head_ += "\r\nContent-Encoding: " + options.compression;
    head_ += "\r\nContent-Length: ";
  }
  ~HttpConnection() {
    if (fd_ >= 0) close(fd_);
  }

  Totals Run(std::atomic<uint64_t>& next) {
    while (true) {
      const uint64_t n = next.fetch_add(1);
      if (schedule_.Over(n)) break;
      const auto due = schedule_.Due(n);
      std::this_thread::sleep_until(due);
      payload_.Stamp(Serial(options_, n));
      ++totals_.sent;
      if (options_.compression != "none") Compress(options_, payload_.bytes, &compressed_);
      while (Count(Exchange(), due) && options_.rate <= 0 && !schedule_.TimeIsUp())
        std::this_thread::sleep_for(kRetryPause);
    }
    return std::move(totals_);
  }

 private:
  int Exchange() {
    const base::ByteView body =
        options_.compression == "none" ? base::AsBytes(payload_.bytes) : compressed_.view();
    if (fd_ < 0) fd_ = Connect(options_.endpoint, SOCK_STREAM);
    if (fd_ < 0) return 0;
    const std::string head = head_ + std::to_string(body.size()) + "\r\n\r\n";
    const bool sent = SendAll(fd_, head) && SendAll(fd_, base::AsText(body));
    const Answer answer = sent ? ReadAnswer(fd_, &received_) : Answer{};
    if (answer.status == 0 || answer.close) {
      close(fd_);
      fd_ = -1;
      received_.clear();
    }
    return answer.status;
  }
  // True when it was refused: it may be sent again.
  bool Count(int status, SteadyClock::time_point due) {
    if (status / 100 == 2) {
      ++totals_.acknowledged;
      totals_.latency.Record(static_cast<uint64_t>((SteadyClock::now() - due).count()));
      return false;
    }
    const bool refused = status == 503 || status == 429;
    ++(refused ? totals_.refused : totals_.errors);
    if (status == 0) std::this_thread::sleep_for(kConnectPause);
    return refused;
  }

  const LoadOptions& options_;
  const Schedule& schedule_;
  Payload payload_;
  base::ByteBuffer compressed_;
  std::string head_, received_;
  int fd_ = -1;
  Totals totals_;
};

}  // namespace

Totals RunHttpLoad(const LoadOptions& options, std::vector<Payload> payloads,
                   const Schedule& schedule) {
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  Totals all;
  std::vector<std::thread> threads;
  for (Payload& payload : payloads) {
    threads.emplace_back([&] {
      Totals mine = HttpConnection(options, std::move(payload), schedule).Run(next);
      std::lock_guard lock(mutex);
      all.sent += mine.sent, all.acknowledged += mine.acknowledged;
      all.refused += mine.refused, all.errors += mine.errors;
      all.latency.Merge(mine.latency);
    });
  }
  for (auto& thread : threads) thread.join();
  return all;
}

}  // namespace weft::bench
