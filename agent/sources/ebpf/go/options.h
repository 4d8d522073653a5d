// The settings of Go capture.
#pragma once

#include <string>
#include <vector>

#include "base/config_view.h"

namespace weft::sources::ebpf::go {

// The block `capture.go`.
struct Options {
  bool enabled = true;
  std::vector<std::string> exclude;  // programs to leave alone: a path, or the last part of one
};
// The fields point into `options`, which must outlive the block.
base::ConfigBlock Describe(Options& options);

}  // namespace weft::sources::ebpf::go
