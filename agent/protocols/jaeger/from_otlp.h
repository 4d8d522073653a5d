// From OTLP to Jaeger's api_v2 (model.proto): one encoded Span message per span, each with its
// Process inside, as the Jaeger ingester reads them from Kafka. By the rules of the OpenTelemetry
// specification for Jaeger; it is the way back of what transcode.cc does.
//
//   trace_id 1, span_id 2, operation_name 3, references 4, flags 5, start_time 6, duration 7, tags
//   8, logs 9, process 10
#pragma once

#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/ids.h"

namespace weft::protocols::jaeger {

// Gets one encoded Span; the view lives until it returns.
using SpanUse = std::function<void(const base::TraceId& trace, base::ByteView span)>;

// Calls `use` for every span of an encoded OTLP request. Threads: any; no state.
// Fails: false for bytes that otlp::Index would refuse; `use` may have been called before.
// Cost: decodes the request; for an exporter that is asked for this format only.
[[nodiscard]] bool ForEachJaegerSpan(base::ByteView request, const SpanUse& use);

// How Jaeger writes a trace id as a Kafka key: 16 hex digits while the upper half is zero, else 32.
std::string JaegerTraceKey(const base::TraceId& trace);

}  // namespace weft::protocols::jaeger
