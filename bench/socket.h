// Blocking sockets for loads: one place that connects.
#pragma once

#include <string>

namespace weft::bench {

// A connected socket to "host:port" (an IPv4 address), SOCK_STREAM without Nagle or SOCK_DGRAM; -1
// when that failed.
int Connect(const std::string& endpoint, int type);

}  // namespace weft::bench
