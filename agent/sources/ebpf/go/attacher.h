// Attacher: the kernel's side of Go capture as discovery sees it: put a probe into a file, take a
// probe out, say what a process is, hear which processes have started. The real one drives
// bpf/probes/go.bpf.c; tests have their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sources/ebpf/go/binary.h"

namespace weft::sources::ebpf::go {

class Attacher {
 public:
  // A probe that is in place; destruction takes it out.
  class Attachment {
   public:
    virtual ~Attachment() = default;
  };

  virtual ~Attacher() = default;
  // Fails: with the kernel's reason; nothing is attached then.
  virtual base::Result<std::unique_ptr<Attachment>> Attach(const std::string& path,
                                                           const Probe& probe) = 0;
  virtual void SetProcess(uint32_t pid, const Facts& facts) = 0;
  // Processes that have started since the last call.
  virtual std::vector<uint32_t> TakeHints() = 0;
};

}  // namespace weft::sources::ebpf::go
