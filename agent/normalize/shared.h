// What the connections of one Normalizer share: the pass counter, the batch being filled, the
// counts of this pass. Only for the sources of this room.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/span.h"
#include "normalize/normalizer.h"
#include "normalize/semantic_conventions.h"
#include "protocols/http1/message_parser.h"

namespace weft::normalize {

// Events of one pass; added to metrics and ledger when it ends.
struct Counts {
  uint64_t opened = 0, finished = 0;
  uint64_t rejected_gap = 0, rejected_garbage = 0,
           rejected_overflow = 0;  // requests that never became an exchange
  uint64_t segments = 0, duplicate_segments = 0, late_segments = 0;
  uint64_t lost_bytes = 0, framing_lost = 0, heads_truncated = 0, orphan_responses = 0;
  uint64_t telemetry_exports = 0, upgrades = 0, unanswered = 0, smuggling_suspects = 0;
};

struct Shared {
  Shared(const Options& options_in, const Deps& deps_in)
      : options(options_in), deps(deps_in), conventions(options_in) {}

  const Options& options;
  const Deps& deps;
  SemanticConventions conventions;
  uint64_t pass = 1;
  int64_t unix_offset_ns = 0;  // sampled once a pass
  uint64_t next_exchange_id = 1;
  Counts counts;
  model::SpanBatch out;
  protocols::http1::Output parsed;  // reused by every Feed
};

}  // namespace weft::normalize
