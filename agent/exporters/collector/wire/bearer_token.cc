#include "exporters/collector/wire/bearer_token.h"

#include <fstream>
#include <utility>

#include "base/log.h"

namespace weft::exporters::collector {
namespace {

constexpr uint64_t kLookNs = 10'000'000'000;

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
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
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
