// ResourceStamp: puts attributes into the Resource of encoded telemetry where they are missing, by
// writing its envelope anew; what lies in the envelope is not looked into. ResourceSpans,
// ResourceMetrics and ResourceLogs (opentelemetry-proto 1.x) agree in all that it reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "model/otlp_batch.h"

namespace weft::protocols::otlp {

// Threads: one at a time (it has buffers that it reuses).
class ResourceStamp {
 public:
  static constexpr size_t kMostAttributes = 64;
  // Attributes may add this many bytes to a request beside as many as it has: a request of a
  // million tiny envelopes must not grow to many times its size.
  static constexpr uint64_t kFreeBytes = 64 << 10;

  // Up to kMostAttributes; keys differ; both are UTF-8.
  void Add(std::string_view key, std::string_view value);

  // Edits the envelopes of a batch of traces that have spans. Returns how many were left as they
  // are because the bytes allowed were used up. Cost: a copy of the fields around the scopes.
  uint64_t Edit(model::OtlpBatch* batch);

  // Appends a request of metrics or logs to `out`, stamped. Returns as Edit does; `out` is
  // unchanged and the result 0 when `request` is no message.
  uint64_t Copy(base::ByteView request, base::ByteBuffer* out);

 private:
  struct Attribute {
    std::string key, field;  // `field` as it stands in a Resource
  };
  // What the fields of one envelope have.
  struct Found {
    uint64_t attributes = 0;  // those of ours that are there, as bits
    bool has_resource = false;
    size_t begin = 0, end = 0;  // of the field of the last Resource
    base::ByteView resource;    // its content
  };
  std::optional<Found> Look(base::ByteView fields) const;
  // The bytes of those attributes.
  uint64_t SizeOf(uint64_t attributes) const;
  void Write(base::ByteView fields, const Found& found, uint64_t missing,
             base::ByteBuffer* out) const;
  // False: no room for what is missing.
  bool EditGroup(model::OtlpBatch* batch, model::ResourceGroup* group, uint64_t* room);

  std::vector<Attribute> attributes_;
  uint64_t all_ = 0;  // bits of attributes_
  base::ByteBuffer written_;
};

}  // namespace weft::protocols::otlp
