// A blocking HTTP GET for the command line (weft doctor, weft tail), and how endpoints are written.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weft::net {

struct HttpReply {
  int status = 0;
  std::string content_type, body;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  // The first value of that name; empty when absent.
  std::string Header(std::string_view lower_name) const;
};

// Threads: any; blocks up to `timeout` in all. Replies up to 64 MiB.
base::Result<HttpReply> HttpGet(const std::string& endpoint, const std::string& target,
                                std::chrono::milliseconds timeout);

// "127.0.0.1:4317", "[::1]:4317", "host:4317", ":4317" (host is then empty: any address), each
// perhaps behind http:// or grpc:// and before a "/".
base::Result<std::pair<std::string, uint16_t>> SplitHostPort(std::string_view endpoint);

}  // namespace weft::net
