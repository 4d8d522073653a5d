// Opening a UDP port for datagram receivers.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace weft::net {

// A non-blocking socket, bound, that reports kernel drops (SO_RXQ_OVFL). The receive buffer is
// forced to `receive_buffer_bytes` where privileges allow, else as far as net.core.rmem_max does; 0
// leaves the default. `port` (optional) receives the bound port. The fd belongs to the caller.
base::Result<int> BindUdp(std::string_view endpoint, int receive_buffer_bytes, uint16_t* port);

}  // namespace weft::net
