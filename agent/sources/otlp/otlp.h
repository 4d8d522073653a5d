// OTLP over gRPC and HTTP: traces, and the other signals as opaque bytes. One class serves both
// listeners (4317 and 4318): each port speaks gRPC and HTTP/1.1 and HTTP/2 with protobuf and JSON,
// so that a client that mixes up the ports is served all the same. A request is indexed, never
// decoded; it is answered when the sink has taken it. "Busy" becomes an answer that the SDK
// retries.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/config_view.h"
#include "model/sink.h"
#include "sources/otlp/intake.h"
#include "sources/otlp/server_options.h"

namespace weft::sources::otlp {

struct Options : ServerOptions {
  Options() { endpoint = "127.0.0.1:4317"; }
  // Metrics, logs and profiles: "forward" passes them on as they are, "refuse" tells their senders.
  std::string other_signals = "forward";
  // A second address for the same service, as OTLP had 55680 and 55681 once; empty: none.
  std::string legacy_endpoint;
};
// `name`: "otlp_grpc" or "otlp_http"; the block is "receivers.<name>".
base::ConfigBlock Describe(Options& options, std::string_view name);

// Threads: the loop's; Stop may also run after the loop has ended. Cost: one request of 512 spans
// about 30 µs with its index.
class Receiver final : public model::Source {
 public:
  // `name` is also what the ledger and the metrics call it.
  Receiver(std::string name, Options options, Deps deps, model::Sink<model::OtlpBatch>& next);
  ~Receiver() override;

  std::string_view Name() const override;
  // Fails: the endpoint cannot be bound.
  base::Status Start() override;
  // Refuses new connections and answers "retry later" from now on; requests that have begun finish
  // on the loop.
  void Stop(std::chrono::steady_clock::time_point deadline) override;

  // The bound ports; 0 when not open.
  uint16_t port() const;
  uint16_t legacy_port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::sources::otlp
