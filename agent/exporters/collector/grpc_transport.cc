#include "exporters/collector/grpc_transport.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "net/event_loop.h"
#include "net/grpc_channel.h"
#include "net/http_client.h"

namespace weft::exporters::collector {
namespace {

constexpr std::string_view kPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

class GrpcTransport final : public Transport {
 public:
  GrpcTransport(net::EventLoop& loop, net::GrpcChannel::Options options)
      : channel_(loop, std::move(options)) {}

  void Call(base::Gathered&& payload, std::string_view encoding,
            std::function<void(CallReply&&)> done) override {
    channel_.Call(kPath, std::move(payload), encoding,
                  [done = std::move(done)](net::GrpcReply&& reply) {
                    CallReply out;
                    out.status = reply.status;
                    out.message = std::move(reply.message);
                    out.body = std::move(reply.body);
                    out.retry_delay = reply.retry_delay;
                    out.transport_error = reply.transport_error;
                    done(std::move(out));
                  });
  }

 private:
  net::GrpcChannel channel_;
};

class LoopTimers final : public TimerQueue {
 public:
  explicit LoopTimers(net::EventLoop& loop) : loop_(loop) {}
  TimerId RunAfter(std::chrono::nanoseconds delay, std::function<void()> task) override {
    return loop_.RunAfter(delay, std::move(task));
  }
  void Cancel(TimerId id) override { loop_.Cancel(id); }

 private:
  net::EventLoop& loop_;
};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// "name: value"; what HTTP/2 would not carry is refused here and not by the peer.
base::Result<std::pair<std::string, std::string>> ReadHeader(std::string_view line) {
  size_t colon = line.find(':');
  std::string name(Trim(line.substr(0, colon)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  bool printable =
      std::all_of(line.begin(), line.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
  if (colon == std::string_view::npos || name.empty() || !printable ||
      name.find(' ') != std::string::npos)
    return base::Error("exporters.collector.headers: a header is not \"name: value\"");
  return std::pair{std::move(name), std::string(Trim(line.substr(colon + 1)))};
}

}  // namespace

base::Result<std::unique_ptr<Collector>> Open(net::EventLoop& loop, Options options, Deps deps) {
  if (auto address = net::SplitHostPort(options.endpoint); !address.ok())
    return base::Context("exporters.collector.endpoint", address.status());
  net::GrpcChannel::Options channel;
  channel.endpoint = options.endpoint;
  channel.max_in_flight = static_cast<size_t>(options.max_in_flight);
  channel.timeout = std::chrono::seconds(options.timeout_seconds);
  for (const std::string& line : options.headers) {
    auto header = ReadHeader(line);
    if (!header.ok()) return header.status();
    channel.headers.push_back(*std::move(header));
  }
  return std::make_unique<Collector>(std::move(options), deps,
                                     std::make_unique<GrpcTransport>(loop, std::move(channel)),
                                     std::make_unique<LoopTimers>(loop));
}

}  // namespace weft::exporters::collector
