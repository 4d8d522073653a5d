#include "base/metrics.h"

#include <algorithm>
#include <tuple>

namespace weft::base {

Metric& MetricRegistry::Get(MetricKind kind, const std::string& name, const std::string& help,
                            const Labels& labels) {
  std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (!entry.read && entry.name == name && entry.labels == labels) return entry.metric;
  }
  Entry& entry = entries_.emplace_back();
  entry.kind = kind;
  entry.name = name;
  entry.help = help;
  entry.labels = labels;
  return entry.metric;
}

void MetricRegistry::Watch(MetricKind kind, const std::string& name, const std::string& help,
                           const Labels& labels, std::function<double()> read) {
  std::lock_guard lock(mutex_);
  Entry& entry = entries_.emplace_back();
  entry.kind = kind;
  entry.name = name;
  entry.help = help;
  entry.labels = labels;
  entry.read = std::move(read);
}

std::vector<MetricRegistry::Sample> MetricRegistry::Snapshot() const {
  std::vector<Sample> out;
  {
    std::lock_guard lock(mutex_);
    out.reserve(entries_.size());
    for (const Entry& entry : entries_) {
      double value = entry.read ? entry.read() : static_cast<double>(entry.metric.value());
      out.push_back({entry.kind, entry.name, entry.help, entry.labels, value});
    }
  }
  std::sort(out.begin(), out.end(), [](const Sample& a, const Sample& b) {
    return std::tie(a.name, a.labels) < std::tie(b.name, b.labels);
  });
  return out;
}

}  // namespace weft::base
