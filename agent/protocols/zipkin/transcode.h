// Zipkin's four encodings, straight into OTLP: one request becomes the bytes of one
// ExportTraceServiceRequest. A span is gathered in one reused struct of views and written at once;
// spans of one service stand together. otlp::Index then makes an OtlpBatch of it. The mapping is
// that of the OpenTelemetry Collector, with the differences listed in the README.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weft::protocols::zipkin {

enum class Format : uint8_t {
  kJson2,    // /api/v2/spans, a JSON array
  kProto2,   // /api/v2/spans, zipkin.proto3.ListOfSpans
  kJson1,    // /api/v1/spans, a JSON array
  kThrift1,  // /api/v1/spans, a list of zipkincore.Span in thrift binary
};

enum class TranscodeStatus : uint8_t {
  kDone,
  kMalformed,
  kWrongProtocol,  // the other encoding: a client that sends to the wrong port
  kUnknownMethod,
  kTooExpanded,  // OTLP would be more than kMaxExpansion times as large
};
// As a reason in the ledger: "malformed", ….
std::string_view StatusName(TranscodeStatus status);

// What is written is at most this many times as large as the input, plus kFreeBytes.
inline constexpr uint64_t kMaxExpansion = 4;
inline constexpr uint64_t kFreeBytes = 64 << 10;

struct Options {
  // network.local.address, network.peer.address, … instead of net.host.ip, net.peer.ip, ….
  bool stable_names = false;
};

struct Report {
  uint64_t spans = 0;    // written
  uint64_t bad_ids = 0;  // left out, because their ids are missing, zero or no hex (case F39)
  std::string error;     // of kMalformed, readable
};

// Appends to `out`. Fails: every other status than kDone leaves `out` as long as it was. Threads:
// any; a JSON parser per thread. Cost: memory up to 3× the input besides the output.
[[nodiscard]] TranscodeStatus Transcode(base::ByteView request, Format format,
                                        const Options& options, base::ByteBuffer* out,
                                        Report* report);

// The same for one datagram with a call of Agent.emitZipkinBatch, in thrift compact or binary.
[[nodiscard]] TranscodeStatus TranscodeCall(base::ByteView datagram, bool compact,
                                            const Options& options, base::ByteBuffer* out,
                                            Report* report);

}  // namespace weft::protocols::zipkin
