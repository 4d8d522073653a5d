// The collector exporter on the agent's own gRPC client and event loop.
#pragma once

#include <memory>

#include "base/result.h"
#include "exporters/collector/collector.h"

namespace weft::net {
class EventLoop;
}

namespace weft::exporters::collector {

// An exporter that connects to `options.endpoint` (not empty) at once and keeps doing so.
// Threads: the loop's. Owns: its connection; `loop` outlives it.
// Fails: an endpoint or a header that cannot be read.
base::Result<std::unique_ptr<Collector>> Open(net::EventLoop& loop, Options options, Deps deps);

}  // namespace weft::exporters::collector
