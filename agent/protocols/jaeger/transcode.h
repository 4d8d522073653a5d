// Jaeger's thrift, straight into OTLP: one emitBatch datagram becomes the bytes of one
// ExportTraceServiceRequest, with no span object in between. The results of several datagrams may
// stand behind one another in one buffer (that is their union); otlp::Index then makes an OtlpBatch
// of them. The mapping is that of the OpenTelemetry Collector, with the additions listed in the
// README.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace weft::protocols::jaeger {

enum class Encoding : uint8_t { kCompact, kBinary };  // thrift's; by port: 6831, 6832

enum class TranscodeStatus : uint8_t {
  kDone,
  kMalformed,      // not thrift, cut short, or a required field is missing
  kWrongProtocol,  // the other encoding: a client that sends to the wrong port
  kZipkinBatch,    // emitZipkinBatch, the other method of the agent's service
  kUnknownMethod,
  kTooExpanded,  // OTLP would be more than kMaxExpansion times as large
};
// As a reason in the ledger: "malformed", "wrong_protocol", "emit_zipkin_batch", ….
std::string_view StatusName(TranscodeStatus status);

// What is written is at most this many times as large as the datagram, plus kFreeBytes.
inline constexpr uint64_t kMaxExpansion = 4;
inline constexpr uint64_t kFreeBytes = 1024;

// What the sending client says about itself: its own losses, as totals since its start. Views into
// the datagram.
struct ClientStats {
  bool present = false;
  std::string_view client_uuid;  // process tag "client-uuid"; empty when absent
  int64_t sequence = 0;          // of the batch
  int64_t full_queue = 0, too_large = 0, send_failed = 0;
};

struct DatagramReport {
  uint64_t spans = 0;  // written; those with zero ids too, Index finds and counts them
  ClientStats client;
};

// Appends to `out`. Fails: every other status leaves `out` as long as it was and `spans` 0.
// Threads: any. Cost: under 250 ns a span; no allocation per span when `out` has room.
[[nodiscard]] TranscodeStatus Transcode(base::ByteView datagram, Encoding encoding,
                                        base::ByteBuffer* out, DatagramReport* report);

// The same for one Batch in thrift binary with no call around it, as it is posted to port 14268.
// `out` grows as far as is needed only.
[[nodiscard]] TranscodeStatus TranscodeBatch(base::ByteView batch, base::ByteBuffer* out,
                                             DatagramReport* report);

// The same for a PostSpansRequest of jaeger.api_v2 (port 14250). Spans with a process of their own
// get a ResourceSpans of their own. Ids of a wrong length count as missing.
[[nodiscard]] TranscodeStatus TranscodeProto(base::ByteView request, base::ByteBuffer* out,
                                             DatagramReport* report);

}  // namespace weft::protocols::jaeger
