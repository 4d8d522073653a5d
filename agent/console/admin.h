// AdminApi: the answers of the admin port, as a function from request to response: health, metrics,
// the ledger, the status and the tail. Knows nothing of sockets.
#pragma once

#include "console/console.h"
#include "net/listener.h"

namespace weft::console {

// Threads: one (the console's). Owns: nothing; `deps` and `tail` must outlive it.
class AdminApi {
 public:
  AdminApi(const Deps& deps, TailBuffer& tail);
  net::Response Answer(const net::Request& request);

 private:
  net::Response ServerStatus() const;
  net::Response Ready() const;
  net::Response Ledger(const net::Request& request) const;
  net::Response Tail(const net::Request& request);

  const Deps& deps_;
  TailBuffer& tail_;
  const uint64_t started_ns_;  // monotonic
};

// A duration as Go prints it: "1h2m3.5s", "12.5ms".
std::string GoDuration(uint64_t ns);
// RFC 3339 in UTC with nanoseconds: "2024-05-01T12:00:00.123456789Z".
std::string Rfc3339(uint64_t unix_ns);

}  // namespace weft::console
