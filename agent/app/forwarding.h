// Forwarding: everything behind merge, built from the far end: the exporters, the spool before the
// collector, the fan-out, the attributes of the node and head sampling. It knows in which order
// they start and drain.
//
//   merge ─▶ sampling? ─▶ resource? ─▶ fan-out ─┬─▶ spool? ─▶ collector      (may say kBusy)
//                                               ├─▶ kafka     (may say kBusy when it is alone)
//                                               └─▶ file, store, none, tail  (shed by their caps)
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/fan_out.h"
#include "app/settings.h"
#include "base/clock.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "exporters/collector/collector.h"
#include "exporters/none/none.h"
#include "net/event_loop.h"
#include "spool/spool_sink.h"

namespace weft::app {

// Threads: the data thread, except where a method says otherwise. Owns: exporters and spool.
// Order: Open Build Drain? StopWorkers?.
class Forwarding {
 public:
  // All outlive it.
  struct Deps {
    net::EventLoop& loop;
    const base::Clock& clock;
    base::Ledger& ledger;
    base::MetricRegistry& metrics;
  };
  Forwarding(const Settings& settings, const Deps& deps) : settings_(settings), deps_(deps) {}
  ~Forwarding();

  // Fails: an exporter that cannot be opened, a spool in use, or nothing to forward to.
  base::Status Open();
  // Then the sink that merge pushes into. `tail` is offered a copy when it wants one.
  model::Sink<model::OtlpBatch>& Build(FanOut::Branch tail);
  // Sends what is held; `done` is called once, on the data thread.
  void Drain(std::chrono::nanoseconds budget, std::function<void()> done);
  // After the loop has ended.
  void StopWorkers(std::chrono::steady_clock::time_point deadline);

  exporters::store::Store* store() const { return store_.get(); }
  // Why there is no spool although one was asked for; empty otherwise.
  const std::string& spool_failure() const { return spool_failure_; }
  // How far a batch must come before its client is answered.
  model::ReceiptLevel acknowledge() const;

 private:
  void OpenSpool();
  void OpenQuarantine();
  // Keeps what the collector has refused for good, where it can be looked at.
  void Quarantine(model::Signal signal, const base::Gathered& payload);
  base::Status OpenKafka();

  const Settings& settings_;
  const Deps deps_;
  std::unique_ptr<spool::Spool> spool_;
  std::string spool_failure_;
  std::unique_ptr<exporters::collector::Collector> collector_;
  std::unique_ptr<spool::SpoolSink> spool_sink_;
  std::unique_ptr<exporters::kafka::Kafka> kafka_;
  std::unique_ptr<exporters::file::File> file_, quarantine_;
  std::unique_ptr<exporters::store::Store> store_;
  std::unique_ptr<exporters::none::None> none_;
  std::unique_ptr<FanOut> fan_out_;
  std::unique_ptr<exporters::resource::Stamper> stamper_;
  std::unique_ptr<exporters::sampling::Sampler> sampler_;
};

}  // namespace weft::app
