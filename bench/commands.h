// The three jobs of weft-bench. Each blocks until its run is over and returns the exit code of the
// process: 0 when the run is valid, 1 when something was lost or refused that should not have been.
#pragma once

#include <cstdint>
#include <string>

#include "payload.h"

namespace weft::bench {

struct LoadOptions {
  std::string protocol = "otlp_grpc";  // otlp_grpc, otlp_http, jaeger_compact, jaeger_binary
  std::string endpoint = "127.0.0.1:4317";
  Shape shape;
  double duration_seconds = 5;
  uint64_t requests = 0;  // stop after so many; 0 = by duration
  double rate =
      0;  // requests per second over all connections, open loop; 0 = as fast as acknowledged
  uint32_t in_flight = 8;  // requests without an answer, over all connections
  bool json = false;
};
int RunLoad(const LoadOptions& options);

struct SinkOptions {
  std::string endpoint = "127.0.0.1:14317";
  double duration_seconds = 0;  // 0 = until SIGINT or SIGTERM
  bool ids = false;             // count distinct (trace id, span id) pairs: costs memory
  bool json = false;
};
int RunSink(const SinkOptions& options);

struct HttpOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 80;
  std::string path = "/";
  uint32_t connections = 16;
  double rate = 1000;  // requests per second; latency counts from the moment a request was due
  double duration_seconds = 5;
  bool json = false;
};
int RunHttp(const HttpOptions& options);

}  // namespace weft::bench
