// Kafka: sends spans to a Kafka topic, keyed by trace id, for fleets that buffer centrally. What
// waits for its acknowledgement is bounded in bytes; messages are repeated until the brokers take
// them, and a batch's receipt is told when all of its messages are acknowledged.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "exporters/kafka/messages.h"
#include "exporters/kafka/producer.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::exporters::kafka {

struct Options {
  std::vector<std::string> brokers = {};  // host:port; empty = off
  std::string topic = "otlp_spans";
  std::string encoding = "otlp_proto";  // otlp_proto, jaeger_proto
  std::string compression = "lz4";      // none, gzip, lz4, snappy, zstd
  std::string acks = "all";             // all, 1, 0
  int64_t max_message_bytes = 1'000'000;
  int64_t queue_bytes = 64 << 20;
  bool shed_when_full = false;               // else Push says kBusy
  std::vector<std::string> properties = {};  // "name=value" of librdkafka: security, …

  bool enabled() const { return !brokers.empty(); }
};

// The block exporters.kafka; points into `options`.
base::ConfigBlock Describe(Options& options);

// Everything outlives the exporter.
struct Deps {
  base::LedgerRow& ledger;  // "exporter kafka", in spans
  base::MetricRegistry& metrics;
  const base::Clock& clock;
};

// Threads: the data thread; librdkafka has threads of its own behind it. Order: (Push | Poll)*
// Drain? Poll*. Cost: an encoding of every batch, by trace or by span.
class Kafka final : public model::Sink<model::OtlpBatch> {
 public:
  Kafka(Options options, Deps deps, std::unique_ptr<Producer> producer);
  // What is not acknowledged is shed, reason "shutdown".
  ~Kafka() override;

  // kBusy when the queue is full or Drain has been called. Signals other than traces are rejected,
  // reason "signal".
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;
  // Settles what was acknowledged and sends what has to be sent again. Call it every few
  // milliseconds.
  void Poll();
  // Takes nothing more and calls `done` from a later Poll when all is settled, or after `budget`;
  // what remains then is shed, reason "shutdown".
  void Drain(std::chrono::nanoseconds budget, std::function<void()> done);

  uint64_t held_bytes() const { return held_bytes_; }
  bool idle() const { return open_.empty(); }

 private:
  struct Promise;
  struct Open {
    Message message;
    std::shared_ptr<Promise> promise;  // null for batches without a receipt
    uint64_t charge = 0;
  };
  void Hand(uint64_t id);
  void Settled(uint64_t id, Delivery delivery, std::string_view error);
  void SendAgain();
  void Release(const Open& open);
  void ShedAll();

  const Options options_;
  const Encoding encoding_;
  Deps deps_;
  base::Metric &sent_spans_, &failed_spans_, &queue_size_, &retries_, &messages_;
  std::unordered_map<uint64_t, Open> open_;
  std::deque<uint64_t> unsent_;  // the library had no room, or the brokers said "later"
  uint64_t send_again_ns_ = 0;   // not before
  uint64_t held_bytes_ = 0, next_id_ = 1;
  bool draining_ = false;
  uint64_t drain_end_ns_ = 0;
  std::function<void()> drained_;
  base::LogLimiter log_{10'000'000'000};
  // Last: it points into the messages until it is gone.
  std::unique_ptr<Producer> producer_;
};

// With librdkafka. Fails: settings that it does not take.
base::Result<std::unique_ptr<Kafka>> Open(Options options, Deps deps);

}  // namespace weft::exporters::kafka
