// Lane: a queue and the destinations that may empty it. By round robin there is one lane with every
// destination, so that what one cannot take goes to any other; by trace id there is one lane for
// each. It joins Items by bytes, keeps several requests in flight, and repeats what a peer could
// not take until one does: there is no time after which it gives up.
//
//   Add ─▶ pending Items ─(2 MiB or 200 ms)─▶ Request ─▶ in flight ─▶ delivered | rejected
//                                               ▲            │ not now
//                                             ready ◀─timer─ waiting
//
// A fault that every request to a peer shares (no connection, credentials, refusals in a row)
// closes that peer's gate: the request goes back to ready, the peer pauses, and then one request at
// a time finds out whether it is well again. One that has failed so a few times is a suspect: it
// stands aside for another. Suspects are tried one at a time; one that gets no answer while others
// are delivered is halved until the span that kills its peer is found, which is asked for ever
// more seldom.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "exporters/collector/books.h"
#include "exporters/collector/flight_window.h"
#include "exporters/collector/transport.h"

namespace weft::exporters::collector {

// Threads: the data thread, also for timers and replies. Order: AddPeer (Add, Pump)* Drain?.
// Cost: one queue entry per batch; nothing per span.
class Lane {
 public:
  // `settled` is called when something has been settled or a gate has moved; it may not destroy the
  // lane. All outlive it.
  Lane(const Options& options, Books& books, TimerQueue& timers, std::function<void()> settled);
  // What is still held is shed, reason "shutdown".
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void AddPeer(const std::string& name, std::unique_ptr<Transport> transport);
  // It gets nothing more; what it has is waited for. False for a name that is not here.
  bool RemovePeer(const std::string& name);
  size_t peers() const;

  // Queues it; call Pump when all have been added.
  void Add(Item&& item);
  void Pump();
  // Sends at once what is held, and asks more often.
  void Drain();
  void KeepOrShedAll();
  // Everything that is not in flight, oldest first.
  std::vector<Item> TakeQueued();

  bool idle() const;
  uint64_t batch_bytes() const { return batch_bytes_; }
  // What the queue is charged for what is here, in flight or not.
  uint64_t held_bytes() const { return held_bytes_; }
  size_t in_flight() const { return flying_.size(); }
  // Some peer's gate is open; else since when none is (MonotonicNs).
  bool well() const;
  uint64_t unwell_since_ns() const { return unwell_since_ns_; }
  // While the lane is unwell and holds nothing, empty requests find out whether it is well again.
  void ProbeWhenEmpty(bool on) { probe_when_empty_ = on; }

 private:
  enum class Gate : uint8_t { kOpen, kConnection, kCredentials };
  struct Peer {
    Peer(std::string n, std::unique_ptr<Transport> t, std::string e, FlightWindow w)
        : name(std::move(n)), transport(std::move(t)), encoding(std::move(e)), window(w) {}
    std::string name;
    std::unique_ptr<Transport> transport;
    std::string encoding;  // "" after the peer said that it cannot read it
    FlightWindow window;
    size_t flying = 0;
    Gate gate = Gate::kOpen;
    uint32_t failures = 0;  // in a row
    uint64_t failing_since_ns = 0;
    TimerQueue::TimerId pause = 0;
    bool leaving = false, outage_logged = false;
    base::LogLimiter outage_log{30'000'000'000};
  };
  struct Flight {
    Request request;
    std::shared_ptr<Peer> peer;
    std::string encoding;  // it was sent with
    uint64_t bytes = 0, sent_ns = 0;
    bool probe = false, alone = false;  // alone: sent to find out whether the peer is well
  };
  struct Pending {
    std::deque<Item> items;
    uint64_t bytes = 0;
    size_t awaited = 0;  // of the items
  };

  bool StartOne();
  Pending* NextPending();
  Request Form(Pending* pending);
  std::shared_ptr<Peer> NextPeer(uint64_t bytes);
  bool MayTake(const Peer& peer, uint64_t bytes) const;
  void StartProbe();
  void Send(Request&& request, const std::shared_ptr<Peer>& peer, bool probe);
  void OnReply(uint64_t id, CallReply&& reply);
  void Settle(Flight&& flight, const CallReply& reply, const Outcome& outcome);
  void Deliver(Flight&& flight, const Outcome& outcome);
  bool Unwell(const Peer& peer, uint64_t now_ns) const;
  void RetryLater(Flight&& flight, const CallReply& reply, const Outcome& outcome);
  std::chrono::nanoseconds RetryDelay(const Flight& flight, const CallReply& reply,
                                      const Outcome& outcome, bool shared);
  bool HasOthers() const;
  bool IsToBlame(const Flight& flight, const CallReply& reply, const Outcome& outcome) const;
  void SetAside(Request&& request);
  void Blame(Request&& request, const Outcome& outcome);
  void Absolve(Request* request);
  void ArmSuspect();
  void TakeSuspect();
  void SendInHalves(Flight&& flight, const Outcome& outcome);
  void Isolate(Request&& request, const Outcome& outcome);
  void GiveUp(Request* request, const Outcome& outcome);
  void GrowBatch(uint64_t now_ns);
  bool Hopeless(const Request& request);
  bool FallBackToPlain(const Flight& flight, const Outcome& outcome);

  void Wait(Request&& request, std::chrono::nanoseconds delay);
  void WakeWaiting();
  void OpenGate(Peer& peer);
  void CloseGate(Peer& peer, Gate gate, const Outcome& outcome);
  void Pause(const std::shared_ptr<Peer>& peer, std::chrono::nanoseconds delay);
  void CountGates();
  void Forget(std::shared_ptr<Peer> peer);
  std::chrono::nanoseconds Backoff(uint32_t attempts, std::chrono::nanoseconds longest);
  void ArmFlush();

  const Options& options_;
  Books& books_;
  TimerQueue& timers_;
  std::function<void()> settled_;

  std::vector<std::shared_ptr<Peer>> peers_;
  std::vector<std::shared_ptr<Peer>> gone_;  // until the loop is out of their callbacks
  size_t turn_ = 0;                          // of the peer that is asked next
  std::array<Pending, 4> pending_;           // by signal
  size_t signal_turn_ = 0;
  std::deque<Request> ready_;  // to be sent before anything pending
  std::unordered_map<uint64_t, Request> waiting_;
  std::deque<Request> aside_;  // suspects, but the one that is being tried
  bool suspect_due_ = false, suspect_out_ = false;
  uint32_t blames_ = 0;  // since a suspect was delivered
  TimerQueue::TimerId suspect_timer_ = 0;
  std::unordered_map<uint64_t, Flight> flying_;
  uint64_t next_id_ = 1, delivered_ = 0;  // delivered: requests

  // max_batch_bytes, or less while a peer refuses that much; when that has last changed.
  uint64_t batch_bytes_, batch_changed_ns_ = 0;
  // The least that was refused for its size, and when; nothing as large is tried again.
  uint64_t refused_bytes_ = UINT64_MAX, refused_at_ns_ = 0;
  uint64_t held_bytes_ = 0;
  uint32_t isolation_budget_;
  uint64_t unwell_since_ns_ = 0;
  bool flush_due_ = false, pumping_ = false, draining_ = false, probe_when_empty_ = false;
  TimerQueue::TimerId flush_timer_ = 0;
  base::LogLimiter blame_log_{30'000'000'000};
  std::minstd_rand random_{std::random_device{}()};
  int64_t counted_reachable_ = 0, counted_refusing_ = 0;
  // Timers and replies that come after the end find this gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weft::exporters::collector
