// The Jaeger collector's gRPC port 14250: jaeger.api_v2.CollectorService/PostSpans, as Jaeger
// agents send it. A batch is transcoded from its protobuf into OTLP bytes and goes the way of every
// OTLP request. Other methods, such as remote sampling, are handed to whoever serves them.
#pragma once

#include "base/config_view.h"
#include "sources/otlp/server.h"

namespace weft::sources::jaeger_grpc {

struct Options : otlp::ServerOptions {
  Options() { endpoint = "127.0.0.1:14250"; }
};
// The block "receivers.jaeger_grpc".
base::ConfigBlock Describe(Options& options);

struct Deps : otlp::Deps {
  // Gets the calls of other methods (jaeger.api_v2.SamplingManager); empty: UNIMPLEMENTED.
  net::Service other_methods = {};
};

class Receiver final : public otlp::Server {
 public:
  Receiver(const Options& options, const Deps& deps, model::Sink<model::OtlpBatch>& next);

 private:
  void Answer(net::Request request, net::Responder&& responder) override;
  otlp::Outcome Take(net::Request& request);

  const net::Service other_methods_;
  otlp::TransportMetrics transport_;
};

}  // namespace weft::sources::jaeger_grpc
