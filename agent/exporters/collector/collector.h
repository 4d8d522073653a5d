// Collector: sends batches to one OpenTelemetry collector or to several. What waits is bounded in
// bytes, over all destinations together; beyond that Push says kBusy and nothing is lost, so that
// want of room is felt where bytes enter the agent. How spans are divided:
//
//   round_robin   one lane, every destination takes from it what it can: a dead one takes nothing
//   trace_id      a lane for each destination, chosen by consistent hashing of the trace id; the
//                 traces of one that is dead for `reassign_seconds`, with what is queued for it, go
//                 to the members of the ring that live, until it answers again; sooner when it
//                 would fill the queue that all share. New traces of one that is too slow go to the
//                 others too, until it has caught up
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exporters/collector/books.h"
#include "exporters/collector/lane.h"
#include "exporters/collector/options.h"
#include "exporters/collector/ring.h"
#include "exporters/collector/transport.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::exporters::collector {

// A receiver that spans are sent to.
struct Destination {
  std::string endpoint;  // as the transport takes it; its identity
  // When the endpoint is an address that a name stood for: that name, for TLS and to be called by.
  std::string server_name = "";

  bool operator==(const Destination&) const = default;
};
using TransportMaker = std::function<std::unique_ptr<Transport>(const Destination&)>;

// Threads: the data thread, also for timers and replies. Order: SetDestinations* Push* Drain?.
// Cost: per batch one Gather and one queue entry; by trace id a lookup per span and a Gather per
// destination.
class Collector final : public model::Sink<model::OtlpBatch> {
 public:
  // Without destinations until SetDestinations.
  Collector(Options options, Deps deps, TransportMaker maker, std::unique_ptr<TimerQueue> timers);
  // For the one destination `options.endpoint`.
  Collector(Options options, Deps deps, std::unique_ptr<Transport> transport,
            std::unique_ptr<TimerQueue> timers);
  // What is still held goes to Deps::keep or is shed, reason "shutdown".
  ~Collector() override;

  // From now on these. One that is gone gets nothing more, and what is queued for it goes to
  // others; what it has been sent is waited for. An empty list changes nothing.
  void SetDestinations(const std::vector<Destination>& destinations);
  // Keeps `feeder`, that calls SetDestinations, as long as the exporter lives.
  void Keep(std::shared_ptr<void> feeder) { feeder_ = std::move(feeder); }

  // kBusy when the queue is full or Drain has been called. A batch that is large beside the queue,
  // or larger, is taken when the queue is less than half full: otherwise it could never leave.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;

  // Takes nothing more, sends what is held at once and calls `done` when it has all been settled,
  // or after `budget`; what remains then goes to Deps::keep or is shed, reason "shutdown". `done`
  // is called once, perhaps from within Drain.
  void Drain(std::chrono::nanoseconds budget, std::function<void()> done);

  uint64_t held_bytes() const { return books_.held_bytes(); }
  bool idle() const;
  // Some destination takes requests, as far as is known.
  bool well() const;

 private:
  struct Member {
    Destination destination;
    std::string ring_name;
    std::unique_ptr<Lane> lane;
    bool leaving = false, in_ring = true;
    bool crowded = false;  // holds so much of the queue that its traces go to others
  };

  bool by_trace() const { return options_.load_balancing == "trace_id"; }
  std::unique_ptr<Lane> NewLane();
  // Another lane of the ring with each call, for what has no trace.
  Lane& AnyLane();
  uint64_t BatchBytes() const;
  void Enqueue(model::OtlpBatch&& batch, uint64_t count);
  void Add(Lane& lane, Item&& item);
  void PumpAll();
  void OnSettled();
  // Who is in the ring now; moves what is queued for those who are not.
  void Rebalance();
  void FindCrowded();
  std::vector<bool> WhoBelongs() const;
  void MakeRing(const std::vector<bool>& belongs);
  bool BelongsToRing(const Member& member) const;
  void Reassign(std::vector<Item>&& items);
  void BuryMembers();
  void ArmRebalance();
  void FinishDrain();

  const Options options_;
  Books books_;
  TransportMaker maker_;
  std::unique_ptr<TimerQueue> timers_;
  std::unique_ptr<Lane> common_;  // everything; by trace id: what comes before any destination
  std::vector<Member> members_;
  std::vector<std::unique_ptr<Lane>> gone_;  // until the loop is out of their callbacks
  Ring ring_;
  std::vector<uint32_t> ring_members_;
  size_t turn_ = 0;
  base::LogLimiter crowded_log_{30'000'000'000};
  bool draining_ = false, settling_ = false, settle_again_ = false;
  TimerQueue::TimerId drain_timer_ = 0, rebalance_timer_ = 0;
  std::function<void()> drained_;
  std::shared_ptr<void> feeder_;
  // Timers that come after the end find this gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weft::exporters::collector
