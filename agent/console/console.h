// Console: what people and monitoring ask a running weft, over HTTP, read-only. Two listeners on
// one event loop with its own thread: `admin` (health, metrics, the ledger, status, tail) and
// `query` (Jaeger's query API and the page). The data path is never waited for: answers are made
// from atomics, snapshots and the TraceQuery alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "base/result.h"
#include "console/tail_buffer.h"
#include "model/lookup.h"

namespace weft::console {

struct Options {
  std::string admin_endpoint = "127.0.0.1:14271";
  std::string query_endpoint = "127.0.0.1:16686";
};

// The block "console".
base::ConfigBlock Describe(Options& options);

struct Readiness {
  bool ready = false;
  std::string reason;  // why not
};

// Everything here must outlive the Console. The callbacks run on the console's thread.
struct Deps {
  const base::Clock& clock;
  const base::Ledger& ledger;
  base::MetricRegistry& metrics;
  const model::TraceQuery* traces = nullptr;  // null when the store is off
  std::string version = {};
  std::function<std::string()> status = {};  // a JSON object: what is on, what is off and why
  std::function<Readiness()> ready = {};
  std::function<bool()> healthy = {};
};

// Threads: Start and Stop from the owner; the rest happens on the console's own thread. tail() from
// any. Order: (Start Stop*)?. Stop without Start and Stop twice are safe.
class Console {
 public:
  Console(Options options, Deps deps);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Fails: when an endpoint cannot be bound; nothing is then open.
  base::Status Start();
  void Stop();

  // A sink for the fan-out. Lives as long as the Console.
  TailBuffer& tail();
  // The ports that were bound (endpoints may ask for port 0); 0 before Start.
  uint16_t admin_port() const;
  uint16_t query_port() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weft::console
