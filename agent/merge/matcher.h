// Matcher: which kernel view is the same operation as which span of an SDK batch? By the ids of the
// wire context first; where none travelled, by process, time, method and path (the edge rule). It
// only finds and claims; Merge patches, pushes, and then commits or takes everything back. Private
// to this room.
#pragma once

#include <cstdint>
#include <vector>

#include "merge/recent_keys.h"
#include "merge/sdk/origin.h"
#include "merge/window.h"
#include "model/otlp_batch.h"

namespace weft::merge {

struct Hit {
  uint32_t span = 0;  // index in the batch
  Entry* entry = nullptr;
};

struct MatchResult {
  std::vector<Hit> hits;
  std::vector<uint32_t> unmatched;  // spans of kind client or server without a hit
  std::vector<Entry*> taken;        // heads of chains of client entries whose wire id is a span's
  uint64_t edge = 0, ambiguous = 0;

  void clear() { hits.clear(), unmatched.clear(), taken.clear(), edge = ambiguous = 0; }
};

// Threads: one. `window` outlives it. Cost: one or two hash probes a span; the edge rule reads the
// attributes of spans that have a candidate in time.
class Matcher {
 public:
  explicit Matcher(Window& window) : window_(window) {}

  // `sender` null: ids alone decide, if only one process carried them; likewise for what a sender
  // forwards that never carried them itself. Claims the entries it finds.
  void Match(const model::OtlpBatch& batch, ProcessState* sender, MatchResult* out);

 private:
  void MatchIds(const model::OtlpBatch& batch, uint32_t index, const ProcessState* sender,
                bool is_second_pass, MatchResult* out);
  bool IsCallOfSender(const model::SpanRef& span, const ProcessState* sender) const;
  bool Carried(Entry* chain, const model::SpanRef& span, const ProcessState* process) const;
  Entry* Best(Entry* chain, const model::SpanRef& span, const ProcessState* sender,
              uint64_t* ambiguous) const;
  Entry* BestElsewhere(Entry* chain, const model::OtlpBatch& batch, uint32_t index,
                       const ProcessState& sender, uint64_t* ambiguous);
  Entry* BestAtEdge(const model::OtlpBatch& batch, const model::SpanRef& span,
                    const ProcessState& sender, uint64_t* ambiguous) const;

  Window& window_;
  std::vector<uint32_t> second_pass_;
  Resources resources_;
};

}  // namespace weft::merge
