// Attacher: the kernel's side of TLS capture as discovery sees it: put a probe into a file, take a
// probe out, leave a process alone, hear which processes deserve a look. The real one drives
// bpf/probes/tls.bpf.c; tests have their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sources/ebpf/tls/families.h"

namespace weft::sources::ebpf::tls {

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
  virtual void SetExcluded(uint32_t pid, bool excluded) = 0;
  // Processes that have started or spoken TLS since the last call.
  virtual std::vector<uint32_t> TakeHints() = 0;
};

}  // namespace weft::sources::ebpf::tls
