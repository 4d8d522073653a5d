// W3C Trace Context as it travelled in a request head, read strictly: a header that breaks a rule
// is no context.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "model/span.h"

namespace weft::normalize {

inline constexpr size_t kMaxTraceStateBytes = 512;

// "00-<32 hex>-<16 hex>-<2 hex>", lower case, ids not zero, version not ff; a later version may
// carry more behind a dash. Ids and flags of `context` are set; nothing on failure.
bool ParseTraceParent(std::string_view value, model::WireContext* context);

// Nothing when there is no valid traceparent or more than one (T44). tracestate fields are joined
// in order and cut after the last member that fits.
std::optional<model::WireContext> ReadWireContext(std::string_view traceparent,
                                                  uint8_t traceparent_count,
                                                  std::span<const std::string_view> tracestate);

}  // namespace weft::normalize
