// OtlpBatch: the one type that travels after merge, and what every SDK payload becomes at the door.
// It is the sender's own bytes (an encoded ExportTraceServiceRequest, opentelemetry-proto 1.x) plus
// an index made by one validating pass:
//
//   bytes:  [ResourceSpans [resource][ScopeSpans [scope][span][span]…[schema_url]]…[schema_url]] …
//   resources[r] ── first_scope, scope_count ──▶ scopes[s] ── first_span, span_count ──▶ spans[i]
//
// Spans are never decoded into objects. A change is an edit of a SpanRef; protocols/otlp Gather()
// composes the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/inflate.h"
#include "model/process.h"
#include "model/receipt.h"

namespace weft::model {

// A range of OtlpBatch::bytes.
struct Slice {
  uint32_t offset = 0;
  uint32_t size = 0;
};

// OTLP SpanKind.
enum class SpanKind : uint8_t {
  kUnspecified = 0,
  kInternal = 1,
  kServer = 2,
  kClient = 3,
  kProducer = 4,
  kConsumer = 5
};

// One span: where its message body is, and the fields that stages decide by.
struct SpanRef {
  Slice body;  // the Span message, without its tag and length
  base::TraceId trace_id;
  base::SpanId span_id, parent_id;
  uint64_t start_ns = 0, end_ns = 0;
  uint32_t flags = 0;
  SpanKind kind = SpanKind::kUnspecified;
  bool dropped = false;  // edit: leave it out
  uint32_t append =
      0;  // edit: 1 + index into OtlpBatch::appends; 0 = none. Bytes put behind the body: further
          // attributes, or a scalar that replaces the earlier value (last one wins)
};

// The fields of an envelope that are not its children, as they stood before and after them. Where a
// sender interleaves them, Index() copies them together into OtlpBatch::extra and the slice points
// there (offset | kExtra).
struct ScopeGroup {
  Slice head, tail;
  uint32_t first_span = 0, span_count = 0;
};
struct ResourceGroup {
  Slice head, tail;
  uint32_t first_scope = 0, scope_count = 0;
};
inline constexpr uint32_t kExtra =
    0x8000'0000u;  // in Slice::offset: the bytes are in OtlpBatch::extra

// What a batch carries. Everything but traces travels as opaque validated bytes: no groups, no
// spans, never edited; `items` counts what the ledger counts.
enum class Signal : uint8_t { kTraces, kMetrics, kLogs, kProfiles };

// Threads: one owner at a time; the bytes are immutable and may be shared. Move-only by convention
// (copies are for tests and for fan-out, which shares the bytes).
struct OtlpBatch {
  base::SharedBytes bytes;
  Signal signal = Signal::kTraces;
  uint64_t items = 0;  // data points or log records; for traces see `spans`
  std::vector<ResourceGroup> resources;
  std::vector<ScopeGroup> scopes;
  std::vector<SpanRef> spans;
  std::vector<std::string> appends;
  std::string extra;
  ProcessRef sender;   // null when unknown
  ReceiptRef receipt;  // null for batches that weft made itself
  bool edited =
      false;  // any span dropped or appended to; when false `bytes` may be passed on as they are
  // `bytes` as the sender compressed them, or null. Worth nothing once `edited`.
  base::SharedPacked packed;

  size_t size_bytes() const { return bytes ? bytes->size() : 0; }
  // What the ledger counts: spans that are not dropped, or `items`.
  uint64_t live_count() const {
    if (signal != Signal::kTraces) return items;
    uint64_t live = 0;
    for (const SpanRef& span : spans) live += span.dropped ? 0 : 1;
    return live;
  }
  // The bytes of a slice, until `bytes` or `extra` change.
  base::ByteView at(Slice slice) const {
    if (slice.size == 0) return {};
    if ((slice.offset & kExtra) == 0) return bytes->view().subspan(slice.offset, slice.size);
    return base::AsBytes(extra).subspan(slice.offset & ~kExtra, slice.size);
  }
};

}  // namespace weft::model
