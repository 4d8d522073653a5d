// Processes: who is behind a pid. Reads /proc once for every process and keeps the answer; the
// identity is (pid, start time), so a pid that is used again is asked about again (case F46).
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/metrics.h"
#include "model/lookup.h"

namespace weft::workload {

struct ProcessesOptions {
  std::string proc_root = "/proc";
  size_t capacity = 4096;  // processes remembered; the least recently asked for is forgotten
};

// Threads: one. Cost: a hash hit; about 50 µs of /proc reads for a process not yet known.
class Processes final : public model::WorkloadLookup {
 public:
  Processes(ProcessesOptions options, base::MetricRegistry& metrics, const base::Clock& clock);

  // A start time of 0 means "whoever has this pid now".
  model::ProcessRef Find(const model::ProcessKey& key, std::string_view comm) override;

 private:
  struct Entry {
    model::ProcessRef process;
    uint64_t expires_ns;  // a process that was gone already is asked about again later; UINT64_MAX
                          // otherwise
    std::list<model::ProcessKey>::iterator age;
  };

  model::ProcessRef Read(const model::ProcessKey& key, std::string_view comm, bool* found) const;
  void Remember(const model::ProcessKey& key, const model::ProcessRef& process, bool found);

  const ProcessesOptions options_;
  const base::Clock& clock_;
  const uint64_t ns_per_tick_;
  base::Metric &known_, &evicted_, &gone_;
  std::unordered_map<model::ProcessKey, Entry, model::ProcessKeyHash> entries_;
  std::list<model::ProcessKey> ages_;  // most recently asked for first
};

}  // namespace weft::workload
