#include "workload/processes.h"

#include <unistd.h>

#include "workload/proc_files.h"
#include "workload/service_name.h"

namespace weft::workload {
namespace {

constexpr size_t kMaxCmdline = 16 << 10, kMaxEnvironment = 128 << 10;
constexpr uint64_t kGoneForNs = 1'000'000'000;

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "/usr/bin/app (deleted)": a program replaced on disk keeps its name.
std::string WithoutDeleted(std::string path) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

}  // namespace

Processes::Processes(ProcessesOptions options, base::MetricRegistry& metrics,
                     const base::Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      ns_per_tick_(1'000'000'000ull / static_cast<uint64_t>(sysconf(_SC_CLK_TCK))),
      known_(metrics.Get(base::MetricKind::kGauge, "weft_workload_known_processes",
                         "Processes in the cache.")),
      evicted_(metrics.Get(base::MetricKind::kCounter, "weft_workload_evicted_processes_total",
                           "Processes forgotten because the cache was full.")),
      gone_(metrics.Get(base::MetricKind::kCounter, "weft_workload_gone_processes_total",
                        "Processes that had ended before they could be read.")) {}

model::ProcessRef Processes::Find(const model::ProcessKey& key, std::string_view comm) {
  if (auto it = entries_.find(key); it != entries_.end()) {
    if (it->second.expires_ns > clock_.MonotonicNs()) {
      ages_.splice(ages_.begin(), ages_, it->second.age);
      return it->second.process;
    }
    ages_.erase(it->second.age);
    entries_.erase(it);
  }
  bool found = false;
  model::ProcessRef process = Read(key, comm, &found);
  if (!found) gone_.Add(1);
  Remember(key, process, found);
  return process;
}

void Processes::Remember(const model::ProcessKey& key, const model::ProcessRef& process,
                         bool found) {
  if (entries_.size() >= options_.capacity) {
    entries_.erase(ages_.back());
    ages_.pop_back();
    evicted_.Add(1);
  }
  ages_.push_front(key);
  // Without a start time the answer holds for a moment only: the pid may be reused.
  const bool lasting = found && key.start_ns != 0;
  entries_[key] = {process, lasting ? UINT64_MAX : clock_.MonotonicNs() + kGoneForNs,
                   ages_.begin()};
  known_.Set(static_cast<int64_t>(entries_.size()));
}

model::ProcessRef Processes::Read(const model::ProcessKey& key, std::string_view comm,
                                  bool* found) const {
  auto process = std::make_shared<model::Process>();
  process->key = key;
  const std::string folder = options_.proc_root + "/" + std::to_string(key.pid) + "/";
  std::optional<uint64_t> ticks = StartTicks(ReadBounded(folder + "stat", 4096));
  // The kernel rounds down to ticks; one tick of slack absorbs it.
  if (!ticks || (key.start_ns != 0 && (*ticks + 1 < key.start_ns / ns_per_tick_ ||
                                       *ticks > key.start_ns / ns_per_tick_ + 1))) {
    process->executable_name = comm;
    process->service_name = comm.empty() ? "unknown_service" : comm;
    return process;
  }
  *found = true;
  if (key.start_ns == 0) process->key.start_ns = *ticks * ns_per_tick_;
  process->executable_name = BaseName(WithoutDeleted(ReadLink(folder + "exe")));
  if (process->executable_name.empty()) {
    std::string comm = ReadBounded(folder + "comm", 64);
    process->executable_name = comm.substr(0, comm.find('\n'));
  }
  const std::string cmdline = ReadBounded(folder + "cmdline", kMaxCmdline);
  const std::string environment = ReadBounded(folder + "environ", kMaxEnvironment);
  ServiceIdentity identity = Identify({process->executable_name, SplitNul(cmdline),
                                       SplitNul(environment), ReadLink(folder + "cwd")});
  process->service_name = std::move(identity.service_name);
  process->resource = std::move(identity.resource);
  return process;
}

}  // namespace weft::workload
