// Normalizer: the stage between capture and merge. It puts the Segments of every connection in
// order, pairs requests with responses (docs/adr/0004-exchange-pairing.md) and turns each Exchange
// into a Span by the HTTP semantic conventions. A Span is sent twice: when the request head is
// parsed and when the exchange is over; each kOpened is followed by exactly one kFinished. No body
// byte is kept.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "model/segment.h"
#include "model/sink.h"
#include "model/span.h"

namespace weft::normalize {

// Config block "capture.http".
struct Options {
  std::vector<std::string>
      query_values_allowed;              // keys whose values stay in url.query and url.full
  bool trust_forwarded = false;          // client.address from X-Forwarded-For
  int64_t max_connections = 65'536;      // beyond it the least recently used one is forgotten
  int64_t max_streams = 65'536;          // open HTTP/2 streams of all connections, likewise
  int64_t http2_table_bytes = 64 << 20;  // header tables; beyond it the least recently used is lost
  // Of HTTP/1 requests that wait behind others, and of heads that come in pieces; likewise.
  int64_t http1_waiting_bytes = 64 << 20;
  int64_t quiet_ms = 2'000;  // a response whose end was not captured is over after this silence
};
base::ConfigBlock Describe(Options& options);

// Tells the kernel where a message ends whose body is longer than the copy budget, so that what
// follows is copied.
using SetMessageEnd = std::function<void(model::ConnectionId, model::Direction, uint64_t position)>;

// Everything outlives the Normalizer.
struct Deps {
  const base::Clock& clock;
  base::Ledger& ledger;
  base::MetricRegistry& metrics;
  model::Sink<model::SpanBatch>& out;
  SetMessageEnd set_message_end;  // may be empty
};

class Connection;
struct Shared;

// Threads: one. Owns: the state of at most max_connections connections. Order: Push and Tick
// alternate as drains come; Drain last. Cost: less than half a microsecond an exchange; no
// allocation for segments that belong to no exchange.
class Normalizer final : public model::Sink<model::SegmentBatch> {
 public:
  Normalizer(Options options, Deps deps);
  ~Normalizer() override;

  // One drain of the rings. kBusy when the stage behind is: nothing was looked at.
  [[nodiscard]] model::PushResult Push(model::SegmentBatch&& batch) override;
  // Time passes without a batch (call it every 50 ms or so): lets what waits for late segments,
  // closings and silences go on.
  void Tick();
  // Finishes every open exchange with what was seen of it.
  void Drain();

  size_t connections() const { return connections_.size(); }

 private:
  struct Meters;

  Connection& Find(const std::shared_ptr<const model::Connection>& identity);
  void Touch(Connection* connection);
  void Remove(Connection* connection);
  void Watch(Connection* connection);
  void EndPass();
  bool Flush();
  void CountPass();

  const Options options_;
  Deps deps_;
  std::unique_ptr<Shared> shared_;
  std::unique_ptr<Meters> meters_;
  std::unordered_map<model::ConnectionId, std::unique_ptr<Connection>> connections_;
  Connection* newest_ = nullptr;  // least recently used order
  Connection* oldest_ = nullptr;
  uint64_t last_push_ns_ = 0;
  std::vector<Connection*> watched_;  // to be looked at when a pass ends
};

}  // namespace weft::normalize
