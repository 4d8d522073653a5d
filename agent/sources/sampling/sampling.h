// Remote sampling for Jaeger clients, as the Jaeger agent serves it on port 5778: GET
// /sampling?service=… and the older /?service=…, and jaeger.api_v2.SamplingManager over gRPC. The
// answers come from a strategies file in Jaeger's format, or from a collector that is asked in
// turn: once for all who wait for the same service, and remembered.
#pragma once

#include <memory>
#include <string>

#include "base/config_view.h"
#include "model/sink.h"
#include "sources/otlp/intake.h"
#include "sources/otlp/server_options.h"

namespace weft::sources::sampling {

struct Options : otlp::ServerOptions {
  Options() {
    endpoint = "127.0.0.1:5778";
    max_body_bytes = 1 << 20;
  }
  std::string strategies_file;     // empty: one in a thousand for everybody
  std::string collector_endpoint;  // "host:14250"; empty: nobody is asked
  int64_t reload_seconds = 10;     // between two looks at the file
  int64_t cache_seconds = 60;      // that a collector's answer is used again
  int64_t stale_seconds = 300;     // … while the collector is away
};
// The block "receivers.sampling".
base::ConfigBlock Describe(Options& options);

// Threads: the loop's; Stop may also run after the loop has ended. Bounded: kMaxServices answers
// are remembered.
class Server final : public model::Source {
 public:
  static constexpr size_t kMaxServices = 1024;
  static constexpr size_t kMaxNameBytes = 1024;  // of a service; longer ones are refused

  Server(Options options, otlp::Deps deps);
  ~Server() override;

  std::string_view Name() const override { return "sampling"; }
  // Fails: the endpoint cannot be bound; the file cannot be read or understood. Later a bad file
  // leaves the strategies as they are.
  base::Status Start() override;
  void Stop(std::chrono::steady_clock::time_point deadline) override;

  // For ports of other receivers where the same is asked for: 14250 (gRPC) and 14268
  // (/api/sampling). The server must outlive them.
  net::Service service();

  // The bound port; 0 when not started.
  uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::sources::sampling
