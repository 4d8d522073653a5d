#include "console/prometheus_text.h"

#include <dirent.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>
#include <sstream>

namespace weft::console {
namespace {

// The serializer writes help texts as they are.
std::string OneLine(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// Families in order of name; one family per name however often it is added to.
class Families {
 public:
  void Add(base::MetricKind kind, const std::string& name, const std::string& help,
           const base::Labels& labels, double value) {
    prometheus::MetricFamily& family = families_[name];
    if (family.name.empty()) {
      family.name = name;
      family.help = OneLine(help);
      family.type = kind == base::MetricKind::kCounter ? prometheus::MetricType::Counter
                                                       : prometheus::MetricType::Gauge;
    }
    prometheus::ClientMetric metric;
    for (const auto& [key, text] : labels) metric.label.push_back({key, text});
    metric.counter.value = value;
    metric.gauge.value = value;
    family.metric.push_back(std::move(metric));
  }
  std::string Text() {
    std::vector<prometheus::MetricFamily> list;
    for (auto& [name, family] : families_) list.push_back(std::move(family));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, list);
    return std::move(out).str();
  }

 private:
  std::map<std::string, prometheus::MetricFamily> families_;
};

constexpr auto kCounter = base::MetricKind::kCounter;
constexpr auto kGauge = base::MetricKind::kGauge;

void AddLedger(const base::Ledger& ledger, Families* out) {
  for (const base::LedgerRow* row : ledger.rows()) {
    base::Labels labels{{"stage", row->stage()}, {"unit", row->unit()}};
    out->Add(kCounter, "weft_ledger_in_total", "What came into the stage.", labels,
             static_cast<double>(row->in()));
    out->Add(kCounter, "weft_ledger_out_total", "What left the stage.", labels,
             static_cast<double>(row->out()));
    out->Add(kGauge, "weft_ledger_held", "What the stage holds now.", labels,
             static_cast<double>(row->held()));
    for (const auto& lost : row->lost()) {
      labels["verb"] = base::LossName(lost.verb);
      labels["reason"] = lost.reason;
      out->Add(kCounter, "weft_ledger_lost_total",
               "What the stage lost: shed (no room), rejected (bad data) or evicted (a table had "
               "to forget).",
               labels, static_cast<double>(lost.count));
    }
  }
  out->Add(kGauge, "weft_ledger_balanced",
           "1 when in = out + lost + held for every stage; only exact at rest.", {},
           ledger.Balanced() ? 1 : 0);
}

double ResidentBytes() {
  unsigned long long size = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  int fields = std::fscanf(file, "%llu %llu", &size, &resident);
  std::fclose(file);
  return fields == 2 ? static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE))
                     : 0;
}

double OpenFds() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  double count = -3;  // ".", ".." and the descriptor of this listing
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}

void AddProcess(double uptime, Families* out) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  const double cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  const double resident = ResidentBytes();
  out->Add(kCounter, "process_cpu_seconds_total", "User and system CPU time of this process.", {},
           cpu);
  out->Add(kGauge, "process_resident_memory_bytes", "Resident memory of this process.", {},
           resident);
  out->Add(kGauge, "process_open_fds", "Open file descriptors of this process.", {}, OpenFds());
  out->Add(kGauge, "process_start_time_seconds",
           "Start of this process, seconds since the Unix epoch.", {},
           std::floor(static_cast<double>(std::time(nullptr)) - uptime));
  out->Add(kCounter, "otelcol_process_uptime", "Seconds since the start.", {}, uptime);
  out->Add(kCounter, "otelcol_process_cpu_seconds", "Same as process_cpu_seconds_total.", {}, cpu);
  out->Add(kGauge, "otelcol_process_memory_rss", "Same as process_resident_memory_bytes.", {},
           resident);
}

}  // namespace

std::string PrometheusText(const base::MetricRegistry& registry, const base::Ledger& ledger,
                           double uptime_seconds) {
  Families families;
  for (const auto& sample : registry.Snapshot()) {
    families.Add(sample.kind, sample.name, sample.help, sample.labels, sample.value);
  }
  AddLedger(ledger, &families);
  AddProcess(uptime_seconds, &families);
  return families.Text();
}

}  // namespace weft::console
