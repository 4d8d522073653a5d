// The collector exporter's Transport over OTLP/HTTP with protobuf bodies.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "exporters/collector/transport.h"
#include "net/http_channel.h"

namespace weft::exporters::collector {

// `paths`: of traces, metrics, logs and profiles, behind the endpoint's own path.
// Threads: the loop's. Owns: its connections; `loop` outlives it.
std::unique_ptr<Transport> NewHttpTransport(net::EventLoop& loop, net::HttpChannel::Options options,
                                            std::array<std::string, 4> paths);

}  // namespace weft::exporters::collector
