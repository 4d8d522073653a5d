// One load over one transport: what the transports share, and their three functions.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "commands.h"
#include "histogram.h"
#include "protocol.h"

namespace weft::bench {

using SteadyClock = std::chrono::steady_clock;

struct Totals {
  uint64_t sent = 0, acknowledged = 0, refused = 0, errors = 0;
  Histogram latency;  // from the moment a request was due to its acknowledgement
};

// When the n-th request is due, and when to stop; the clock runs from its making, so what the
// load needs is prepared before. Threads: any.
class Schedule {
 public:
  explicit Schedule(const LoadOptions& options) : options_(options), start_(SteadyClock::now()) {}
  bool Over(uint64_t sent) const {
    if (options_.requests > 0) return sent >= options_.requests;
    return Seconds() >= options_.duration_seconds;
  }
  // False as long as a load by number of requests may wait for a receiver that refuses.
  bool TimeIsUp() const {
    return Seconds() >= (options_.requests > 0 ? kLongestSeconds : options_.duration_seconds);
  }
  // Now when there is no rate.
  SteadyClock::time_point Due(uint64_t n) const {
    if (options_.rate <= 0) return SteadyClock::now();
    return start_ + std::chrono::duration_cast<SteadyClock::duration>(
                        std::chrono::duration<double>(static_cast<double>(n) / options_.rate));
  }
  double Seconds() const {
    return std::chrono::duration<double>(SteadyClock::now() - start_).count();
  }

 private:
  static constexpr double kLongestSeconds = 60;
  const LoadOptions& options_;
  const SteadyClock::time_point start_;
};

// A prepared request for each one in flight; a few samples are made and cycled through.
std::vector<Payload> Prepare(const LoadOptions& options);
// What the n-th request is stamped with: runs with different seeds share no trace.
uint64_t Serial(const LoadOptions& options, uint64_t n);

// `out` becomes the compressed form of `bytes`, as options.compression says.
void Compress(const LoadOptions& options, const std::string& bytes, base::ByteBuffer* out);

// A receiver that refuses ("come again") gets the same request again when there is no rate; at a
// rate the request is given up.
//
// One connection, `in_flight` calls open, one thread.
Totals RunGrpcLoad(const LoadOptions& options, std::vector<Payload> payloads,
                   const Schedule& schedule);
// HTTP/1.1: a connection and a thread for every request in flight, keep-alive.
Totals RunHttpLoad(const LoadOptions& options, std::vector<Payload> payloads,
                   const Schedule& schedule);
// Nobody acknowledges; what counts is what the receiver's own counters and the sink say.
Totals RunUdpLoad(const LoadOptions& options, std::vector<Payload> payloads,
                  const Schedule& schedule);

}  // namespace weft::bench
