// Private to protocols/jaeger: the parts of a span that are written alike whether it came as thrift
// or as protobuf: its fixed fields, its status, its links and its tags.
#pragma once

#include <charconv>

#include "protocols/jaeger/compose.h"
#include "protocols/jaeger/span_facts.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::jaeger {

inline constexpr std::string_view kNoServiceName =
    "OTLPResourceNoServiceName";  // the Collector's marker for "none"
inline constexpr int32_t kSampledFlag = 1, kDebugFlag = 2;
inline constexpr int32_t kChildOf = 0;
inline constexpr size_t kAround = 384;  // more than the fixed fields of any one element

struct Reference {
  int32_t type = 0;
  uint64_t trace_low = 0, trace_high = 0, span = 0;
};

inline uint8_t* PutIds(uint8_t* p, uint32_t trace_field, uint64_t high, uint64_t low,
                       uint32_t span_field, uint64_t span) {
  *p++ = TagByte(trace_field, otlp::WireType::kBytes);
  *p++ = 16;
  p = PutBig64(PutBig64(p, high), low);
  *p++ = TagByte(span_field, otlp::WireType::kBytes);
  *p++ = 8;
  return PutBig64(p, span);
}

// The bytes of text that PutSpanScalars writes.
inline size_t ScalarTextBytes(const SpanFacts& span, const Status& status) {
  return span.name.size() + span.trace_state.size() + span.description.size() +
         status.message.size() + span.scope_name.size() + span.scope_version.size();
}

inline void PutSpanScalars(base::ByteBuffer& out, Attributes& attributes, const SpanFacts& span,
                           const Status& status) {
  namespace field = otlp::field;
  if (span.has_description && !status.used_description) {
    attributes.Put(out, "otel.status_description", Value::Text(span.description));
  }
  if (span.flags & kDebugFlag) attributes.Put(out, "jaeger.debug", Value::Bool(true));
  PutText(out, field::kName, span.name);
  if (!span.trace_state.empty()) PutText(out, field::kTraceState, span.trace_state);

  uint8_t* const start = out.Grow(80);
  uint8_t* p = start;
  p = PutIds(p, field::kTraceId, span.trace_high, span.trace_low, field::kSpanId, span.span);
  if (span.parent != 0) {
    *p++ = TagByte(field::kParentSpanId, otlp::WireType::kBytes);
    *p++ = 8;
    p = PutBig64(p, span.parent);
  }
  if (span.kind != model::SpanKind::kUnspecified) {
    *p++ = TagByte(field::kKind, otlp::WireType::kVarint);
    *p++ = static_cast<uint8_t>(span.kind);
  }
  p = PutLittle64(p, field::kStart, span.start_ns);
  p = PutLittle64(p, field::kEnd, span.EndNs());
  if (span.flags & kSampledFlag) {
    p = otlp::PutVarint(p, field::kFlags << 3 | static_cast<uint32_t>(otlp::WireType::kFixed32));
    *p++ = 1;
    for (int i = 0; i < 3; ++i) *p++ = 0;
  }
  out.Commit(static_cast<size_t>(p - start));

  if (status.code == StatusCode::kUnset && status.message.empty()) return;
  OpenMessage message(out, field::kStatus, 1);
  if (!status.message.empty()) PutText(out, field::kStatusMessage, status.message);
  if (status.code != StatusCode::kUnset) {
    otlp::Writer(out).Uint(field::kStatusCode, static_cast<uint64_t>(status.code));
  }
  message.Close(out);
}

inline void PutLink(base::ByteBuffer& out, const Reference& r) {
  namespace field = otlp::field;
  OpenMessage link(out, field::kLink, 1);
  uint8_t* const p = out.Grow(32);
  const uint8_t* const end =
      PutIds(p, field::kLinkTraceId, r.trace_high, r.trace_low, field::kLinkSpanId, r.span);
  out.Commit(static_cast<size_t>(end - p));
  PutAttribute(out, field::kLinkAttribute, "opentracing.ref_type",
               Value::Text(r.type == kChildOf ? "child_of" : "follows_from"));
  link.Close(out);
}

inline void PutTag(base::ByteBuffer& out, Attributes& attributes, const Tag& tag) {
  switch (tag.type) {
    case TagType::kString:
      return attributes.Put(out, tag.key, Value::Text(tag.text));
    case TagType::kDouble:
      return attributes.Put(out, tag.key, Value::Double(tag.real));
    case TagType::kBool:
      return attributes.Put(out, tag.key, Value::Bool(tag.flag));
    case TagType::kLong:
      return attributes.Put(out, tag.key, Value::Int(tag.number));
    case TagType::kBinary:
      return attributes.Put(out, tag.key, Value::Bytes(tag.binary));
  }
  char text[48] = "<Unknown Jaeger TagType \"";
  char* end = std::to_chars(text + 25, text + 40, static_cast<int32_t>(tag.type)).ptr;
  *end++ = '"', *end++ = '>';
  attributes.Put(out, tag.key, Value::Text({text, static_cast<size_t>(end - text)}));
}

}  // namespace weft::protocols::jaeger
