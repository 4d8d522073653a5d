// Collector: sends batches to an OpenTelemetry collector by OTLP/gRPC. It joins batches by bytes,
// keeps several requests in flight, and repeats what the peer could not take until it does: there
// is no time after which it gives up. What waits is bounded in bytes; beyond that Push says kBusy
// and nothing is lost, so that want of room is felt where bytes enter the agent.
//
//   Push ─▶ pending Items ─(2 MiB or 200 ms)─▶ Request ─▶ in flight ─▶ delivered | rejected
//                                                ▲            │ not now
//                                              ready ◀─timer─ waiting
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "exporters/collector/reply.h"
#include "exporters/collector/request.h"
#include "exporters/collector/transport.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::exporters::collector {

struct Options {
  std::string endpoint = "";         // host:port; empty = off
  std::string protocol = "grpc";     // the only one
  std::string compression = "none";  // none, gzip, zstd
  int64_t max_batch_bytes = 2 << 20;
  int64_t flush_milliseconds = 200;
  int64_t queue_bytes = 64 << 20;
  int64_t timeout_seconds = 10;
  int64_t max_in_flight = 8;
  bool retry_exhausted = true;            // RESOURCE_EXHAUSTED without a promise of recovery
  std::vector<std::string> headers = {};  // "name: value"
};

// The block exporters.collector; points into `options`.
base::ConfigBlock Describe(Options& options);

// Everything outlives the exporter.
struct Deps {
  base::LedgerRow& ledger;  // "exporter collector", in spans
  base::MetricRegistry& metrics;
  const base::Clock& clock;
};

// Threads: the data thread, also for timers and replies. Order: Push* Drain?.
// Cost: per batch one Gather and one queue entry; nothing per span.
class Collector final : public model::Sink<model::OtlpBatch> {
 public:
  Collector(Options options, Deps deps, std::unique_ptr<Transport> transport,
            std::unique_ptr<TimerQueue> timers);
  // What is still held is shed, reason "shutdown".
  ~Collector() override;

  // kBusy when the queue is full or Drain has been called. A batch larger than the whole queue is
  // taken when the queue is empty: otherwise it could never leave.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;

  // Takes nothing more, sends what is held at once and calls `done` when it has all been settled,
  // or after `budget`; what remains then is shed, reason "shutdown". `done` is called once, perhaps
  // from within Drain.
  void Drain(std::chrono::nanoseconds budget, std::function<void()> done);

  uint64_t held_bytes() const { return held_bytes_; }
  bool idle() const {
    return pending_.empty() && ready_.empty() && waiting_.empty() && flying_.empty();
  }

 private:
  // kConnection, kCredentials: the last attempts failed for a reason that every request shares. One
  // request at a time finds out whether it still holds; the others stay where they are.
  enum class Gate : uint8_t { kOpen, kConnection, kCredentials };

  struct Counters {
    explicit Counters(base::MetricRegistry& registry);
    base::Metric &sent_spans, &failed_spans, &queue_size, &queue_capacity, &in_flight;
    base::Metric &requests, &sent_bytes, &retries, &busy, &connected, &credentials_refused;
  };

  void Pump();
  bool StartOne();
  Request Form();
  void Send(Request&& request);
  void Compress(base::Gathered* payload, std::string* encoding);
  void OnReply(uint64_t id, CallReply&& reply);
  void Deliver(Request&& request, const Outcome& outcome);
  void RetryLater(Request&& request, const CallReply& reply, const Outcome& outcome);
  void SendInHalves(Request&& request, const Outcome& outcome);
  void Isolate(Request&& request, const Outcome& outcome);
  void Reject(Request&& request, const Outcome& outcome);
  bool FallBackToPlain(const CallReply& reply);

  void Wait(Request&& request, std::chrono::nanoseconds delay);
  void WakeWaiting();
  void OpenGate();
  void CloseGate(Gate gate, const Outcome& outcome);
  std::chrono::nanoseconds Backoff(uint32_t attempts, std::chrono::nanoseconds longest);

  void ArmFlush();
  void Release(uint64_t spans, uint64_t charge);
  void Shed(Request&& request);
  void ShedAll();
  void FinishDrain();

  const Options options_;
  const uint64_t queue_bytes_;
  Deps deps_;
  Counters counters_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<TimerQueue> timers_;
  std::string encoding_;  // "" after the peer said that it cannot read it

  std::deque<Item> pending_;
  uint64_t pending_bytes_ = 0;
  std::deque<Request> ready_;  // to be sent before anything pending
  std::unordered_map<uint64_t, Request> waiting_, flying_;
  uint64_t held_bytes_ = 0;
  uint64_t next_id_ = 1;

  uint64_t batch_bytes_;  // max_batch_bytes, or less once the peer has refused that much
  uint64_t window_;       // requests in flight: halved by failure, +1 by success
  Gate gate_ = Gate::kOpen;
  uint32_t failures_in_a_row_ = 0;
  uint32_t isolation_budget_;
  bool flush_due_ = false, pumping_ = false, draining_ = false;
  TimerQueue::TimerId flush_timer_ = 0, drain_timer_ = 0;
  std::function<void()> drained_;
  std::minstd_rand random_{std::random_device{}()};
  bool outage_logged_ = false;
  base::LogLimiter rejection_log_{10'000'000'000}, outage_log_{30'000'000'000};
  // Timers and replies that come after the end find this gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weft::exporters::collector
