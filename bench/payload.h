// Prepared telemetry: requests of realistic spans, encoded once and replayed. Written without
// weft's own codecs, so that a mistake there cannot hide here. Every span of a payload has its own
// id; Stamp() makes a replayed request new.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weft::bench {

struct Shape {
  uint32_t spans_per_request = 512;
  uint32_t bytes_per_span = 500;  // aimed at by the length of one attribute
  uint32_t services = 1;          // distinct service names, round robin over the prepared requests
};

// One encoded request and where its trace ids are.
struct Payload {
  std::string bytes;
  uint32_t spans = 0;
  std::vector<uint32_t> trace_id_offsets;  // of the eight last bytes of each trace id

  // Writes `serial` into every trace id: no two stamped requests share a trace.
  void Stamp(uint64_t serial);
};

// An ExportTraceServiceRequest; `seed` varies names and ids.
Payload OtlpPayload(const Shape& shape, uint32_t seed);
// An Agent.emitBatch datagram (thrift compact, or binary), as Jaeger clients send it.
Payload JaegerPayload(const Shape& shape, uint32_t seed, bool compact);

}  // namespace weft::bench
