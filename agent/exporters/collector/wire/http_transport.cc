#include "exporters/collector/wire/http_transport.h"

#include <string_view>
#include <utility>

namespace weft::exporters::collector {
namespace {

constexpr std::string_view kProtobuf = "application/x-protobuf";

CallReply ToCallReply(net::HttpPostReply&& reply) {
  CallReply out;
  out.http_status = reply.status;
  out.transport_error = reply.transport_error;
  out.unprocessed = reply.unprocessed;
  out.message = std::move(reply.message);
  out.retry_delay = reply.retry_after;
  out.body = std::move(reply.body);
  // A page of some proxy is no answer of a collector, whatever its status says (case F11). Without
  // a body there is nothing to be of the wrong type.
  const bool success = reply.status / 100 == 2;
  out.unreadable = reply.unreadable ||
                   (success && !out.body.empty() && !reply.content_type.starts_with(kProtobuf));
  return out;
}

class HttpTransport final : public Transport {
 public:
  HttpTransport(net::EventLoop& loop, net::HttpChannel::Options options,
                std::array<std::string, 4> paths)
      : paths_(std::move(paths)), channel_(loop, std::move(options)) {}

  void Call(model::Signal signal, base::Gathered&& payload, std::string_view encoding,
            std::function<void(CallReply&&)> done) override {
    channel_.Post(paths_[static_cast<size_t>(signal)], std::move(payload), kProtobuf, encoding,
                  [done = std::move(done)](net::HttpPostReply&& reply) {
                    done(ToCallReply(std::move(reply)));
                  });
  }
  void SetHeader(std::string_view name, std::string_view value) override {
    channel_.SetHeader(name, value);
  }

 private:
  const std::array<std::string, 4> paths_;
  net::HttpChannel channel_;
};

}  // namespace

std::unique_ptr<Transport> NewHttpTransport(net::EventLoop& loop, net::HttpChannel::Options options,
                                            std::array<std::string, 4> paths) {
  return std::make_unique<HttpTransport>(loop, std::move(options), std::move(paths));
}

}  // namespace weft::exporters::collector
