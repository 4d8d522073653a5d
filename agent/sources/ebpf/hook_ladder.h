// The hook ladder: the kernel hooks that can carry the data of sends and receives, best first. The
// first that loads and attaches is used; never the kernel's version decides. A rung is one object
// of bpf/probes and one row of the table in hook_ladder.cc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sources/ebpf/object.h"

namespace weft::sources::ebpf {

// What became of one rung; `reason` says why it is not in use, and is empty for the one that is.
struct RungReport {
  std::string feature;  // "capture.hook.sock_tracepoint"
  std::string name;     // "tp_btf sock_*_length"
  std::string reason;
};

struct Ladder {
  std::unique_ptr<Object> in_use;  // attached; null when every rung was refused
  std::vector<RungReport> rungs;   // all, in order
};

// Fails: never; an empty `in_use` and the reasons of the rungs say it. Cost: loads and verifies the
// programs of every rung down to the one that works.
Ladder Climb(const weft_settings& settings, const Object& owner);

// All rungs, refused for the one reason that holds for each.
std::vector<RungReport> RefuseAll(const base::Status& why);

// An error that names those of `tracepoints` that the kernel's BTF does not have.
base::Status CheckTracepoints(const std::vector<std::string>& tracepoints,
                              const std::string& kernels_that_have_them);

}  // namespace weft::sources::ebpf
