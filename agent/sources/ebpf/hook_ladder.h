// The hook ladder: the kernel hooks that can carry the data of sends and receives, best first. The
// first that loads and attaches is used; never the kernel's version decides. A rung is one object
// of bpf/probes and one row of the table in rungs.cc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sources/ebpf/object.h"
#include "sources/ebpf/rungs.h"

namespace weft::sources::ebpf {

// What became of one rung; `reason` says why it is not in use, and is empty for the one that is.
struct RungReport {
  std::string feature;  // "capture.hook.sock_tracepoint"
  std::string name;     // "tp_btf sock_*_length"
  std::string blind;    // what it cannot see; empty: nothing
  std::string reason;
};

struct Ladder {
  std::unique_ptr<Object> in_use;  // attached; null when every rung was refused
  const Rung* rung = nullptr;      // of `in_use`
  StateIn state_in = StateIn::kSockets;
  std::vector<RungReport> rungs;  // all, in order
};

// The loaded object of conn.bpf.c that keeps state so. It may destroy the one that it gave before.
using OwnerOf = std::function<base::Result<const Object*>(StateIn)>;

// `hook` is the name of the rung that must be used, or "auto".
// Fails: never; an empty `in_use` and the reasons of the rungs say it. Cost: loads and verifies the
// programs of every rung down to the one that works.
Ladder Climb(std::string_view hook, const weft_settings& settings, const OwnerOf& owner_of);

// All rungs, refused for the one reason that holds for each.
std::vector<RungReport> RefuseAll(const base::Status& why);

}  // namespace weft::sources::ebpf
