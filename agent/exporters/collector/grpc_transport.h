// The collector exporter's Transport over the agent's own gRPC client.
#pragma once

#include <memory>

#include "exporters/collector/open.h"
#include "exporters/collector/transport.h"
#include "net/grpc_channel.h"

namespace weft::exporters::collector {

// Connects at once and keeps doing so. Threads: the loop's. Owns: its connection; `loop` outlives
// it.
std::unique_ptr<Transport> NewGrpcTransport(net::EventLoop& loop,
                                            net::GrpcChannel::Options options);

}  // namespace weft::exporters::collector
