// Zipkin's port 9411: spans of version 2 (JSON, protobuf) and version 1 (JSON, thrift), on whatever
// path: one with "api/v1/spans" in it means version 1. A request is transcoded into OTLP bytes and
// goes the way of every OTLP request; 202 says that it was taken.
#pragma once

#include <memory>

#include "base/config_view.h"
#include "model/sink.h"
#include "sources/otlp/intake.h"
#include "sources/otlp/server_options.h"

namespace weft::sources::zipkin {

struct Options : otlp::ServerOptions {
  Options() { endpoint = "127.0.0.1:9411"; }
  // "legacy": net.host.ip, net.peer.ip, … as the Collector writes them; "stable": network.*.
  std::string endpoint_attributes = "legacy";
};
// The block "receivers.zipkin".
base::ConfigBlock Describe(Options& options);

// Threads: the loop's; Stop may also run after the loop has ended.
class Receiver final : public model::Source {
 public:
  Receiver(Options options, otlp::Deps deps, model::Sink<model::OtlpBatch>& next);
  ~Receiver() override;

  std::string_view Name() const override { return "zipkin"; }
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

}  // namespace weft::sources::zipkin
