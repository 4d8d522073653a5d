// The rungs of the hook ladder: for each, which BPF object it is, what the kernel must have for it,
// how it is attached, and what it cannot see. Also the questions to the kernel's own type
// information that decide which of an object's programs are loaded at all.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "sources/ebpf/object.h"

namespace weft::sources::ebpf {

// Where the programs keep the state of a socket: see bpf/lib/flavour.h.
enum class StateIn { kSockets, kHashes };

struct Rung {
  const char* hook;     // of the configuration: "fentry"
  const char* feature;  // of `weft doctor`
  const char* name;
  const char* blind;  // what it cannot see; empty: nothing
  ElfBytes bytes;
  StateIn state_in;
  base::Status (*check)();           // asked first, because the load's own errors do not say it
  base::Status (*prepare)(Object&);  // before the load
  base::Status (*attach)(Object&);   // all or nothing
};

// Best first.
std::span<const Rung> Rungs();

// An error that names those of `tracepoints` that the kernel's BTF does not have.
base::Status CheckTracepoints(const std::vector<std::string>& tracepoints,
                              const std::string& kernels_that_have_them);

}  // namespace weft::sources::ebpf
