// A batch as Kafka messages: one for each trace in it (`otlp_proto`, an encoded
// ExportTraceServiceRequest), or one for each span (`jaeger_proto`, an encoded api_v2 Span). The
// key is the trace id in hex, so that a trace stays in one partition.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::exporters::kafka {

enum class Encoding : uint8_t { kOtlpProto, kJaegerProto };

struct Message {
  std::string key;
  base::ByteBuffer payload;
  uint64_t spans = 0;
};

// The live spans of `batch`. A trace whose part of the batch takes more than `max_bytes` goes span
// by span; a single span is not cut. Empty for bytes that cannot be read. Each message repeats the
// resource of its spans: what comes after `max_total` bytes of them is left out.
std::vector<Message> MakeMessages(const model::OtlpBatch& batch, Encoding encoding,
                                  uint64_t max_bytes, uint64_t max_total);

}  // namespace weft::exporters::kafka
