#include "exporters/collector/grpc_transport.h"

#include <string_view>
#include <utility>

namespace weft::exporters::collector {
namespace {

std::string_view PathOf(model::Signal signal) {
  switch (signal) {
    case model::Signal::kTraces:
      return "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    case model::Signal::kMetrics:
      return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    case model::Signal::kLogs:
      return "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    case model::Signal::kProfiles:
      return "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
  }
  return "";
}

class GrpcTransport final : public Transport {
 public:
  GrpcTransport(net::EventLoop& loop, net::GrpcChannel::Options options)
      : channel_(loop, std::move(options)) {}

  void Call(model::Signal signal, base::Gathered&& payload, std::string_view encoding,
            std::function<void(CallReply&&)> done) override {
    channel_.Call(PathOf(signal), std::move(payload), encoding,
                  [done = std::move(done)](net::GrpcReply&& reply) {
                    CallReply out;
                    out.status = reply.status;
                    out.message = std::move(reply.message);
                    out.body = std::move(reply.body);
                    out.retry_delay = reply.retry_delay;
                    out.transport_error = reply.transport_error;
                    out.unprocessed = reply.unprocessed;
                    out.unreadable = reply.unreadable;
                    done(std::move(out));
                  });
  }
  void SetHeader(std::string_view name, std::string_view value) override {
    channel_.SetHeader(name, value);
  }

 private:
  net::GrpcChannel channel_;
};

}  // namespace

std::unique_ptr<Transport> NewGrpcTransport(net::EventLoop& loop,
                                            net::GrpcChannel::Options options) {
  return std::make_unique<GrpcTransport>(loop, std::move(options));
}

}  // namespace weft::exporters::collector
