// GrpcChannel: a client for unary gRPC calls over one HTTP/2 connection (prior knowledge). It
// resolves, connects, keeps alive and reconnects by itself; it never retries a call that the server
// may have seen. Payloads leave by gather writes straight from the caller's pieces.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "net/tls.h"

namespace weft::net {

class EventLoop;

struct GrpcReply {
  int status = 0;  // gRPC status code
  std::string message;
  base::ByteBuffer body;  // the message, when status is 0
  std::optional<std::chrono::milliseconds>
      retry_delay;               // google.rpc.RetryInfo of the status details
  bool transport_error = false;  // the connection failed, the server did not say this; status is 14
  bool unprocessed = false;      // and it was certainly not processed
  bool unreadable = false;       // the server did not fail, but its answer is damaged or too large
};

// Threads: the loop's. Owns: its connection and the payloads of open calls. Cost: no copy of a
// payload. Fails: a call that was certainly not processed (REFUSED_STREAM, GOAWAY) is sent once
// more on a new connection; any other loss of the connection ends its calls with transport_error.
// Calls made while there is no connection wait for the outcome of the next attempt. After
// destruction no `done` is called any more.
class GrpcChannel {
 public:
  struct Options {
    std::string endpoint;        // "host:4317", optionally with http(s):// or grpc(s)://
    std::string authority = "";  // ":authority"; empty = the endpoint's host and port
    size_t max_in_flight = 8;    // further calls wait in order
    // From Call to done; then the answer is status 4 and the stream is reset.
    std::chrono::milliseconds timeout{10'000};
    // Added to every call; names in lower case.
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::chrono::milliseconds connect_timeout{3'000};                // per address
    std::chrono::milliseconds backoff_min{100}, backoff_max{5'000};  // doubled per failure, ± 20 %
    std::chrono::milliseconds ping_interval{10'000};  // silence before a ping, while calls are open
    std::chrono::milliseconds ping_timeout{20'000};   // silence before the connection is given up
    std::chrono::milliseconds resolve_interval{30'000};  // leave an address that the name lost
    uint64_t max_reply_bytes = 4 << 20;
    // TLS with ALPN h2; an https:// or grpcs:// endpoint without it: the system's store.
    std::optional<TlsFiles> tls = {};
  };
  // Starts connecting.
  GrpcChannel(EventLoop& loop, Options options);
  ~GrpcChannel();
  GrpcChannel(const GrpcChannel&) = delete;
  GrpcChannel& operator=(const GrpcChannel&) = delete;

  // `payload` is the message, compressed by the caller if `encoding` ("gzip", "zstd"; "" = not)
  // says so. `done` is called exactly once, never from inside Call, and may make further calls.
  void Call(std::string_view path, base::Gathered&& payload, std::string_view encoding,
            std::function<void(GrpcReply&&)> done);
  // For calls that start from now on; an empty value takes the header away.
  void SetHeader(std::string_view lower_name, std::string_view value);
  bool connected() const;
  // Calls not done, waiting ones included.
  size_t open_calls() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace weft::net
