// The settings of TLS capture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config_view.h"

namespace weft::sources::ebpf::tls {

// The block `capture.tls`.
struct Options {
  bool enabled = true;
  std::vector<std::string> exclude;  // programs to leave alone: a path, or the last part of one
  int64_t max_sessions = 16384;  // TLS sessions remembered; the least recently used is forgotten
};
// The fields point into `options`, which must outlive the block.
base::ConfigBlock Describe(Options& options);

}  // namespace weft::sources::ebpf::tls
