// jaeger.api_v2 against the thrift form of the same batch: the bytes are made by protobuf itself,
// and both ways must say the same.
#include <gtest/gtest.h>

#include <random>

#include "oracle/api_v2.pb.h"
#include "protocols/jaeger/datagram.h"
#include "protocols/jaeger/transcode.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/json_write.h"
#include "protocols/otlp/view.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::jaeger {
namespace {

std::string Big(int64_t value) {
  std::string out;
  for (int i = 7; i >= 0; --i) out += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  return out;
}

void ToProto(const TestTag& tag, jaeger_oracle::KeyValue* out) {
  static constexpr jaeger_oracle::ValueType kTypes[] = {
      jaeger_oracle::STRING, jaeger_oracle::FLOAT64, jaeger_oracle::BOOL, jaeger_oracle::INT64,
      jaeger_oracle::BINARY};
  out->set_key(tag.key);
  out->set_v_type(kTypes[tag.type]);
  if (tag.type == 0) out->set_v_str(tag.text);
  if (tag.type == 1) out->set_v_float64(tag.real);
  if (tag.type == 2) out->set_v_bool(tag.flag);
  if (tag.type == 3) out->set_v_int64(tag.number);
  if (tag.type == 4) out->set_v_binary(tag.text);
}

void ToProto(const TestSpan& span, jaeger_oracle::Span* out) {
  out->set_trace_id(Big(span.trace_high) + Big(span.trace_low));
  out->set_span_id(Big(span.span));
  out->set_operation_name(span.name);
  for (const TestReference& r : span.references) {
    auto* reference = out->add_references();
    reference->set_trace_id(Big(r.trace_high) + Big(r.trace_low));
    reference->set_span_id(Big(r.span));
    reference->set_ref_type(static_cast<jaeger_oracle::SpanRefType>(r.type));
  }
  out->set_flags(static_cast<uint32_t>(span.flags));
  out->mutable_start_time()->set_seconds(span.start_us / 1'000'000);
  out->mutable_start_time()->set_nanos(static_cast<int32_t>(span.start_us % 1'000'000 * 1000));
  out->mutable_duration()->set_seconds(span.duration_us / 1'000'000);
  out->mutable_duration()->set_nanos(static_cast<int32_t>(span.duration_us % 1'000'000 * 1000));
  for (const TestTag& tag : span.tags) ToProto(tag, out->add_tags());
  for (const TestLog& log : span.logs) {
    auto* to = out->add_logs();
    to->mutable_timestamp()->set_seconds(log.time_us / 1'000'000);
    to->mutable_timestamp()->set_nanos(static_cast<int32_t>(log.time_us % 1'000'000 * 1000));
    for (const TestTag& tag : log.fields) ToProto(tag, to->add_fields());
  }
}

jaeger_oracle::PostSpansRequest ToProto(const TestBatch& batch) {
  jaeger_oracle::PostSpansRequest out;
  out.mutable_batch()->mutable_process()->set_service_name(batch.service);
  for (const TestTag& tag : batch.process)
    ToProto(tag, out.mutable_batch()->mutable_process()->add_tags());
  for (const TestSpan& span : batch.spans) ToProto(span, out.mutable_batch()->add_spans());
  return out;
}

std::string Json(const base::ByteBuffer& otlp) {
  std::string out;
  otlp::AppendJson(otlp.view(), &out);
  return out;
}

std::string FromProto(std::string_view request, TranscodeStatus want = TranscodeStatus::kDone) {
  base::ByteBuffer out;
  DatagramReport report;
  EXPECT_EQ(TranscodeProto(base::AsBytes(request), &out, &report), want);
  if (want != TranscodeStatus::kDone) {
    EXPECT_TRUE(out.empty());
    return {};
  }
  base::ByteBuffer copy;
  copy.Append(out.view());
  model::OtlpBatch batch;
  const otlp::IndexReport index = otlp::Index(base::Share(std::move(copy)), &batch);
  EXPECT_EQ(index.status, otlp::IndexStatus::kDone) << index.reason;
  EXPECT_EQ(index.spans, report.spans);
  return Json(out);
}

// The Batch without the call around it: behind head (17 bytes + sequence) and the argument's field,
// before the stop of the arguments.
std::string BareThrift(const TestBatch& batch) {
  const std::string call = MakeDatagram(Encoding::kBinary, batch);
  return call.substr(21 + 3, call.size() - 24 - 1);
}

std::string FromThrift(const TestBatch& batch) {
  base::ByteBuffer out;
  DatagramReport report;
  EXPECT_EQ(TranscodeBatch(base::AsBytes(BareThrift(batch)), &out, &report),
            TranscodeStatus::kDone);
  EXPECT_EQ(report.spans, batch.spans.size());
  return Json(out);
}

TestTag RandomTag(std::mt19937& random) {
  static const char* const kTexts[][2] = {{"span.kind", "server"},
                                          {"span.kind", "strange"},
                                          {"otel.status_code", "Error"},
                                          {"otel.status_code", "maybe"},
                                          {"http.status_code", "404"},
                                          {"otel.scope.name", "lib"},
                                          {"otel.scope.version", "2"},
                                          {"w3c.tracestate", "a=b"},
                                          {"otel.status_description", "why"},
                                          {"event", "start"},
                                          {"http.status_message", "x"},
                                          {"", ""},
                                          {"hostname", "h"},
                                          {"host.name", "n"},
                                          {"jaeger.version", "Go-2"},
                                          {"unit", "\xc3\xa4"},
                                          {"error", "true"}};
  switch (random() % 8) {
    case 0:
      return Bool("error", random() % 2);
    case 1:
      return Long("http.status_code", static_cast<int64_t>(random() % 700));
    case 2:
      return Double("real" + std::to_string(random() % 3), static_cast<double>(random()) / 7);
    case 3:
      return Binary("raw", std::string(random() % 5, '\xff'));
    default: {
      const auto& pair = kTexts[random() % std::size(kTexts)];
      return Text(pair[0], pair[1]);
    }
  }
}

TestBatch RandomBatch(std::mt19937& random) {
  TestBatch batch;
  batch.service = random() % 5 == 0 ? "" : "shop";
  for (size_t n = random() % 4; n > 0; --n) batch.process.push_back(RandomTag(random));
  batch.spans.clear();
  for (size_t n = random() % 5 + 1; n > 0; --n) {
    TestSpan span;
    span.trace_low = static_cast<int64_t>(random() % 3 + 1);
    span.trace_high = static_cast<int64_t>(random() % 2);
    span.span = static_cast<int64_t>(random()) << 20 | 1;
    span.flags = static_cast<int32_t>(random() % 4);
    span.start_us = 1'700'000'000'000'000 + static_cast<int64_t>(random());
    span.duration_us = static_cast<int64_t>(random() % 5'000'000);
    for (size_t i = random() % 4; i > 0; --i) {
      span.references.push_back(
          {static_cast<int>(random() % 2), static_cast<int64_t>(random() % 3 + 1),
           static_cast<int64_t>(random() % 2), static_cast<int64_t>(random() % 9 + 1)});
    }
    for (size_t i = random() % 6; i > 0; --i) span.tags.push_back(RandomTag(random));
    for (size_t i = random() % 3; i > 0; --i) {
      span.logs.push_back({span.start_us, {RandomTag(random), RandomTag(random)}});
    }
    batch.spans.push_back(std::move(span));
  }
  return batch;
}

TEST(JaegerProto, RandomBatchesSayTheSameAsTheirThriftForm) {
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    const TestBatch batch = RandomBatch(random);
    ASSERT_EQ(FromProto(ToProto(batch).SerializeAsString()), FromThrift(batch)) << round;
  }
}

TEST(JaegerProto, ASpansOwnProcessGetsItsOwnResource) {
  TestBatch batch;
  batch.spans = {TestSpan{.span = 1}, TestSpan{.span = 2}, TestSpan{.span = 3},
                 TestSpan{.span = 4}};
  auto request = ToProto(batch);
  for (int i : {1, 2}) {
    auto* process = request.mutable_batch()->mutable_spans(i)->mutable_process();
    process->set_service_name("other");
  }
  base::ByteBuffer out;
  DatagramReport report;
  ASSERT_EQ(TranscodeProto(base::AsBytes(request.SerializeAsString()), &out, &report),
            TranscodeStatus::kDone);
  std::vector<otlp::ResourceSpansView> resources;
  ASSERT_TRUE(otlp::Decode(out.view(), &resources));
  ASSERT_EQ(resources.size(), 3u);
  EXPECT_EQ(resources[0].ServiceName(), "shop");
  EXPECT_EQ(resources[1].ServiceName(), "other");
  EXPECT_EQ(resources[1].scopes.at(0).spans.size(), 2u);
  EXPECT_EQ(resources[2].ServiceName(), "shop");
}

TEST(JaegerProto, NanosecondsAreKeptAndTimesAreClamped) {  // F40
  auto request = ToProto(TestBatch{});
  auto* span = request.mutable_batch()->mutable_spans(0);
  span->mutable_start_time()->set_nanos(123'456'789);
  span->mutable_duration()->set_seconds(-5);
  span->mutable_duration()->set_nanos(0);
  EXPECT_NE(FromProto(request.SerializeAsString())
                .find("\"startTimeUnixNano\":\"1700000000123456789\",\"endTimeUnixNano\":"
                      "\"1700000000123456789\""),
            std::string::npos);
  span->mutable_duration()->set_seconds(INT64_MAX);
  EXPECT_NE(FromProto(request.SerializeAsString()).find("\"18446744073709551615\""),
            std::string::npos);
}

// F39
TEST(JaegerProto, IdsOfAWrongLengthCountAsMissing) {
  auto request = ToProto(TestBatch{});
  request.mutable_batch()->mutable_spans(0)->set_span_id("abc");
  base::ByteBuffer out;
  DatagramReport report;
  ASSERT_EQ(TranscodeProto(base::AsBytes(request.SerializeAsString()), &out, &report),
            TranscodeStatus::kDone);
  model::OtlpBatch batch;
  EXPECT_EQ(otlp::Index(base::Share(std::move(out)), &batch).zero_ids, 1u);
}

// F30: whatever is cut or damaged is refused or read, and nothing is written beyond the bound.
TEST(JaegerProto, DamageIsRefusedOrReadWithinTheBound) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = ToProto(RandomBatch(random)).SerializeAsString();
    if (round % 2 == 0) {
      bytes.resize(random() % bytes.size());
    } else {
      for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    base::ByteBuffer out;
    DatagramReport report;
    const auto status = TranscodeProto(base::AsBytes(bytes), &out, &report);
    ASSERT_LE(out.size(), kMaxExpansion * bytes.size() + kFreeBytes);
    if (status != TranscodeStatus::kDone) {
      ASSERT_TRUE(out.empty());
      continue;
    }
    model::OtlpBatch batch;
    ASSERT_EQ(otlp::Index(base::Share(std::move(out)), &batch).status, otlp::IndexStatus::kDone);
  }
  std::string empties;
  for (int i = 0; i < 10'000; ++i) empties += std::string("\x0a\0", 2);
  base::ByteBuffer bomb;
  otlp::Writer(bomb).Bytes(1, base::AsBytes(empties));
  FromProto(base::AsText(bomb.view()), TranscodeStatus::kTooExpanded);
}

}  // namespace
}  // namespace weft::protocols::jaeger
