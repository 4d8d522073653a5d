// Prepared telemetry: requests of realistic spans, encoded once and replayed. Written without
// weft's own codecs, so that a mistake there cannot hide here. A sample is made from a shape and a
// seed, then encoded for one protocol; Stamp() makes a replayed request new.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace weft::bench {

// What the spans look like. A YAML file may set each of these (weft-bench load --shape).
struct Shape {
  uint32_t spans_per_request = 512;
  uint32_t bytes_per_span = 500;  // encoded as OTLP; reached by the length of one attribute
  uint32_t services = 1;          // distinct service names, round robin over the prepared requests
  uint32_t depth = 4;             // spans from a root to a leaf
  uint32_t attributes = 6;        // a span, beside the filling one
  // Distinct texts of the filling attribute; 0: every span has its own, which is hard to compress.
  uint32_t notes = 0;
};

struct SampleSpan {
  uint64_t id = 0, parent = 0;  // parent 0: a root
  std::string name;
  uint32_t kind = 0;  // as OTLP counts: 1 internal, 2 server, 3 client
  uint64_t start_ns = 0, duration_ns = 0;
  std::vector<std::pair<std::string, std::string>> attributes;
};

// One request: spans of one trace and one service.
struct Sample {
  std::string service;
  uint64_t trace_high = 0, trace_low = 0;
  std::vector<SampleSpan> spans;
};
Sample MakeSample(const Shape& shape, uint32_t seed);

// Trace ids are in [2^62, 2^63): their zigzag varint is always ten bytes, so that every encoding
// can be stamped in place.
uint64_t StampedId(uint64_t serial);

// How a format writes the low half of a trace id.
enum class IdForm : uint8_t { kBigEndian, kHex, kZigzag };

struct Payload {
  std::string bytes;
  uint32_t spans = 0;
  IdForm form = IdForm::kBigEndian;
  std::vector<uint32_t> id_offsets;

  // Finds every place of `trace_low`.
  void FindIds(uint64_t trace_low);
  // No two serials share a trace. Cost: eight to sixteen bytes a span.
  void Stamp(uint64_t serial);
};

// One function per format.
Payload OtlpProto(const Sample& sample);      // ExportTraceServiceRequest
Payload OtlpJson(const Sample& sample);       // the same as JSON
Payload JaegerCompact(const Sample& sample);  // Agent.emitBatch datagram
Payload JaegerBinary(const Sample& sample);   // the same in thrift binary
Payload JaegerHttp(const Sample& sample);     // a bare Batch in thrift binary
Payload JaegerProto(const Sample& sample);    // api_v2 PostSpansRequest
Payload ZipkinJson(const Sample& sample);     // v2 list

}  // namespace weft::bench
