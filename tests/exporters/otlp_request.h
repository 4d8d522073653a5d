// Batches for the exporters' tests: a small protobuf writer of its own, so that what the tests feed
// does not come from the code under test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "model/otlp_batch.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/view.h"

namespace weft::exporters {

inline std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}
inline std::string Bytes(uint64_t field, std::string_view content) {
  return Varint(field << 3 | 2) + Varint(content.size()) + std::string(content);
}
inline std::string Number(uint64_t field, uint64_t value) {
  return Varint(field << 3) + Varint(value);
}
inline std::string Fixed64(uint64_t field, uint64_t value) {
  std::string raw(8, '\0');
  std::memcpy(raw.data(), &value, 8);
  return Varint(field << 3 | 1) + raw;
}
inline std::string Attribute(uint64_t field, std::string_view key, std::string_view text) {
  return Bytes(field, Bytes(1, key) + Bytes(2, Bytes(1, text)));
}

template <size_t N>
base::Id<N> MakeId(uint64_t number) {
  base::Id<N> id;
  for (size_t i = 0; i < 8; ++i) id.bytes[N - 1 - i] = static_cast<uint8_t>(number >> 8 * i);
  return id;
}

struct TestSpan {
  uint64_t trace = 1, span = 1, parent = 0;
  std::string name = "op";
  int kind = 2;
  uint64_t start_ns = 1'000, end_ns = 2'000;
  std::vector<std::pair<std::string, std::string>> tags = {};
  int status = 0;
};

inline std::string EncodeSpan(const TestSpan& s) {
  std::string out = Bytes(1, base::AsText(MakeId<16>(s.trace).view())) +
                    Bytes(2, base::AsText(MakeId<8>(s.span).view()));
  if (s.parent != 0) out += Bytes(4, base::AsText(MakeId<8>(s.parent).view()));
  out += Bytes(5, s.name) + Number(6, static_cast<uint64_t>(s.kind)) + Fixed64(7, s.start_ns) +
         Fixed64(8, s.end_ns);
  for (const auto& [key, text] : s.tags) out += Attribute(9, key, text);
  if (s.status != 0) out += Bytes(15, Number(3, static_cast<uint64_t>(s.status)));
  return out;
}

inline std::string EncodeRequest(std::string_view service, const std::vector<TestSpan>& spans) {
  std::string scope = Bytes(1, Bytes(1, "lib"));
  for (const TestSpan& span : spans) scope += Bytes(2, EncodeSpan(span));
  return Bytes(1, Bytes(1, Attribute(1, "service.name", service)) + Bytes(2, scope));
}

inline model::OtlpBatch IndexText(std::string_view request) {
  base::ByteBuffer buffer;
  buffer.Append(request);
  model::OtlpBatch batch;
  EXPECT_EQ(protocols::otlp::Index(base::Share(std::move(buffer)), &batch).status,
            protocols::otlp::IndexStatus::kDone);
  return batch;
}

inline model::OtlpBatch MakeBatch(std::string_view service, const std::vector<TestSpan>& spans) {
  return IndexText(EncodeRequest(service, spans));
}

// `count` spans with ids first, first + 1, … in one trace; `padding` bytes of name each.
inline model::OtlpBatch MakeSpans(uint64_t first, size_t count, size_t padding = 4) {
  std::vector<TestSpan> spans;
  for (uint64_t i = first; i < first + count; ++i)
    spans.push_back({.trace = 7, .span = i, .name = std::string(padding, 'n')});
  return MakeBatch("svc", spans);
}

// The span ids of an encoded request, in order.
inline std::vector<uint64_t> SpanIds(base::ByteView request) {
  std::vector<protocols::otlp::ResourceSpansView> resources;
  EXPECT_TRUE(protocols::otlp::Decode(request, &resources));
  std::vector<uint64_t> out;
  for (const auto& resource : resources)
    for (const auto& scope : resource.scopes)
      for (const auto& span : scope.spans) {
        uint64_t id = 0;
        for (uint8_t byte : span.span_id.bytes) id = id << 8 | byte;
        out.push_back(id);
      }
  return out;
}

}  // namespace weft::exporters
