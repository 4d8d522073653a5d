// OTLP for traces, over gRPC and HTTP. One class serves both listeners (4317 and 4318): each port
// speaks gRPC and HTTP/1.1 and HTTP/2 with protobuf and JSON, so that a client that mixes up the
// ports is served all the same. A request is indexed, never decoded; it is answered when the sink
// has taken it. "Busy" becomes an answer that the SDK retries.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/credit.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "model/lookup.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::net {
class EventLoop;
}

namespace weft::sources::otlp {

struct Options {
  bool enabled = true;
  std::string endpoint = "127.0.0.1:4317";
  int64_t max_connections = 1024;
  int64_t max_body_bytes = 64 << 20;  // as sent, and again after decompression
};
// `name`: "otlp_grpc" or "otlp_http"; the block is "receivers.<name>".
base::ConfigBlock Describe(Options& options, std::string_view name);

// All of them must outlive the receiver.
struct Deps {
  net::EventLoop& loop;
  base::ByteCredit& credit;
  const base::Clock& clock;
  base::Ledger& ledger;
  base::MetricRegistry& metrics;
  model::PeerLookup* peers = nullptr;  // null: no sender is known
  std::function<void()> before_push;   // called before each Push; may be empty
};

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

  // The bound port; 0 when not started.
  uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::sources::otlp
