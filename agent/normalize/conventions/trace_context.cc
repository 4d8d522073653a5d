#include "normalize/conventions/trace_context.h"

#include <algorithm>

namespace weft::normalize {
namespace {

constexpr size_t kTraceParentBytes = 55;

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

uint8_t HexValue(char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

}  // namespace

bool ParseTraceParent(std::string_view value, model::WireContext* context) {
  if (value.size() < kTraceParentBytes) return false;
  const std::string_view version = value.substr(0, 2), trace = value.substr(3, 32),
                         span = value.substr(36, 16), flags = value.substr(53, 2);
  if (value[2] != '-' || value[35] != '-' || value[52] != '-') return false;
  if (!IsLowerHex(version) || !IsLowerHex(trace) || !IsLowerHex(span) || !IsLowerHex(flags))
    return false;
  if (version == "ff" || (version == "00" && value.size() != kTraceParentBytes)) return false;
  if (value.size() > kTraceParentBytes && value[kTraceParentBytes] != '-') return false;
  base::TraceId trace_id;
  base::SpanId span_id;
  if (!base::TraceId::FromHex(trace, &trace_id) || !base::SpanId::FromHex(span, &span_id))
    return false;
  if (trace_id.IsZero() || span_id.IsZero()) return false;
  context->trace_id = trace_id;
  context->span_id = span_id;
  context->flags = static_cast<uint8_t>(HexValue(flags[0]) << 4 | HexValue(flags[1]));
  return true;
}

std::optional<model::WireContext> ReadWireContext(std::string_view traceparent,
                                                  uint8_t traceparent_count,
                                                  std::span<const std::string_view> tracestate) {
  model::WireContext context;
  if (traceparent_count != 1 || !ParseTraceParent(traceparent, &context)) return std::nullopt;
  for (std::string_view list : tracestate) {
    while (!list.empty()) {
      const size_t comma = list.find(',');
      std::string_view member = list.substr(0, comma);
      list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
      while (!member.empty() && (member.front() == ' ' || member.front() == '\t'))
        member.remove_prefix(1);
      while (!member.empty() && (member.back() == ' ' || member.back() == '\t'))
        member.remove_suffix(1);
      if (member.empty()) continue;
      if (!std::all_of(member.begin(), member.end(), [](char c) { return c >= 0x20 && c < 0x7f; }))
        return context;
      if (context.trace_state.size() + member.size() + 1 > kMaxTraceStateBytes) return context;
      if (!context.trace_state.empty()) context.trace_state.push_back(',');
      context.trace_state.append(member);
    }
  }
  return context;
}

}  // namespace weft::normalize
