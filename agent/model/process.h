// Process: who a span belongs to. Built once by `workload`, shared, immutable. Identity is (pid,
// start time): a pid that is used again is another Process (case F46).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace weft::model {

// Pid in the agent's pid namespace and the start time of its main thread (CLOCK_BOOTTIME ns, as
// task->start_boottime).
struct ProcessKey {
  uint32_t pid = 0;
  uint64_t start_ns = 0;
  bool operator==(const ProcessKey&) const = default;
};

struct ProcessKeyHash {
  size_t operator()(const ProcessKey& k) const {
    return (k.pid * 0x9E3779B97F4A7C15ull) ^ k.start_ns;
  }
};

struct Process {
  ProcessKey key;
  std::string service_name;     // by the process-level rules of workload; never empty
  std::string executable_name;  // base name of /proc/PID/exe, or comm
  // Further resource attributes of the process, string values, in output order.
  std::vector<std::pair<std::string, std::string>> resource;
};

using ProcessRef = std::shared_ptr<const Process>;

}  // namespace weft::model
