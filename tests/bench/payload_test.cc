#include "payload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "base/bytes.h"
#include "oracle/trace.pb.h"
#include "protocol.h"
#include "protocols/jaeger/transcode.h"
#include "protocols/otlp/json_read.h"
#include "protocols/zipkin/transcode.h"

namespace weft::bench {
namespace {

namespace jaeger = protocols::jaeger;
namespace zipkin = protocols::zipkin;

// The payload as OTLP protobuf, by the codec that receives it in weft.
std::string AsOtlp(std::string_view protocol, const Payload& payload) {
  const base::ByteView in = base::AsBytes(payload.bytes);
  base::ByteBuffer out;
  bool ok = false;
  jaeger::DatagramReport report;
  if (protocol == "otlp_grpc" || protocol == "otlp_http") return payload.bytes;
  if (protocol == "otlp_json") {
    std::string error;
    ok = protocols::otlp::JsonToProto(in, &out, &error);
    EXPECT_EQ(error, "");
  } else if (protocol == "zipkin") {
    zipkin::Report zipkin_report;
    ok = zipkin::Transcode(in, zipkin::Format::kJson2, {}, &out, &zipkin_report) ==
         zipkin::TranscodeStatus::kDone;
  } else if (protocol == "jaeger_compact") {
    ok = jaeger::Transcode(in, jaeger::Encoding::kCompact, &out, &report) ==
         jaeger::TranscodeStatus::kDone;
  } else if (protocol == "jaeger_binary") {
    ok = jaeger::Transcode(in, jaeger::Encoding::kBinary, &out, &report) ==
         jaeger::TranscodeStatus::kDone;
  } else if (protocol == "jaeger_http") {
    ok = jaeger::TranscodeBatch(in, &out, &report) == jaeger::TranscodeStatus::kDone;
  } else if (protocol == "jaeger_grpc") {
    ok = jaeger::TranscodeProto(in, &out, &report) == jaeger::TranscodeStatus::kDone;
  }
  EXPECT_TRUE(ok) << protocol;
  return std::string(base::AsText(out.view()));
}

oracle::Request Parsed(std::string_view protocol, const Payload& payload) {
  oracle::Request request;
  EXPECT_TRUE(request.ParseFromString(AsOtlp(protocol, payload))) << protocol;
  return request;
}

std::vector<oracle::Span> SpansOf(const oracle::Request& request) {
  std::vector<oracle::Span> spans;
  for (const auto& resource : request.resource_spans())
    for (const auto& scope : resource.scope_spans())
      for (const auto& span : scope.spans()) spans.push_back(span);
  return spans;
}

std::string BigEndian(uint64_t id) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(id >> shift));
  return out;
}

using Texts = std::map<std::string, std::string>;
template <typename Attributes>
Texts TextsOf(const Attributes& attributes) {
  Texts out;
  for (const auto& pair : attributes) out[pair.key()] = pair.value().string_value();
  return out;
}

Shape SmallShape() {
  Shape shape;
  shape.spans_per_request = 20;
  shape.bytes_per_span = 420;
  shape.services = 3;
  shape.attributes = 8;
  return shape;
}

class Encoders : public testing::TestWithParam<std::string> {};

TEST_P(Encoders, EveryFieldOfTheSampleComesBack) {
  for (uint32_t seed : {0u, 1u, 2u}) {
    const Sample sample = MakeSample(SmallShape(), seed);
    const Payload payload = FindProtocol(GetParam()).encode(sample);
    EXPECT_EQ(payload.spans, sample.spans.size());
    const oracle::Request request = Parsed(GetParam(), payload);
    ASSERT_EQ(request.resource_spans_size(), 1);
    EXPECT_EQ(TextsOf(request.resource_spans(0).resource().attributes())["service.name"],
              sample.service);
    const auto spans = SpansOf(request);
    ASSERT_EQ(spans.size(), sample.spans.size());
    for (size_t i = 0; i < spans.size(); ++i) {
      const SampleSpan& want = sample.spans[i];
      EXPECT_EQ(spans[i].trace_id(), BigEndian(sample.trace_high) + BigEndian(sample.trace_low));
      EXPECT_EQ(spans[i].span_id(), BigEndian(want.id));
      EXPECT_EQ(spans[i].parent_span_id(), want.parent == 0 ? "" : BigEndian(want.parent));
      EXPECT_EQ(spans[i].name(), want.name);
      // Zipkin has no word for an internal span; weft's reader says "unspecified" then.
      if (GetParam() != "zipkin" || want.kind != 1) {
        EXPECT_EQ(static_cast<uint32_t>(spans[i].kind()), want.kind);
      }
      EXPECT_EQ(spans[i].start_time_unix_nano(), want.start_ns);
      EXPECT_EQ(spans[i].end_time_unix_nano(), want.start_ns + want.duration_ns);
      const Texts got = TextsOf(spans[i].attributes());
      for (const auto& [key, value] : want.attributes) {
        ASSERT_TRUE(got.contains(key)) << key;
        EXPECT_EQ(got.at(key), value);
      }
    }
  }
}

TEST_P(Encoders, AStampReplacesEveryTraceIdAndNothingElse) {
  const Sample sample = MakeSample(SmallShape(), 5);
  Payload payload = FindProtocol(GetParam()).encode(sample);
  const Payload before = payload;
  for (uint64_t serial : {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 40,
                          (uint64_t{77} << 40) + 12345}) {
    payload.Stamp(serial);
    Sample stamped = sample;
    stamped.trace_low = StampedId(serial);
    EXPECT_EQ(payload.bytes, FindProtocol(GetParam()).encode(stamped).bytes) << serial;
  }
  EXPECT_EQ(payload.bytes.size(), before.bytes.size());
}

INSTANTIATE_TEST_SUITE_P(Protocols, Encoders, testing::ValuesIn(ProtocolNames()),
                         [](const auto& info) { return info.param; });

TEST(Payload, NoTwoSerialsShareATrace) {
  std::set<uint64_t> ids;
  for (uint64_t run = 0; run < 50; ++run)
    for (uint64_t n = 0; n < 200; ++n) EXPECT_TRUE(ids.insert(StampedId(run << 40 | n)).second);
}

TEST(Payload, SpansAreAsLargeAsTheShapeSays) {
  for (uint32_t bytes : {300u, 500u, 2000u}) {
    Shape shape;
    shape.bytes_per_span = bytes;
    const Payload payload = OtlpProto(MakeSample(shape, 1));
    const double mean = static_cast<double>(payload.bytes.size()) / payload.spans;
    EXPECT_NEAR(mean, bytes, bytes * 0.05);
  }
}

TEST(Payload, NotesAreAsManyDistinctTextsAsTheShapeSays) {
  for (uint32_t notes : {0u, 4u}) {
    Shape shape;
    shape.notes = notes;
    std::set<std::string> heads;
    for (const SampleSpan& span : MakeSample(shape, 1).spans)
      heads.insert(span.attributes.back().second.substr(0, 100));
    EXPECT_EQ(heads.size(), notes == 0 ? shape.spans_per_request : notes);
  }
}

TEST(Payload, TheDepthIsTheLongestWayToARootAndChildrenLieInsideTheirParents) {
  Shape shape;
  shape.depth = 6;
  const Sample sample = MakeSample(shape, 1);
  std::map<uint64_t, uint32_t> level;
  std::map<uint64_t, uint64_t> starts, ends;
  uint32_t deepest = 0;
  for (const SampleSpan& span : sample.spans) {
    level[span.id] = span.parent == 0 ? 1 : level.at(span.parent) + 1;
    deepest = std::max(deepest, level[span.id]);
    starts[span.id] = span.start_ns, ends[span.id] = span.start_ns + span.duration_ns;
    if (span.parent == 0) continue;
    EXPECT_GE(starts[span.id], starts[span.parent]);
    EXPECT_LE(ends[span.id], ends[span.parent]);
  }
  EXPECT_EQ(deepest, 6u);
}

}  // namespace
}  // namespace weft::bench
