// JSON payloads: OTLP (opentelemetry-proto, "JSON Protobuf Encoding") and Zipkin v2. Samples hold
// no character that JSON escapes.
#include <cstdio>

#include "payload.h"

namespace weft::bench {
namespace {

std::string Hex(uint64_t id) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(id));
  return text;
}

std::string Quoted(const std::string& text) { return '"' + text + '"'; }

std::string OtlpAttribute(const std::string& key, const std::string& value) {
  return "{\"key\":" + Quoted(key) + ",\"value\":{\"stringValue\":" + Quoted(value) + "}}";
}

std::string OtlpSpan(const Sample& sample, const SampleSpan& span) {
  std::string out = "{\"traceId\":" + Quoted(Hex(sample.trace_high) + Hex(sample.trace_low)) +
                    ",\"spanId\":" + Quoted(Hex(span.id));
  if (span.parent != 0) out += ",\"parentSpanId\":" + Quoted(Hex(span.parent));
  out += ",\"name\":" + Quoted(span.name) + ",\"kind\":" + std::to_string(span.kind) +
         ",\"startTimeUnixNano\":" + Quoted(std::to_string(span.start_ns)) +
         ",\"endTimeUnixNano\":" + Quoted(std::to_string(span.start_ns + span.duration_ns)) +
         ",\"attributes\":[";
  for (size_t i = 0; i < span.attributes.size(); ++i) {
    if (i > 0) out += ',';
    out += OtlpAttribute(span.attributes[i].first, span.attributes[i].second);
  }
  return out + "],\"status\":{}}";
}

std::string ZipkinSpan(const Sample& sample, const SampleSpan& span) {
  std::string out = "{\"traceId\":" + Quoted(Hex(sample.trace_high) + Hex(sample.trace_low)) +
                    ",\"id\":" + Quoted(Hex(span.id));
  if (span.parent != 0) out += ",\"parentId\":" + Quoted(Hex(span.parent));
  if (span.kind != 1) out += ",\"kind\":" + Quoted(span.kind == 2 ? "SERVER" : "CLIENT");
  out += ",\"name\":" + Quoted(span.name) +
         ",\"timestamp\":" + std::to_string(span.start_ns / 1000) +
         ",\"duration\":" + std::to_string(span.duration_ns / 1000) +
         ",\"localEndpoint\":{\"serviceName\":" + Quoted(sample.service) + "},\"tags\":{";
  for (size_t i = 0; i < span.attributes.size(); ++i) {
    if (i > 0) out += ',';
    out += Quoted(span.attributes[i].first) + ':' + Quoted(span.attributes[i].second);
  }
  return out + "}}";
}

Payload Finish(std::string bytes, const Sample& sample) {
  Payload payload;
  payload.bytes = std::move(bytes);
  payload.spans = static_cast<uint32_t>(sample.spans.size());
  payload.form = IdForm::kHex;
  payload.FindIds(sample.trace_low);
  return payload;
}

template <typename Write>
std::string Joined(const Sample& sample, Write write) {
  std::string out;
  for (const SampleSpan& span : sample.spans) {
    if (!out.empty()) out += ',';
    out += write(sample, span);
  }
  return out;
}

}  // namespace

Payload OtlpJson(const Sample& sample) {
  return Finish("{\"resourceSpans\":[{\"resource\":{\"attributes\":[" +
                    OtlpAttribute("service.name", sample.service) +
                    "]},\"scopeSpans\":[{\"scope\":{\"name\":\"weft-bench\"},\"spans\":[" +
                    Joined(sample, OtlpSpan) + "]}]}]}",
                sample);
}

Payload ZipkinJson(const Sample& sample) {
  return Finish('[' + Joined(sample, ZipkinSpan) + ']', sample);
}

}  // namespace weft::bench
