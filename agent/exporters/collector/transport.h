// What the collector exporter needs from the outside: a way to make the Export call and a way to
// wait. Both are interfaces, so that batching and retrying are tested with a scripted peer and a
// cranked clock; grpc_transport.h and http_transport.h have the real ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::exporters::collector {

// The peer's answer to one call, or the lack of one.
struct CallReply {
  int status = 0;       // gRPC status code
  int http_status = 0;  // over HTTP, where it decides and `status` means nothing; else 0
  std::string message;
  base::ByteBuffer body;                                 // Export…ServiceResponse
  std::optional<std::chrono::milliseconds> retry_delay;  // RetryInfo, Retry-After
  bool transport_error = false;      // no answer: not connected, reset, connection lost
  bool unprocessed = false;          // and the peer has certainly done nothing with the request
  bool unreadable = false;           // a success, perhaps, whose body is damaged or too large
  bool credentials_changed = false;  // since this call was made: it is worth asking again at once
};

// Threads: the data thread; `done` is called there too, once, perhaps from within Call.
class Transport {
 public:
  virtual ~Transport() = default;
  // `encoding` is the compression of the payload: "", "gzip" or "zstd".
  virtual void Call(model::Signal signal, base::Gathered&& payload, std::string_view encoding,
                    std::function<void(CallReply&&)> done) = 0;
  // For calls that start from now on; `name` in lower case.
  virtual void SetHeader(std::string_view name, std::string_view value) = 0;
};

// Threads: the data thread.
class TimerQueue {
 public:
  using TimerId = uint64_t;  // never 0
  virtual ~TimerQueue() = default;
  virtual TimerId RunAfter(std::chrono::nanoseconds delay, std::function<void()> task) = 0;
  virtual void Cancel(TimerId id) = 0;
};

}  // namespace weft::exporters::collector
