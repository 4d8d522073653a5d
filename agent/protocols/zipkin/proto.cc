// zipkin.proto (openzipkin/zipkin-api, package zipkin.proto3):
//
//   ListOfSpans  spans 1
//   Span         trace_id 1, parent_id 2, id 3 (bytes), kind 4 (CLIENT, SERVER, PRODUCER, CONSUMER
//                from 1), name 5, timestamp 6 fixed64 µs, duration 7 µs, local_endpoint 8,
//                remote_endpoint 9, annotations 10, tags 11 map, debug 12, shared 13
//   Endpoint     service_name 1, ipv4 2, ipv6 3 (bytes), port 4
//   Annotation   timestamp 1 fixed64 µs, value 2
#include "protocols/otlp/wire.h"
#include "protocols/zipkin/reader.h"

namespace weft::protocols::zipkin {
namespace {

using base::ByteView;
using model::SpanKind;
using otlp::BytesTag;
using otlp::Field;
using otlp::ForEachField;
using otlp::VarintTag;

constexpr uint32_t Fixed64Tag(uint32_t field) {
  return otlp::TagOf(field, otlp::WireType::kFixed64);
}

// Right-aligned: an id of 8 bytes is the low half of one of 16.
template <size_t N>
base::Id<N> ReadId(ByteView raw) {
  base::Id<N> id;
  if (raw.empty() || raw.size() > N) return id;
  std::memcpy(id.bytes.data() + N - raw.size(), raw.data(), raw.size());
  return id;
}

SpanKind KindOf(uint64_t number) {
  static constexpr SpanKind kKinds[] = {SpanKind::kUnspecified, SpanKind::kClient,
                                        SpanKind::kServer, SpanKind::kProducer,
                                        SpanKind::kConsumer};
  return number < std::size(kKinds) ? kKinds[number] : SpanKind::kUnspecified;
}

bool ReadEndpoint(ByteView message, Endpoint* endpoint) {
  ByteView ipv6;
  const bool ok = ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(1)) endpoint->service = f.text();
    if (f.tag == BytesTag(2)) endpoint->SetIp(f.view());
    if (f.tag == BytesTag(3)) ipv6 = f.view();
    if (f.tag == VarintTag(4)) endpoint->port = static_cast<uint16_t>(f.number);
    return true;
  });
  if (ipv6.size() == 16) endpoint->SetIp(ipv6);
  return ok;
}

bool ReadSpan(ByteView message, Span* span) {
  return ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(1)) span->trace_id = ReadId<16>(f.view());
    if (f.tag == BytesTag(2)) span->parent_id = ReadId<8>(f.view());
    if (f.tag == BytesTag(3)) span->id = ReadId<8>(f.view());
    if (f.tag == VarintTag(4)) span->kind = KindOf(f.number);
    if (f.tag == BytesTag(5)) span->name = f.text();
    if (f.tag == Fixed64Tag(6)) span->timestamp_us = f.number;
    if (f.tag == VarintTag(7)) span->duration_us = f.number;
    if (f.tag == BytesTag(8)) return ReadEndpoint(f.view(), &span->local);
    if (f.tag == BytesTag(9)) return ReadEndpoint(f.view(), &span->remote);
    if (f.tag == VarintTag(12)) span->debug = f.number != 0;
    if (f.tag == VarintTag(13)) span->shared = f.number != 0;
    if (f.tag == BytesTag(10) || f.tag == BytesTag(11))
      if (span->Full()) return false;
    if (f.tag == BytesTag(10)) {
      Annotation& annotation = span->annotations.emplace_back();
      return ForEachField(f.view(), [&](const Field& g) {
        if (g.tag == Fixed64Tag(1)) annotation.time_us = g.number;
        if (g.tag == BytesTag(2)) annotation.value = g.text();
        return true;
      });
    }
    if (f.tag == BytesTag(11)) {
      Tag& tag = span->tags.emplace_back();
      return ForEachField(f.view(), [&](const Field& g) {
        if (g.tag == BytesTag(1)) tag.key = g.text();
        if (g.tag == BytesTag(2)) tag.value.text = g.text();
        return true;
      });
    }
    return true;
  });
}

}  // namespace

bool ReadProto(ByteView request, Composer& composer, std::string* error) {
  Span span;
  const bool ok = ForEachField(request, [&](const Field& f) {
    if (f.tag != BytesTag(1)) return true;
    span.Clear();
    return ReadSpan(f.view(), &span) && composer.Add(span);
  });
  if (!ok) *error = "not an encoded ListOfSpans";
  return ok;
}

}  // namespace weft::protocols::zipkin
