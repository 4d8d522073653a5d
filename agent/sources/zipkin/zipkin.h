// Zipkin's port 9411: spans of version 2 (JSON, protobuf) and version 1 (JSON, thrift), on whatever
// path: one with "api/v1/spans" in it means version 1. A request is transcoded into OTLP bytes and
// goes the way of every OTLP request; 202 says that it was taken.
#pragma once

#include "base/config_view.h"
#include "sources/otlp/server.h"

namespace weft::sources::zipkin {

struct Options : otlp::ServerOptions {
  Options() { endpoint = "127.0.0.1:9411"; }
  // "legacy": net.host.ip, net.peer.ip, … as the Collector writes them; "stable": network.*.
  std::string endpoint_attributes = "legacy";
};
// The block "receivers.zipkin".
base::ConfigBlock Describe(Options& options);

class Receiver final : public otlp::Server {
 public:
  Receiver(const Options& options, const otlp::Deps& deps, model::Sink<model::OtlpBatch>& next);

 private:
  void Answer(net::Request request, net::Responder&& responder) override;
  otlp::Outcome Take(net::Request& request);

  const bool stable_names_;
  otlp::TransportMetrics transports_[4];  // by format
};

}  // namespace weft::sources::zipkin
