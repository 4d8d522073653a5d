// Ring: which destination a trace belongs to, by consistent hashing: a change of the members moves
// only the traces of those that came or went. The places are those of the loadbalancing exporter of
// the OpenTelemetry Collector (100 points a member on a circle of 36,000, CRC-32 of the endpoint's
// name and of the trace id), so that agents and Collectors in front of the same backends agree
// where a trace goes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace weft::exporters::collector {

// Threads: any; immutable. Cost of Owner: a CRC over 16 bytes and one binary search.
class Ring {
 public:
  Ring() = default;
  // `members`: name as "host:port" and the number that Owner gives back.
  explicit Ring(std::vector<std::pair<std::string, uint32_t>> members);

  bool empty() const { return points_.empty(); }
  // Not to be asked of an empty ring.
  uint32_t Owner(const base::TraceId& trace) const;

 private:
  struct Point {
    uint32_t place = 0, member = 0;
  };
  std::vector<Point> points_;  // by place, one a place
};

}  // namespace weft::exporters::collector
