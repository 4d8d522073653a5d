// The Jaeger collector's HTTP port 14268: POST /api/traces with one Batch in thrift binary, as
// Jaeger clients without an agent send it. A batch is transcoded into OTLP bytes and goes the way
// of every OTLP request; 202 says that it was taken.
#pragma once

#include "base/config_view.h"
#include "sources/otlp/server.h"

namespace weft::sources::jaeger_http {

struct Options : otlp::ServerOptions {
  Options() { endpoint = "127.0.0.1:14268"; }
};
// The block "receivers.jaeger_http".
base::ConfigBlock Describe(Options& options);

struct Deps : otlp::Deps {
  // Gets the requests for other paths, such as /api/sampling; empty: they are answered 404.
  net::Service other_paths = {};
};

class Receiver final : public otlp::Server {
 public:
  Receiver(const Options& options, const Deps& deps, model::Sink<model::OtlpBatch>& next);

 private:
  void Answer(net::Request request, net::Responder&& responder) override;
  otlp::Outcome Take(net::Request& request);

  const net::Service other_paths_;
  otlp::TransportMetrics transport_;
};

}  // namespace weft::sources::jaeger_http
