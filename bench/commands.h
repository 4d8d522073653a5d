// The jobs of weft-bench. Each blocks until its run is over and returns the exit code of the
// process: 0 when the run is valid, 1 when something was lost or refused that should not have been.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "payload.h"

namespace weft::bench {

struct LoadOptions {
  std::string protocol = "otlp_grpc";  // one of ProtocolNames()
  std::string endpoint = "127.0.0.1:4317";
  std::string compression = "none";  // or gzip, zstd, …; not over UDP
  Shape shape;
  double duration_seconds = 5;
  uint64_t requests = 0;  // stop after so many; 0 = by duration
  double rate =
      0;  // requests per second over all connections, open loop; 0 = as fast as acknowledged
  uint32_t in_flight = 8;  // requests without an answer, over all connections
  uint32_t seed = 0;       // runs with different seeds share no trace
  bool json = false;
};
int RunLoad(const LoadOptions& options);

// Reads the keys of `file` (YAML; the names of Shape's fields) into `shape`. Returns the mistake,
// empty when there is none.
std::string ReadShape(const std::string& file, Shape* shape);

// A receiver of OTLP by gRPC and HTTP that counts, and misbehaves as it is told. A GET of any path
// answers with the figures so far.
struct SinkOptions {
  std::string endpoint = "127.0.0.1:14317";
  uint32_t delay_ms = 0;        // before each answer
  uint32_t refuse_percent = 0;  // of requests, spread evenly: UNAVAILABLE with RetryInfo, or 503
  double up_seconds = 0;        // with down_seconds: the port is open and closed in turn
  double down_seconds = 0;
  double duration_seconds = 0;  // 0 = until SIGINT or SIGTERM
  bool ids = false;             // count distinct (trace id, span id) pairs: costs memory
  bool json = false;
};
int RunSink(const SinkOptions& options);

// Runs several receivers one after the other over the same loads and prints a table.
struct CompareOptions {
  std::string file;  // YAML: bench/compare/README.md
  std::string json_file, plot_file;
  std::vector<std::string> variables;  // "name=value", before those of the file
  std::vector<std::string> only;       // names of loads; empty: all
  uint32_t repeats = 0;                // 0: as the file says
  std::string logs;                    // folder that keeps what the receivers print
};
int RunCompare(const CompareOptions& options);

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

// The CPU that weft's user space needs for captured HTTP/1.1 exchanges: segments that were made up,
// through normalize and merge, into nothing. Every exchange is seen by both its ends and counts
// twice.
struct ReplayOptions {
  uint64_t exchanges = 200'000;
  uint32_t connections = 64;
  double rate = 65'000;           // exchanges per second of the made-up time
  uint32_t browser_percent = 25;  // heads of a browser; the others are curl's
  uint32_t traced_percent = 0;    // of connections, whose requests bring a trace context
  bool same_context = false;      // all of them the same one
  uint32_t loss_percent = 0;      // of segments
  uint32_t seed = 1;
  bool is_cold = false;  // measures from the first request on, while merge still waits for SDKs
  bool json = false;
};
int RunReplay(const ReplayOptions& options);

}  // namespace weft::bench
