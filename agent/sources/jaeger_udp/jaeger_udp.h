// The Jaeger agent's UDP ports: 6831 (thrift compact), 6832 (thrift binary) and 5775 (its legacy
// port, compact). Each takes emitBatch and emitZipkinBatch. Each look reads
// up to 64 datagrams, sorts them by the process that sent them, and makes one OtlpBatch per
// process. UDP has nobody to ask for a retry, so what finds no room is shed, newest first, and
// every loss is counted: the kernel's own drops, cut datagrams, bad ones, want of credit, a busy
// sink, and what the clients report to have lost themselves.
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

namespace weft::sources::jaeger_udp {

struct Options {
  bool enabled = true;
  std::string compact_endpoint = "127.0.0.1:6831";  // empty: this port is not opened
  std::string binary_endpoint = "127.0.0.1:6832";
  std::string legacy_endpoint = "127.0.0.1:5775";
};
// The block "receivers.jaeger_udp".
base::ConfigBlock Describe(Options& options);

// All of them must outlive the receiver.
struct Deps {
  net::EventLoop& loop;
  base::ByteCredit& credit;
  const base::Clock& clock;
  base::Ledger& ledger;
  base::MetricRegistry& metrics;
  model::PeerLookup* peers = nullptr;  // null: no sender is known
  std::function<void()>
      before_push;  // called once per wake-up that pushes, before its first Push; may be empty
};

// Threads: the loop's; Stop may also run after the loop has ended. Cost: below 1 µs a span with
// everything behind it.
class Receiver final : public model::Source {
 public:
  Receiver(Options options, Deps deps, model::Sink<model::OtlpBatch>& next);
  ~Receiver() override;

  std::string_view Name() const override { return "jaeger_udp"; }
  // Fails: a port cannot be bound; then none is open.
  base::Status Start() override;
  // Takes what the kernel still holds for the ports, until the deadline, then closes them.
  void Stop(std::chrono::steady_clock::time_point deadline) override;

  // The bound ports; 0 when not open.
  uint16_t compact_port() const;
  uint16_t binary_port() const;
  uint16_t legacy_port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::sources::jaeger_udp
