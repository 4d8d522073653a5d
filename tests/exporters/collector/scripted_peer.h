// A collector and a clock under the test's hand: calls are recorded and answered when the test says
// so, timers run when the test moves time.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "exporters/collector/collector.h"
#include "exporters/otlp_request.h"

namespace weft::exporters::collector {

struct OpenCall {
  std::string peer;
  model::Signal signal = model::Signal::kTraces;
  base::ByteBuffer payload;
  std::string encoding;
  std::function<void(CallReply&&)> done;
};

// What the exporter's Transport and TimerQueue point into; outlives the exporter.
struct ScriptedPeer {
  std::vector<OpenCall> calls;  // not answered, in order
  size_t most_open = 0;
  uint64_t total_calls = 0;
  std::map<std::string, std::string> headers;

  struct Timer {
    std::chrono::nanoseconds due;
    std::function<void()> task;
  };
  std::map<TimerQueue::TimerId, Timer> timers;
  TimerQueue::TimerId next_timer = 1;
  base::FakeClock clock;
  std::chrono::nanoseconds now{0};

  void Answer(size_t index, CallReply&& reply) {
    OpenCall call = std::move(calls.at(index));
    calls.erase(calls.begin() + static_cast<ptrdiff_t>(index));
    call.done(std::move(reply));
  }
  void Succeed(size_t index = 0) { Answer(index, {}); }
  void Fail(int status, std::string message = "", size_t index = 0) {
    CallReply reply;
    reply.status = status;
    reply.message = std::move(message);
    Answer(index, std::move(reply));
  }
  void Break(size_t index = 0) {
    CallReply reply;
    reply.status = 14;
    reply.transport_error = true;
    Answer(index, std::move(reply));
  }

  // Runs the timers that fall due, in order.
  void Advance(std::chrono::nanoseconds by) {
    std::chrono::nanoseconds end = now + by;
    while (true) {
      auto next = std::min_element(timers.begin(), timers.end(), [](const auto& a, const auto& b) {
        return a.second.due < b.second.due;
      });
      if (next == timers.end() || next->second.due > end) break;
      clock.Advance(static_cast<uint64_t>((next->second.due - now).count()));
      now = next->second.due;
      auto task = std::move(next->second.task);
      timers.erase(next);
      task();
    }
    clock.Advance(static_cast<uint64_t>((end - now).count()));
    now = end;
  }
};

class ScriptedTransport final : public Transport {
 public:
  explicit ScriptedTransport(ScriptedPeer& peer, std::string name = "")
      : peer_(peer), name_(std::move(name)) {}
  void Call(model::Signal signal, base::Gathered&& payload, std::string_view encoding,
            std::function<void(CallReply&&)> done) override {
    ++peer_.total_calls;
    peer_.calls.push_back(
        {name_, signal, protocols::otlp::Flatten(payload), std::string(encoding), std::move(done)});
    peer_.most_open = std::max(peer_.most_open, peer_.calls.size());
  }
  void SetHeader(std::string_view name, std::string_view value) override {
    peer_.headers[std::string(name)] = std::string(value);
  }

 private:
  ScriptedPeer& peer_;
  const std::string name_;
};

class ScriptedTimers final : public TimerQueue {
 public:
  explicit ScriptedTimers(ScriptedPeer& peer) : peer_(peer) {}
  TimerId RunAfter(std::chrono::nanoseconds delay, std::function<void()> task) override {
    peer_.timers[peer_.next_timer] = {peer_.now + delay, std::move(task)};
    return peer_.next_timer++;
  }
  void Cancel(TimerId id) override { peer_.timers.erase(id); }

 private:
  ScriptedPeer& peer_;
};

// An exporter on a scripted peer, with its books.
struct Bench {
  explicit Bench(Options options = {}) {
    exporter = std::make_unique<Collector>(std::move(options), Deps{row, metrics, peer.clock},
                                           std::make_unique<ScriptedTransport>(peer),
                                           std::make_unique<ScriptedTimers>(peer));
  }
  // The same with several destinations.
  Bench(Options options, const std::vector<std::string>& names) {
    exporter = std::make_unique<Collector>(
        std::move(options), Deps{row, metrics, peer.clock},
        [this](const Destination& to) {
          return std::make_unique<ScriptedTransport>(peer, to.endpoint);
        },
        std::make_unique<ScriptedTimers>(peer));
    Name(names);
  }
  void Name(const std::vector<std::string>& names) {
    std::vector<Destination> destinations;
    for (const std::string& name : names) destinations.push_back({name});
    exporter->SetDestinations(destinations);
  }
  model::PushResult Push(model::OtlpBatch&& batch) { return exporter->Push(std::move(batch)); }
  uint64_t Lost(std::string_view reason) const {
    for (const auto& lost : row.lost())
      if (lost.reason == reason) return lost.count;
    return 0;
  }
  double MetricValue(const std::string& name) const {
    for (const auto& sample : metrics.Snapshot())
      if (sample.name == name) return sample.value;
    ADD_FAILURE() << "no metric " << name;
    return -1;
  }

  ScriptedPeer peer;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  std::unique_ptr<Collector> exporter;
};

}  // namespace weft::exporters::collector
