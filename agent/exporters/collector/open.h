// The collector exporter as the application makes it: on the agent's own clients and event loop.
#pragma once

#include <memory>

#include "base/result.h"
#include "exporters/collector/collector.h"

namespace weft::net {
class EventLoop;
}

namespace weft::exporters::collector {

// An exporter that connects to all of `options.endpoint` and `options.endpoints` (not both empty)
// at once and keeps doing so; names behind dns:// are resolved into all of their addresses, again
// and again. Threads: the loop's. Owns: its connections; `loop` outlives it. Fails: an endpoint, a
// header or a combination of settings that cannot be.
base::Result<std::unique_ptr<Collector>> Open(net::EventLoop& loop, Options options, Deps deps);

}  // namespace weft::exporters::collector
