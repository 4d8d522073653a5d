#include "app/about/metrics_reference.h"

#include <stdlib.h>

#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "app/pipeline.h"
#include "app/settings.h"
#include "console/prometheus_text.h"
#include "sources/ebpf/go/discovery.h"
#include "sources/ebpf/tls/discovery.h"

namespace weft::app {
namespace {

struct Family {
  std::string kind, help;
  std::set<std::string> labels;
};
using Families = std::map<std::string, Family>;

struct Section {
  std::string_view title, prefix, text;
};

constexpr Section kSections[] = {
    {"weft's own", "weft_", "The room that counts is in the name; its README says more."},
    {"Under the OpenTelemetry Collector's names", "otelcol_",
     "With the Collector's meaning and labels, so that its dashboards and alerts go on working."},
    {"Under the Jaeger agent's names", "jaeger_agent_",
     "With the agent's meaning and labels, from the Jaeger receivers."},
    {"Of the process", "process_", "As every Prometheus exporter has them."},
};

// Removes the folder when it goes.
class Folder {
 public:
  Folder() : path_((std::filesystem::temp_directory_path() / "weft-metrics-XXXXXX").string()) {
    ok_ = mkdtemp(path_.data()) != nullptr;
  }
  ~Folder() {
    std::error_code ignored;
    if (ok_) std::filesystem::remove_all(path_, ignored);
  }
  bool ok() const { return ok_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
  bool ok_;
};

Settings Everything(const Folder& folder) {
  const std::string any = "127.0.0.1:0", nobody = "127.0.0.1:1";
  Settings s;
  s.capture.enabled = false;  // counts nothing while off, but has registered what it would
  for (std::string* endpoint :
       {&s.otlp_grpc.endpoint, &s.otlp_http.endpoint, &s.jaeger_udp.compact_endpoint,
        &s.jaeger_udp.binary_endpoint, &s.jaeger_udp.legacy_endpoint, &s.jaeger_http.endpoint,
        &s.jaeger_grpc.endpoint, &s.zipkin.endpoint, &s.remote_sampling.endpoint,
        &s.console.admin_endpoint, &s.console.query_endpoint}) {
    *endpoint = any;
  }
  s.sampling.enabled = true;
  s.resource.attributes = {"key=value"};
  s.collector.endpoint = nobody;
  s.kafka.brokers = {nobody};
  s.spool.directory = folder / "spool";
  s.file.path = folder / "spans.jsonl";
  s.none.enabled = true;
  return s;
}

// Only a running capture has attachers; these attach nothing.
class NoTls final : public sources::ebpf::tls::Attacher {
 public:
  base::Result<std::unique_ptr<Attachment>> Attach(const std::string&,
                                                   const sources::ebpf::tls::Probe&) override {
    return base::Error("a reference attaches nothing");
  }
  void SetExcluded(uint32_t, bool) override {}
  std::vector<uint32_t> TakeHints() override { return {}; }
};

class NoGo final : public sources::ebpf::go::Attacher {
 public:
  base::Result<std::unique_ptr<Attachment>> Attach(const std::string&,
                                                   const sources::ebpf::go::Probe&) override {
    return base::Error("a reference attaches nothing");
  }
  void SetProcess(uint32_t, const sources::ebpf::go::Facts&) override {}
  std::vector<uint32_t> TakeHints() override { return {}; }
};

// What exists only once something has happened: a loss, TLS or Go that is captured.
std::string LateMetricsText() {
  base::SystemClock clock;
  base::MetricRegistry metrics;
  base::Ledger ledger;
  NoTls no_tls;
  NoGo no_go;
  sources::ebpf::tls::Discovery tls({}, {no_tls, clock, metrics});
  sources::ebpf::go::Discovery go({}, {no_go, clock, metrics});
  ledger.Row("stage", "unit").Lose(base::Loss::kShed, "busy", 1);
  return console::PrometheusText(metrics, ledger, 0);
}

std::string_view Take(std::string_view* text, char end) {
  const size_t n = text->find(end);
  std::string_view head = text->substr(0, n);
  text->remove_prefix(n == std::string_view::npos ? text->size() : n + 1);
  return head;
}

// `name{key="value",…} number`; no value of weft's labels holds an equals sign before a quote.
void AddLabels(std::string_view sample, Families* families) {
  const size_t brace = sample.find('{');
  if (brace == std::string_view::npos) return;
  Family& family = (*families)[std::string(sample.substr(0, brace))];
  std::string_view rest = sample.substr(brace + 1);
  for (size_t at; (at = rest.find("=\"")) != std::string_view::npos;) {
    family.labels.emplace(rest.substr(0, at));
    rest.remove_prefix(at + 2);
    Take(&rest, '"');
    if (!rest.starts_with(',')) return;
    rest.remove_prefix(1);
  }
}

void AddFamilies(std::string_view text, Families* families) {
  while (!text.empty()) {
    std::string_view line = Take(&text, '\n');
    const bool help = line.starts_with("# HELP "), type = line.starts_with("# TYPE ");
    if (!help && !type) {
      AddLabels(line, families);
      continue;
    }
    line.remove_prefix(7);
    Family& family = (*families)[std::string(Take(&line, ' '))];
    (help ? family.help : family.kind) = line;
  }
}

std::string Row(const std::string& name, const Family& family) {
  std::string labels;
  for (const std::string& label : family.labels) {
    labels += labels.empty() ? "`" : ", `";
    labels += label + "`";
  }
  return "| `" + name + "` | " + family.kind + " | " + labels + " | " + family.help + " |\n";
}

}  // namespace

base::Result<std::string> MetricsReference() {
  Families families;
  {
    Folder folder;
    if (!folder.ok()) return base::Error("no temporary folder can be made");
    const Settings settings = Everything(folder);
    Pipeline pipeline(settings);
    if (base::Status started = pipeline.Start(); !started.ok()) return started;
    AddFamilies(pipeline.MetricsText(), &families);
  }
  AddFamilies(LateMetricsText(), &families);
  std::string out =
      "# Metrics\n\nWritten from what the program registers (`weft metrics --reference`); a test "
      "fails when it is stale.\nServed at `console.admin.endpoint`, path `/metrics`; `weft "
      "metrics` prints those of a running weft. What was lost, and why: [loss.md](loss.md).\n";
  for (const Section& section : kSections) {
    out.append("\n## ").append(section.title).append("\n\n").append(section.text);
    out.append("\n\n| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (const auto& [name, family] : families) {
      if (name.starts_with(section.prefix)) out += Row(name, family);
    }
  }
  return out;
}

}  // namespace weft::app
