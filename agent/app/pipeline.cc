#include "app/pipeline.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>

#include "app/about/configured_features.h"
#include "app/forwarding.h"
#include "app/receivers.h"
#include "app/version.h"
#include "base/log.h"
#include "console/prometheus_text.h"
#include "net/event_loop.h"
#include "workload/host.h"
#include "workload/proc_peers.h"
#include "workload/processes.h"

namespace weft::app {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

std::vector<Feature> CaptureFeatures(const std::vector<sources::ebpf::FeatureReport>& reports) {
  std::vector<Feature> out;
  for (const auto& r : reports) out.push_back({r.name, r.on, r.rung, r.reason});
  return out;
}

// Nobody here understands metrics, logs and profiles without a collector: their senders are told.
Settings Effective(Settings s) {
  if (!s.collector.enabled()) s.otlp_grpc.other_signals = s.otlp_http.other_signals = "refuse";
  return s;
}

}  // namespace

// Declared in the order of construction: the far end first, so that every stage outlives the one
// that pushes into it.
struct Pipeline::Parts {
  explicit Parts(const Settings& s) : settings(Effective(s)) {}

  const Settings settings;
  base::SystemClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  base::ByteCredit credit{static_cast<uint64_t>(settings.limits.credit_bytes)};
  net::EventLoop loop;
  workload::Processes processes{{}, metrics, clock};
  workload::ProcPeers proc_peers{{}, processes, clock};

  // What the console's callbacks read.
  uint64_t started_ns = 0;
  std::atomic<bool> ready{false}, finished{false};
  // When the data loop last turned; the console calls weft unhealthy when that is long ago.
  std::atomic<uint64_t> alive_ns{0};
  std::mutex features_mutex;
  std::vector<Feature> features;
  std::string capture_failure;

  Forwarding forwarding{settings, {loop, clock, ledger, metrics}};
  std::unique_ptr<console::Console> console;
  std::unique_ptr<merge::Merge> merge;
  std::unique_ptr<normalize::Normalizer> normalizer;
  std::unique_ptr<sources::ebpf::Capture> capture;
  std::unique_ptr<Receivers> receivers;

  void OpenConsole();
  base::Status OpenSources();
  void Heartbeat();
  void Drain();
  void FlushMerge(Steady::time_point deadline);
};

void Pipeline::Parts::OpenConsole() {
  console::Deps deps{.clock = clock,
                     .ledger = ledger,
                     .metrics = metrics,
                     .traces = forwarding.store(),
                     .version = kVersion};
  deps.status = [this] {
    std::lock_guard lock(features_mutex);
    double uptime = static_cast<double>(clock.MonotonicNs() - started_ns) / 1e9;
    return FeaturesJson(features, kVersion, uptime, true);
  };
  deps.ready = [this] {
    return ready ? console::Readiness{true, ""} : console::Readiness{false, "starting or draining"};
  };
  deps.healthy = [this] {
    const uint64_t alive = alive_ns;
    return clock.MonotonicNs() < alive + 5'000'000'000;
  };
  console = std::make_unique<console::Console>(settings.console, std::move(deps));
}

base::Status Pipeline::Parts::OpenSources() {
  model::Sink<model::OtlpBatch>& out =
      forwarding.Build({&console->tail(), [this] { return console->tail().wanted(); }});
  merge = std::make_unique<merge::Merge>(
      settings.merge,
      merge::Deps{clock, ledger, metrics, out, {{"host.name", workload::HostName()}}, kVersion});
  normalizer = std::make_unique<normalize::Normalizer>(
      settings.http, normalize::Deps{clock, ledger, metrics, merge->spans(),
                                     [this](model::ConnectionId id, model::Direction direction,
                                            uint64_t position) {
                                       if (capture != nullptr)
                                         capture->SetMessageEnd(id, direction, position);
                                     }});
  capture = std::make_unique<sources::ebpf::Capture>(
      settings.capture,
      sources::ebpf::Capture::Deps{loop, clock, processes, *normalizer, ledger, metrics});
  if (!settings.capture.enabled) {
    capture_failure = "switched off";
  } else if (base::Status started = capture->Start(); !started.ok()) {
    capture_failure = std::string(started.message());
  }
  const bool sees = capture->running();
  sources::otlp::Deps deps{loop, credit, clock, ledger, metrics};
  deps.peers = sees ? static_cast<model::PeerLookup*>(capture.get()) : &proc_peers;
  if (sees) deps.before_push = [this] { capture->Drain(); };
  deps.acknowledge = forwarding.acknowledge();
  // What gets attributes is compressed anew.
  if (!settings.resource.enabled())
    base::CompressionFromName(settings.collector.compression, &deps.pass_on);
  receivers = std::make_unique<Receivers>(settings, std::move(deps), merge->batches());
  return receivers->Start();
}

void Pipeline::Parts::Heartbeat() {
  alive_ns = clock.MonotonicNs();
  normalizer->Tick();
  merge->Tick();
}

// Near end first: nothing new comes in, then every stage is emptied into the next.
void Pipeline::Parts::Drain() {
  ready = false;
  auto deadline = Steady::now() + std::chrono::seconds(settings.limits.drain_seconds);
  receivers->Stop(deadline);
  capture->Stop(deadline);
  normalizer->Drain();
  FlushMerge(deadline);
}

// The collector may have no room for everything at once.
void Pipeline::Parts::FlushMerge(Steady::time_point deadline) {
  if (!merge->Flush() && Steady::now() < deadline) {
    loop.RunAfter(50ms, [this, deadline] { FlushMerge(deadline); });
    return;
  }
  merge->Abandon();
  forwarding.Drain(std::max<std::chrono::nanoseconds>(deadline - Steady::now(), 0ns),
                   [this] { loop.Post([this] { loop.Stop(); }); });
}

Pipeline::Pipeline(const Settings& settings) : parts_(std::make_unique<Parts>(settings)) {}
Pipeline::~Pipeline() {
  // Its callbacks look at parts that are about to go.
  if (parts_->console) parts_->console->Stop();
}

base::Status Pipeline::Start() {
  Parts& p = *parts_;
  p.started_ns = p.clock.MonotonicNs();
  p.alive_ns = p.started_ns;
  if (base::Status s = p.forwarding.Open(); !s.ok()) return s;
  p.OpenConsole();
  if (base::Status s = p.OpenSources(); !s.ok()) return s;
  {
    std::lock_guard lock(p.features_mutex);
    if (p.capture->running())
      p.features = CaptureFeatures(p.capture->features());
    else
      p.features = {{"capture", false, "", p.capture_failure}};
    for (auto& feature : ConfiguredFeatures(p.settings)) {
      if (feature.name == "spool" && !p.forwarding.spool_failure().empty())
        feature = {"spool", false, "", p.forwarding.spool_failure()};
      p.features.push_back(std::move(feature));
    }
  }
  if (base::Status s = p.console->Start(); !s.ok()) return base::Context("console", s);
  p.loop.RunEvery(20ms, [&p] { p.Heartbeat(); });
  return base::Ok();
}

void Pipeline::Run() {
  Parts& p = *parts_;
  p.loop.Post([&p] { p.ready = true; });
  p.loop.Run();
  auto deadline = Steady::now() + 3s;
  p.forwarding.StopWorkers(deadline);
  p.console->Stop();
  p.finished = true;
}

void Pipeline::Shutdown() {
  parts_->loop.Post([this] { parts_->Drain(); });
}

bool Pipeline::finished() const { return parts_->finished; }

std::string Pipeline::StatusBlock() const {
  const Parts& p = *parts_;
  std::string out = "weft " + std::string(kVersion) + "  pid " + std::to_string(getpid()) + "  " +
                    workload::HostName() + "\n\n" + FeaturesText(p.features) + "\n";
  if (p.settings.store.enabled)
    out += "  recent traces:  http://" + p.settings.console.query_endpoint + "\n";
  out += "  the books:      http://" + p.settings.console.admin_endpoint + "/debug/ledger\n";
  out += "  Ctrl-C drains and prints the totals.\n\n";
  return out;
}

std::string Pipeline::Totals() const { return "\n" + parts_->ledger.Text(); }

std::string Pipeline::MetricsText() const {
  const Parts& p = *parts_;
  return console::PrometheusText(p.metrics, p.ledger,
                                 static_cast<double>(p.clock.MonotonicNs() - p.started_ns) / 1e9);
}

std::vector<Feature> ProbeFeatures(const Settings& settings) {
  std::vector<Feature> out;
  if (settings.capture.enabled)
    out = CaptureFeatures(sources::ebpf::Probe());
  else
    out.push_back({"capture", false, "", "switched off"});
  for (auto& feature : ConfiguredFeatures(settings)) out.push_back(std::move(feature));
  return out;
}

}  // namespace weft::app
