// docs/metrics.md: every metric that /metrics can show, its labels and its meaning. It is read off
// a pipeline that has everything switched on and is started, on ports of the kernel's choice and in
// a folder of its own, so it cannot say anything that the program does not.
#pragma once

#include <string>

#include "base/result.h"

namespace weft::app {

// Fails: when that pipeline cannot be started. Needs no root and no peer.
base::Result<std::string> MetricsReference();

}  // namespace weft::app
