// Splitting a batch by trace: each part is an encoded request with the spans of one trace, in their
// own envelopes, so that the parts of a trace, put together, are that trace.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "model/otlp_batch.h"

namespace weft::exporters::store {

struct SpanKey {
  base::SpanId id;
  // Of one id a client and a server may both speak (shared spans, as B3 has them); a repeated span
  // has the same kind.
  model::SpanKind kind = model::SpanKind::kUnspecified;
  bool operator==(const SpanKey&) const = default;
};
struct SpanKeyHash {
  size_t operator()(const SpanKey& k) const {
    return base::IdHash{}(k.id) ^ static_cast<size_t>(k.kind);
  }
};

struct Operation {
  std::string service, name;
  int kind = 0;
  auto operator<=>(const Operation&) const = default;
};

struct TracePart {
  base::TraceId trace_id;
  base::SharedBytes bytes;
  std::vector<SpanKey> spans;
  std::vector<Operation> operations;  // sorted, unique
  uint64_t start_ns = UINT64_MAX, end_ns = 0;
};

// The live spans of `batch`, by trace, in order of first appearance. Of spans with the same key in
// one trace the last one wins.
std::vector<TracePart> SplitByTrace(const model::OtlpBatch& batch);

// The encoded request `bytes` without the spans in `keys`; null when nothing is left.
base::SharedBytes Without(const base::SharedBytes& bytes, const std::vector<SpanKey>& keys);

// The text of service.name in the fields of a ResourceSpans; "unknown_service" without.
std::string_view ServiceName(base::ByteView resource_fields);

// The bytes of a group's head and tail slice.
base::ByteView SliceBytes(const model::OtlpBatch& batch, model::Slice slice);

}  // namespace weft::exporters::store
