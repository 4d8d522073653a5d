// Consistent probability sampling, as the OpenTelemetry specification has it (OTEP 235): every
// trace has a 56-bit randomness R, from the `rv` of its tracestate or else the last 7 bytes of its
// id, and is kept where R >= T. Samplers that use the same R keep sets that contain one another,
// wherever they stand; the T that was applied travels in the tracestate as `ot=th:…`, so that
// whoever counts spans knows how many each one stands for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace weft::exporters::sampling {

inline constexpr uint64_t kMaxThreshold = uint64_t{1} << 56;  // keeps nothing

// T for a probability in [0, 1].
uint64_t ThresholdOf(double probability);

// The randomness of a trace id.
uint64_t Randomness(const base::TraceId& trace);

// The `ot` entry of a tracestate.
struct TraceState {
  std::optional<uint64_t> threshold, randomness;
};
TraceState ReadTraceState(std::string_view trace_state);

// `trace_state` with that threshold in its `ot` entry, in front, and everything else as it was.
// What would take it over the limit of 512 bytes leaves it without.
std::string WithThreshold(std::string_view trace_state, uint64_t threshold);

}  // namespace weft::exporters::sampling
