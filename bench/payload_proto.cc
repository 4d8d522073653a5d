// Protobuf payloads: OTLP (opentelemetry-proto, trace/v1/trace.proto) and Jaeger (jaeger-idl,
// api_v2/model.proto and collector.proto).
#include "payload.h"

namespace weft::bench {
namespace {

void Varint(std::string* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

void Number(std::string* out, uint32_t field, uint64_t v) {
  Varint(out, field << 3);
  Varint(out, v);
}

void Field(std::string* out, uint32_t field, const std::string& bytes) {
  Varint(out, field << 3 | 2);
  Varint(out, bytes.size());
  out->append(bytes);
}

void Fixed64(std::string* out, uint32_t field, uint64_t v) {
  Varint(out, field << 3 | 1);
  out->append(reinterpret_cast<const char*>(&v), 8);
}

std::string Id(uint64_t id) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(id >> shift));
  return out;
}

void Attribute(std::string* out, uint32_t field, const std::string& key, const std::string& text) {
  std::string value, pair;
  Field(&value, 1, text);
  Field(&pair, 1, key);
  Field(&pair, 2, value);
  Field(out, field, pair);
}

std::string OtlpSpan(const Sample& sample, const SampleSpan& span) {
  std::string out;
  Field(&out, 1, Id(sample.trace_high) + Id(sample.trace_low));
  Field(&out, 2, Id(span.id));
  if (span.parent != 0) Field(&out, 4, Id(span.parent));
  Field(&out, 5, span.name);
  Number(&out, 6, span.kind);
  Fixed64(&out, 7, span.start_ns);
  Fixed64(&out, 8, span.start_ns + span.duration_ns);
  for (const auto& [key, value] : span.attributes) Attribute(&out, 9, key, value);
  Field(&out, 15, "");
  return out;
}

// A google.protobuf.Timestamp or Duration.
std::string Time(uint64_t ns) {
  std::string out;
  Number(&out, 1, ns / 1'000'000'000);
  Number(&out, 2, ns % 1'000'000'000);
  return out;
}

void Tag(std::string* out, uint32_t field, const std::string& key, const std::string& text) {
  std::string tag;
  Field(&tag, 1, key);
  Field(&tag, 3, text);
  Field(out, field, tag);
}

std::string JaegerSpan(const Sample& sample, const SampleSpan& span) {
  static constexpr const char* kKinds[] = {"", "internal", "server", "client"};
  std::string out;
  const std::string trace = Id(sample.trace_high) + Id(sample.trace_low);
  Field(&out, 1, trace);
  Field(&out, 2, Id(span.id));
  Field(&out, 3, span.name);
  if (span.parent != 0) {
    std::string reference;
    Field(&reference, 1, trace);
    Field(&reference, 2, Id(span.parent));
    Field(&out, 4, reference);
  }
  Number(&out, 5, 1);
  Field(&out, 6, Time(span.start_ns));
  Field(&out, 7, Time(span.duration_ns));
  Tag(&out, 8, "span.kind", kKinds[span.kind]);
  for (const auto& [key, value] : span.attributes) Tag(&out, 8, key, value);
  return out;
}

Payload Finish(std::string bytes, const Sample& sample) {
  Payload payload;
  payload.bytes = std::move(bytes);
  payload.spans = static_cast<uint32_t>(sample.spans.size());
  payload.FindIds(sample.trace_low);
  return payload;
}

}  // namespace

Payload OtlpProto(const Sample& sample) {
  std::string resource, scope, scope_spans, resource_spans, request;
  Attribute(&resource, 1, "service.name", sample.service);
  Attribute(&resource, 1, "telemetry.sdk.language", "cpp");
  Field(&scope, 1, "weft-bench");
  Field(&scope_spans, 1, scope);
  for (const SampleSpan& span : sample.spans) Field(&scope_spans, 2, OtlpSpan(sample, span));
  Field(&resource_spans, 1, resource);
  Field(&resource_spans, 2, scope_spans);
  Field(&request, 1, resource_spans);
  return Finish(std::move(request), sample);
}

Payload JaegerProto(const Sample& sample) {
  std::string process, batch, request;
  for (const SampleSpan& span : sample.spans) Field(&batch, 1, JaegerSpan(sample, span));
  Field(&process, 1, sample.service);
  Tag(&process, 2, "hostname", "node-1");
  Field(&batch, 2, process);
  Field(&request, 1, batch);
  return Finish(std::move(request), sample);
}

}  // namespace weft::bench
