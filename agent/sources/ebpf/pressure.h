// Pressure: says what gives way in the kernel while the agent cannot keep up, and whose records are
// lost there. The programs decide (bpf/lib/pressure.h); this reads their counters and makes a
// state, a row of `weft doctor` and metrics of them. Names of containers come from cgroup paths and
// are few: the first that lose something, then "other".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "sources/ebpf/capture.h"
#include "sources/ebpf/programs.h"

namespace weft::sources::ebpf {

// Path of a cgroup below the root of the hierarchy, or "id:N" when it cannot be told.
std::string CgroupPath(uint64_t id);

// Threads: one.
class Pressure {
 public:
  enum class State : uint8_t { kNone, kShortHeads, kSampling };
  static constexpr uint64_t kShownNs =
      10'000'000'000;  // a state stands so long after its last sign
  static constexpr size_t kNamedCgroups = 16;

  using PathOf = std::function<std::string(uint64_t id)>;
  using DropsOf = std::function<std::vector<CgroupDrops>()>;
  Pressure(base::MetricRegistry& metrics, PathOf path_of);

  // `now` is what the kernel side has counted since the start. `drops_of` is asked only when
  // records were dropped since the last look.
  void Look(uint64_t now_ns, const KernelCounters& now, const DropsOf& drops_of);

  State state() const { return state_; }
  FeatureReport Row() const;

 private:
  void Blame(const std::vector<CgroupDrops>& cgroups);
  const std::string& LabelOf(uint64_t id);

  base::MetricRegistry& metrics_;
  const PathOf path_of_;
  base::Metric& level_;
  base::Metric& short_heads_;
  State state_ = State::kNone;
  uint64_t seen_ns_ = 0;  // the last sign of `state_`
  KernelCounters last_;
  uint64_t last_dropped_ = 0;
  std::unordered_map<uint64_t, std::vector<uint64_t>> last_drops_;  // by cgroup, as last read
  std::map<uint64_t, std::string> labels_;
};

}  // namespace weft::sources::ebpf
