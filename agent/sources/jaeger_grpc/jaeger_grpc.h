// The Jaeger collector's gRPC port 14250: jaeger.api_v2.CollectorService/PostSpans, as Jaeger
// agents send it. A batch is transcoded from its protobuf into OTLP bytes and goes the way of every
// OTLP request. Other methods, such as remote sampling, are handed to whoever serves them.
#pragma once

#include <memory>

#include "base/config_view.h"
#include "model/sink.h"
#include "sources/otlp/intake.h"
#include "sources/otlp/server_options.h"

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

// Threads: the loop's; Stop may also run after the loop has ended.
class Receiver final : public model::Source {
 public:
  Receiver(Options options, Deps deps, model::Sink<model::OtlpBatch>& next);
  ~Receiver() override;

  std::string_view Name() const override { return "jaeger_grpc"; }
  // Fails: the endpoint cannot be bound.
  base::Status Start() override;
  // Refuses new connections and answers "retry later" from now on.
  void Stop(std::chrono::steady_clock::time_point deadline) override;

  // The bound port; 0 when not started.
  uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::sources::jaeger_grpc
