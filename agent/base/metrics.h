// Self-metrics: named counters and gauges that stages bump once per batch. The console renders the
// registry as Prometheus text. Names: weft_<room>_<noun>_<unit>_total; label values never come from
// user data.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace weft::base {

enum class MetricKind { kCounter, kGauge };
using Labels = std::map<std::string, std::string>;

// Threads: any.
class Metric {
 public:
  void Add(uint64_t n) { value_.fetch_add(static_cast<int64_t>(n), std::memory_order_relaxed); }
  void Set(int64_t v) { value_.store(v, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Owns: every metric it handed out. Threads: any; registration takes a lock, so do it at
// construction.
class MetricRegistry {
 public:
  // The metric of this name and labels, made on first use.
  Metric& Get(MetricKind kind, const std::string& name, const std::string& help,
              const Labels& labels = {});
  // A value computed when asked (sizes of tables, credit in use). `read` must outlive the
  // registry's readers.
  void Watch(MetricKind kind, const std::string& name, const std::string& help,
             const Labels& labels, std::function<double()> read);

  struct Sample {
    MetricKind kind;
    std::string name, help;
    Labels labels;
    double value;
  };
  // Sorted by name, then labels.
  std::vector<Sample> Snapshot() const;

 private:
  struct Entry {
    MetricKind kind;
    std::string name, help;
    Labels labels;
    Metric metric;
    std::function<double()> read;
  };
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

}  // namespace weft::base
