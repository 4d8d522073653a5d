#include "exporters/collector/wire/bearer_token.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace weft::exporters::collector {
namespace {

constexpr uint64_t kLookNs = 10'000'000'000;
constexpr size_t kMaxTokenBytes = 16 << 10;  // no server takes longer heads

// The first line; empty when it is too long. A pipe or a device would hold up the loop: only a
// regular file will do.
std::string FirstLine(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return "";
  std::string line;
  struct stat facts {};
  if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode)) {
    std::array<char, 4096> part;
    while (line.size() <= kMaxTokenBytes && line.find('\n') == std::string::npos) {
      const ssize_t n = read(fd, part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      line.append(part.data(), static_cast<size_t>(n));
    }
  }
  close(fd);
  line.resize(std::min(line.size(), line.find('\n')));
  return line.size() <= kMaxTokenBytes ? line : "";
}

class BearerTransport final : public Transport {
 public:
  BearerTransport(std::unique_ptr<Transport> inner, std::string path, const base::Clock& clock)
      : path_(std::move(path)), clock_(clock), inner_(std::move(inner)) {
    Look();
  }

  void Call(model::Signal signal, base::Gathered&& payload, std::string_view encoding,
            std::function<void(CallReply&&)> done) override {
    if (clock_.MonotonicNs() - looked_ns_ >= kLookNs) Look();
    const uint64_t used = version_;
    // The channel inside calls nothing back after its end, so `this` is there when it does.
    inner_->Call(signal, std::move(payload), encoding,
                 [this, used, done = std::move(done)](CallReply&& reply) {
                   const bool refused = reply.http_status != 0
                                            ? reply.http_status == 401 || reply.http_status == 403
                                            : reply.status == 16 || reply.status == 7;
                   if (refused && !reply.transport_error) Look();
                   reply.credentials_changed = refused && version_ != used;
                   done(std::move(reply));
                 });
  }
  void SetHeader(std::string_view name, std::string_view value) override {
    inner_->SetHeader(name, value);
  }

 private:
  void Look() {
    looked_ns_ = clock_.MonotonicNs();
    std::string token = ReadToken(path_);
    if (token.empty()) {
      if (log_.Allow(looked_ns_)) spdlog::warn("no token can be read from {}", path_);
      return;
    }
    if (token == token_) return;
    token_ = std::move(token);
    ++version_;
    inner_->SetHeader("authorization", "Bearer " + token_);
  }

  const std::string path_;
  const base::Clock& clock_;
  std::string token_;
  uint64_t version_ = 0, looked_ns_ = 0;
  base::LogLimiter log_{60'000'000'000};
  const std::unique_ptr<Transport> inner_;
};

}  // namespace

std::string ReadToken(const std::string& path) {
  std::string line = FirstLine(path);
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!line.empty() && space(line.back())) line.pop_back();
  while (!line.empty() && space(line.front())) line.erase(line.begin());
  // A line that HTTP could not carry is no token.
  for (unsigned char c : line)
    if (c < 0x21 || c > 0x7e) return "";
  return line;
}

std::unique_ptr<Transport> WithBearerToken(std::unique_ptr<Transport> inner, std::string path,
                                           const base::Clock& clock) {
  return std::make_unique<BearerTransport>(std::move(inner), std::move(path), clock);
}

}  // namespace weft::exporters::collector
