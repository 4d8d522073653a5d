// The Jaeger collector's HTTP port 14268: POST /api/traces with one Batch in thrift binary, as
// Jaeger clients without an agent send it. A batch is transcoded into OTLP bytes and goes the way
// of every OTLP request; 202 says that it was taken.
#pragma once

#include <memory>

#include "base/config_view.h"
#include "model/sink.h"
#include "sources/otlp/intake.h"
#include "sources/otlp/server_options.h"

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

// Threads: the loop's; Stop may also run after the loop has ended.
class Receiver final : public model::Source {
 public:
  Receiver(Options options, Deps deps, model::Sink<model::OtlpBatch>& next);
  ~Receiver() override;

  std::string_view Name() const override { return "jaeger_http"; }
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

}  // namespace weft::sources::jaeger_http
