// Encoder: what merge writes. The facts that are appended to an SDK's span, and whole spans for
// what only the kernel saw, as one OTLP request grouped by process. Private to this room.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "merge/linker.h"
#include "model/otlp_batch.h"
#include "model/span.h"

namespace weft::merge {

// A kernel-seen span with its final ids.
struct KernelSpan {
  EntryPtr entry;
  Ids ids;
};

// Encoded fields of a Span message that make it a merged one. `body`: the SDK's span.
// `parent` not null: becomes its parent.
std::string MergedFields(const model::Span& seen, base::ByteView body, const base::SpanId* parent);

// Threads: one.
class Encoder {
 public:
  Encoder(std::vector<std::pair<std::string, std::string>> resource, std::string version)
      : resource_(std::move(resource)), version_(std::move(version)) {}

  // With the index that protocols/otlp would make of the bytes.
  model::OtlpBatch Encode(const std::vector<KernelSpan>& spans);

 private:
  using Order = std::vector<std::pair<const model::Process*, uint32_t>>;
  // The spans of one process, which are those of [first, last), as one ResourceSpans.
  void EncodeGroup(const std::vector<KernelSpan>& spans, Order::const_iterator first,
                   Order::const_iterator last, base::ByteBuffer* out, model::OtlpBatch* batch);

  Order order_;  // kept for its memory
  const std::vector<std::pair<std::string, std::string>> resource_;
  const std::string version_;
};

}  // namespace weft::merge
