#include "protocols/jaeger/from_otlp.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "protocols/otlp/view.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::jaeger {
namespace {

using otlp::AttributeView;
using otlp::LinkView;
using otlp::SpanView;
using otlp::ValueView;
using otlp::Writer;

// Field numbers of model.proto.
namespace field {
constexpr uint32_t kTraceId = 1, kSpanId = 2, kOperation = 3, kReference = 4, kFlags = 5,
                   kStart = 6, kDuration = 7, kTag = 8, kLog = 9, kProcess = 10;  // of Span
constexpr uint32_t kKey = 1, kType = 2, kText = 3, kBool = 4, kInt = 5, kDouble = 6,
                   kBinary = 7;                                    // of KeyValue
constexpr uint32_t kLogTime = 1, kLogField = 2;                    // of Log
constexpr uint32_t kRefTraceId = 1, kRefSpanId = 2, kRefType = 3;  // of SpanRef
constexpr uint32_t kServiceName = 1, kProcessTag = 2;              // of Process
constexpr uint32_t kSeconds = 1, kNanos = 2;                       // of Timestamp and Duration
}  // namespace field

enum ValueType : uint64_t { kString = 0, kBool = 1, kInt64 = 2, kFloat64 = 3, kBinary = 4 };
enum RefType : uint64_t { kChildOf = 0, kFollowsFrom = 1 };
constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint32_t kSampled = 1;

void Text(Writer& w, uint32_t tag, std::string_view key, std::string_view value) {
  const size_t begin = w.Begin(tag);
  w.Text(field::kKey, key);
  w.Text(field::kText, value);
  w.End(begin);
}

void Int(Writer& w, uint32_t tag, std::string_view key, uint64_t value) {
  const size_t begin = w.Begin(tag);
  w.Text(field::kKey, key);
  w.Uint(field::kType, kInt64);
  w.Uint(field::kInt, value);
  w.End(begin);
}

void True(Writer& w, uint32_t tag, std::string_view key) {
  const size_t begin = w.Begin(tag);
  w.Text(field::kKey, key);
  w.Uint(field::kType, kBool);
  w.Uint(field::kBool, 1);
  w.End(begin);
}

// Arrays and maps become their JSON text.
void Tag(Writer& w, uint32_t tag, const AttributeView& attribute) {
  const ValueView& value = attribute.value;
  const size_t begin = w.Begin(tag);
  w.Text(field::kKey, attribute.key);
  switch (value.kind) {
    case ValueView::Kind::kBool:
      w.Uint(field::kType, kBool);
      if (value.number != 0) w.Uint(field::kBool, 1);
      break;
    case ValueView::Kind::kInt:
      w.Uint(field::kType, kInt64);
      w.Uint(field::kInt, static_cast<uint64_t>(value.number));
      break;
    case ValueView::Kind::kDouble:
      w.Uint(field::kType, kFloat64);
      w.Double(field::kDouble, value.real);
      break;
    case ValueView::Kind::kBytes:
      w.Uint(field::kType, kBinary);
      w.Bytes(field::kBinary, base::AsBytes(value.text));
      break;
    case ValueView::Kind::kText:
      w.Text(field::kText, value.text);
      break;
    default:
      w.Text(field::kText, attribute.ToText());
  }
  w.End(begin);
}

void Time(Writer& w, uint32_t tag, uint64_t ns) {
  const size_t begin = w.Begin(tag);
  if (ns / kNsPerSecond != 0) w.Uint(field::kSeconds, ns / kNsPerSecond);
  if (ns % kNsPerSecond != 0) w.Uint(field::kNanos, ns % kNsPerSecond);
  w.End(begin);
}

void Reference(Writer& w, const base::TraceId& trace, const base::SpanId& span, RefType type) {
  const size_t begin = w.Begin(field::kReference);
  w.Bytes(field::kRefTraceId, trace.view());
  w.Bytes(field::kRefSpanId, span.view());
  if (type != kChildOf) w.Uint(field::kRefType, type);
  w.End(begin);
}

std::string_view KindText(int kind) {
  constexpr std::string_view kNames[] = {"",       "internal", "server",
                                         "client", "producer", "consumer"};
  return kind >= 0 && kind < 6 ? kNames[kind] : "";
}

void References(Writer& w, const SpanView& span) {
  if (!span.parent_id.IsZero()) Reference(w, span.trace_id, span.parent_id, kChildOf);
  for (const LinkView& link : span.links) {
    const bool child =
        std::any_of(link.attributes.begin(), link.attributes.end(), [](const AttributeView& a) {
          return a.key == "opentracing.ref_type" && a.value.text == "child_of";
        });
    Reference(w, link.trace_id, link.span_id, child ? kChildOf : kFollowsFrom);
  }
}

void StatusTags(Writer& w, const SpanView& span) {
  if (span.status_code == 1) Text(w, field::kTag, "otel.status_code", "OK");
  if (span.status_code == 2) {
    Text(w, field::kTag, "otel.status_code", "ERROR");
    if (span.Find("error") == nullptr) True(w, field::kTag, "error");
  }
  if (!span.status_message.empty())
    Text(w, field::kTag, "otel.status_description", span.status_message);
}

void Tags(Writer& w, const SpanView& span, const otlp::ScopeSpansView& scope) {
  for (const AttributeView& attribute : span.attributes) Tag(w, field::kTag, attribute);
  if (!KindText(span.kind).empty() && span.Find("span.kind") == nullptr)
    Text(w, field::kTag, "span.kind", KindText(span.kind));
  StatusTags(w, span);
  if (!span.trace_state.empty()) Text(w, field::kTag, "w3c.tracestate", span.trace_state);
  if (!scope.name.empty()) Text(w, field::kTag, "otel.scope.name", scope.name);
  if (!scope.version.empty()) Text(w, field::kTag, "otel.scope.version", scope.version);
  if (span.dropped_attributes != 0)
    Int(w, field::kTag, "otel.dropped_attributes_count", span.dropped_attributes);
  if (span.dropped_events != 0)
    Int(w, field::kTag, "otel.dropped_events_count", span.dropped_events);
  if (span.dropped_links != 0) Int(w, field::kTag, "otel.dropped_links_count", span.dropped_links);
}

void Logs(Writer& w, const SpanView& span) {
  for (const otlp::EventView& event : span.events) {
    const size_t begin = w.Begin(field::kLog);
    Time(w, field::kLogTime, event.time_ns);
    if (!event.name.empty()) Text(w, field::kLogField, "event", event.name);
    for (const AttributeView& attribute : event.attributes) {
      if (attribute.key == "event" && !event.name.empty()) continue;
      Tag(w, field::kLogField, attribute);
    }
    w.End(begin);
  }
}

base::ByteBuffer EncodeProcess(const otlp::ResourceSpansView& resource) {
  base::ByteBuffer out;
  Writer w(out);
  w.Text(field::kServiceName, resource.ServiceName());
  for (const AttributeView& attribute : resource.attributes)
    if (attribute.key != "service.name") Tag(w, field::kProcessTag, attribute);
  return out;
}

void EncodeSpan(const SpanView& span, const otlp::ScopeSpansView& scope, base::ByteView process,
                base::ByteBuffer* out) {
  out->clear();
  Writer w(*out);
  w.Bytes(field::kTraceId, span.trace_id.view());
  w.Bytes(field::kSpanId, span.span_id.view());
  w.Text(field::kOperation, span.name);
  References(w, span);
  if ((span.flags & kSampled) != 0) w.Uint(field::kFlags, kSampled);
  Time(w, field::kStart, span.start_ns);
  // Times of a clock that was set back: no duration, and none of centuries.
  Time(w, field::kDuration, span.end_ns > span.start_ns ? span.end_ns - span.start_ns : 0);
  Tags(w, span, scope);
  Logs(w, span);
  w.Bytes(field::kProcess, process);
}

}  // namespace

bool ForEachJaegerSpan(base::ByteView request, const SpanUse& use) {
  std::vector<otlp::ResourceSpansView> resources;
  const bool whole = otlp::Decode(request, &resources);
  base::ByteBuffer encoded;
  for (const otlp::ResourceSpansView& resource : resources) {
    const base::ByteBuffer process = EncodeProcess(resource);
    for (const otlp::ScopeSpansView& scope : resource.scopes)
      for (const SpanView& span : scope.spans) {
        EncodeSpan(span, scope, process.view(), &encoded);
        use(span.trace_id, encoded.view());
      }
  }
  return whole;
}

std::string JaegerTraceKey(const base::TraceId& trace) {
  const std::string hex = trace.Hex();
  return hex.compare(0, 16, "0000000000000000") == 0 ? hex.substr(16) : hex;
}

}  // namespace weft::protocols::jaeger
