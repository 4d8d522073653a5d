#include "app/pipeline.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>

#include "app/fan_out.h"
#include "app/version.h"
#include "base/log.h"
#include "exporters/collector/grpc_transport.h"
#include "exporters/none/none.h"
#include "net/event_loop.h"
#include "workload/host.h"
#include "workload/proc_peers.h"
#include "workload/processes.h"

namespace weft::app {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

std::string Mebibytes(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::vector<Feature> CaptureFeatures(const std::vector<sources::ebpf::FeatureReport>& reports) {
  std::vector<Feature> out;
  for (const auto& r : reports) out.push_back({r.name, r.on, r.rung, r.reason});
  return out;
}

// Everything but capture, which only a running source or a probe can tell.
std::vector<Feature> ConfiguredFeatures(const Settings& s) {
  auto on_or_off = [](bool on, std::string how) {
    return Feature{"", on, std::move(how), on ? "" : "switched off"};
  };
  std::vector<Feature> out;
  auto add = [&out](std::string name, Feature feature) {
    feature.name = std::move(name);
    out.push_back(std::move(feature));
  };
  add("receivers.otlp_grpc", on_or_off(s.otlp_grpc.enabled, s.otlp_grpc.endpoint));
  add("receivers.otlp_http", on_or_off(s.otlp_http.enabled, s.otlp_http.endpoint));
  add("receivers.jaeger_udp",
      on_or_off(s.jaeger_udp.enabled, s.jaeger_udp.compact_endpoint + " compact, " +
                                          s.jaeger_udp.binary_endpoint + " binary"));
  out.push_back({"exporters.collector", !s.collector.endpoint.empty(),
                 s.collector.endpoint + ", OTLP/gRPC", "exporters.collector.endpoint is not set"});
  out.push_back(
      {"exporters.file", !s.file.path.empty(), s.file.path, "exporters.file.path is not set"});
  add("exporters.store",
      on_or_off(s.store.enabled, Mebibytes(s.store.max_bytes) + " of recent traces"));
  if (s.none.enabled) out.push_back({"exporters.none", true, "spans are counted and dropped", ""});
  out.push_back({"console.admin", true, "http://" + s.console.admin_endpoint, ""});
  out.push_back({"console.query", true, "http://" + s.console.query_endpoint, ""});
  return out;
}

}  // namespace

// Declared in the order of construction: the far end first, so that every stage outlives the one
// that pushes into it.
struct Pipeline::Parts {
  explicit Parts(const Settings& s) : settings(s) {}

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

  std::unique_ptr<exporters::collector::Collector> collector;
  std::unique_ptr<exporters::file::File> file;
  std::unique_ptr<exporters::store::Store> store;
  std::unique_ptr<exporters::none::None> none;
  std::unique_ptr<console::Console> console;
  std::unique_ptr<FanOut> fan_out;
  std::unique_ptr<merge::Merge> merge;
  std::unique_ptr<normalize::Normalizer> normalizer;
  std::unique_ptr<sources::ebpf::Capture> capture;
  std::vector<std::unique_ptr<model::Source>> receivers;

  base::Status OpenExporters();
  void OpenConsole();
  base::Status OpenSources();
  void Heartbeat();
  void Drain();
  void FlushMerge(Steady::time_point deadline);
};

base::Status Pipeline::Parts::OpenExporters() {
  if (!settings.collector.endpoint.empty()) {
    auto opened = exporters::collector::Open(
        loop, settings.collector, {ledger.Row("exporter collector", "spans"), metrics, clock});
    if (!opened.ok()) return base::Context("exporters.collector", opened.status());
    collector = std::move(*opened);
  }
  std::vector<FanOut::Branch> shedding;
  if (!settings.file.path.empty()) {
    file = std::make_unique<exporters::file::File>(
        settings.file, exporters::file::Deps{ledger.Row("exporter file", "spans"), metrics, clock});
    file->Start();
    shedding.push_back({file.get(), {}});
  }
  if (settings.store.enabled) {
    store = std::make_unique<exporters::store::Store>(
        settings.store, exporters::store::Deps{ledger.Row("exporter store", "spans"), metrics});
    store->Start();
    shedding.push_back({store.get(), {}});
  }
  if (settings.none.enabled) {
    none = std::make_unique<exporters::none::None>(ledger.Row("exporter none", "spans"));
    shedding.push_back({none.get(), {}});
  }
  if (collector == nullptr && shedding.empty())
    return base::Error(
        "every exporter is off: set exporters.collector.endpoint, exporters.file.path or "
        "exporters.store.enabled");
  OpenConsole();
  shedding.push_back({&console->tail(), [this] { return console->tail().wanted(); }});
  fan_out = std::make_unique<FanOut>(collector.get(), std::move(shedding));
  return base::Ok();
}

void Pipeline::Parts::OpenConsole() {
  console::Deps deps{.clock = clock,
                     .ledger = ledger,
                     .metrics = metrics,
                     .traces = store.get(),
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
  merge = std::make_unique<merge::Merge>(
      settings.merge,
      merge::Deps{
          clock, ledger, metrics, *fan_out, {{"host.name", workload::HostName()}}, kVersion});
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
  model::PeerLookup* peers = sees ? static_cast<model::PeerLookup*>(capture.get()) : &proc_peers;
  std::function<void()> drain_rings;
  if (sees) drain_rings = [this] { capture->Drain(); };

  auto open_otlp = [&](const char* name, const sources::otlp::Options& options) {
    if (!options.enabled) return;
    receivers.push_back(std::make_unique<sources::otlp::Receiver>(
        name, options,
        sources::otlp::Deps{loop, credit, clock, ledger, metrics, peers, drain_rings},
        merge->batches()));
  };
  open_otlp("otlp_grpc", settings.otlp_grpc);
  open_otlp("otlp_http", settings.otlp_http);
  if (settings.jaeger_udp.enabled)
    receivers.push_back(std::make_unique<sources::jaeger_udp::Receiver>(
        settings.jaeger_udp,
        sources::jaeger_udp::Deps{loop, credit, clock, ledger, metrics, peers, drain_rings},
        merge->batches()));
  for (auto& receiver : receivers) {
    base::Status started = receiver->Start();
    if (!started.ok()) return base::Context("receivers." + std::string(receiver->Name()), started);
  }
  return base::Ok();
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
  for (auto& receiver : receivers) receiver->Stop(deadline);
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
  auto end = [this] { loop.Post([this] { loop.Stop(); }); };
  if (collector != nullptr)
    collector->Drain(std::max<std::chrono::nanoseconds>(deadline - Steady::now(), 0ns), end);
  else
    end();
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
  if (base::Status s = p.OpenExporters(); !s.ok()) return s;
  if (base::Status s = p.OpenSources(); !s.ok()) return s;
  {
    std::lock_guard lock(p.features_mutex);
    if (p.capture->running())
      p.features = CaptureFeatures(p.capture->features());
    else
      p.features = {{"capture", false, "", p.capture_failure}};
    for (auto& feature : ConfiguredFeatures(p.settings)) p.features.push_back(std::move(feature));
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
  if (p.file) p.file->Stop(deadline);
  if (p.store) p.store->Stop(deadline);
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
