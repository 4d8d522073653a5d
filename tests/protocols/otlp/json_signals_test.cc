// Metrics and logs in JSON, against protobuf's own JSON and by hand where OTLP differs from it.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "oracle/signals.pb.h"
#include "protocols/otlp/json_read.h"
#include "protocols/otlp/oracle.h"

namespace weft::protocols::otlp {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;
using model::Signal;

template <typename Request>
constexpr Signal kSignalOf =
    std::is_same_v<Request, oracle::LogsRequest> ? Signal::kLogs : Signal::kMetrics;

bool Read(std::string_view json, Signal signal, std::string* proto, std::string* error) {
  base::ByteBuffer in(json.size()), out;
  in.Append(json);
  const bool ok = JsonToProto(in.view(), &out, error, signal);
  *proto = base::AsText(out.view());
  return ok;
}

template <typename Request>
Request Accept(std::string_view json) {
  std::string proto, error;
  Request request;
  EXPECT_TRUE(Read(json, kSignalOf<Request>, &proto, &error)) << error << "\n" << json;
  EXPECT_TRUE(request.ParseFromString(proto)) << json;
  return request;
}

// Fills every field by chance. Ids stay empty: OTLP spells them otherwise than protobuf.
class Filler {
 public:
  explicit Filler(uint32_t seed) : random_(seed) {}

  void Fill(Message* message, int depth = 0) {
    const auto* type = message->GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (field->type() == FieldDescriptor::TYPE_BYTES && field->name() != "bytes_value") continue;
      if (random_() % 4 == 0) continue;
      if (field->containing_oneof() != nullptr && random_() % 3 != 0) continue;
      if (!field->is_repeated()) {
        Set(message, field, depth);
      } else {
        for (uint32_t n = random_() % 4; n > 0; --n) Set(message, field, depth);
      }
    }
  }

 private:
  template <typename Setter, typename Adder, typename Value>
  void Put(Message* m, const FieldDescriptor* f, Setter set, Adder add, Value value) {
    const auto* r = m->GetReflection();
    f->is_repeated() ? (r->*add)(m, f, value) : (r->*set)(m, f, value);
  }

  void Set(Message* m, const FieldDescriptor* f, int depth) {
    using R = google::protobuf::Reflection;
    const auto* r = m->GetReflection();
    const uint64_t bits = uint64_t{random_()} << 32 >> (random_() % 64) | random_();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return Put(m, f, &R::SetInt32, &R::AddInt32, static_cast<int32_t>(bits));
      case FieldDescriptor::CPPTYPE_INT64:
        return Put(m, f, &R::SetInt64, &R::AddInt64, static_cast<int64_t>(bits << 3));
      case FieldDescriptor::CPPTYPE_UINT32:
        return Put(m, f, &R::SetUInt32, &R::AddUInt32, static_cast<uint32_t>(bits));
      case FieldDescriptor::CPPTYPE_UINT64:
        return Put(m, f, &R::SetUInt64, &R::AddUInt64, bits << 3);
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Put(m, f, &R::SetDouble, &R::AddDouble,
                   random_() % 8 == 0 ? -HUGE_VAL : static_cast<double>(bits) / 7);
      case FieldDescriptor::CPPTYPE_BOOL:
        return Put(m, f, &R::SetBool, &R::AddBool, random_() % 2 == 0);
      case FieldDescriptor::CPPTYPE_ENUM:
        return r->SetEnumValue(
            m, f,
            static_cast<int>(random_() % static_cast<uint32_t>(f->enum_type()->value_count())));
      case FieldDescriptor::CPPTYPE_STRING:
        return Put(m, f, &R::SetString, &R::AddString, "t\"\\é\n" + std::to_string(bits));
      default:
        if (depth > 12) return;
        return Fill(f->is_repeated() ? r->AddMessage(m, f) : r->MutableMessage(m, f), depth + 1);
    }
  }

  std::mt19937 random_;
};

template <typename Request>
void ReadsWhatProtobufWrites() {
  size_t bytes = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    Request request;
    Filler(seed).Fill(&request);
    google::protobuf::util::JsonPrintOptions options;
    options.always_print_enums_as_ints = seed % 2 == 0;
    options.add_whitespace = seed % 3 == 0;
    std::string json;
    ASSERT_TRUE(MessageToJsonString(request, &json, options).ok());
    const Request read = Accept<Request>(json);
    ASSERT_TRUE(MessageDifferencer::Equals(request, read)) << json << "\n" << read.DebugString();
    bytes += json.size();
  }
  EXPECT_GT(bytes, 1'000'000u);
}

TEST(JsonSignals, MetricsOfEveryShapeAreWhatProtobufWrote) {
  ReadsWhatProtobufWrites<oracle::MetricsRequest>();
}

TEST(JsonSignals, LogsOfEveryShapeAreWhatProtobufWrote) {
  ReadsWhatProtobufWrites<oracle::LogsRequest>();
}

std::string MetricJson(std::string_view members) {
  return R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{)" + std::string(members) + "}]}]}]}";
}
oracle::Metric AcceptMetric(std::string_view members) {
  const auto request = Accept<oracle::MetricsRequest>(MetricJson(members));
  return request.resource_metrics(0).scope_metrics(0).metrics(0);
}
oracle::LogRecord AcceptLog(std::string_view members) {
  const auto request = Accept<oracle::LogsRequest>(
      R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[{)" + std::string(members) + "}]}]}]}");
  return request.resource_logs(0).scope_logs(0).log_records(0);
}
void Refuse(std::string_view json, Signal signal) {
  std::string proto, error;
  EXPECT_FALSE(Read(json, signal, &proto, &error)) << json;
  EXPECT_FALSE(error.empty());
  EXPECT_TRUE(proto.empty());
}

// Where OTLP differs from protobuf's JSON.
TEST(JsonSignals, IdsAreHex) {
  const oracle::LogRecord log =
      AcceptLog(R"("traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174")");
  EXPECT_EQ(base::TraceId::FromBytes(base::AsBytes(log.trace_id())).Hex(),
            "5b8efff798038103d269b633813fc60c");
  EXPECT_EQ(base::SpanId::FromBytes(base::AsBytes(log.span_id())).Hex(), "eee19b7ec3c1b174");
  EXPECT_EQ(AcceptLog(R"("traceId":"","spanId":"x")").span_id(), "");
  const oracle::Metric metric = AcceptMetric(
      R"("gauge":{"dataPoints":[{"asInt":0,"exemplars":[{"traceId":"0102","spanId":"0a"}]}]})");
  EXPECT_EQ(metric.gauge().data_points(0).exemplars(0).trace_id(), "\1\2");
  EXPECT_EQ(metric.gauge().data_points(0).exemplars(0).span_id(), "\n");
  // A zero that was said is a value.
  EXPECT_EQ(metric.gauge().data_points(0).value_case(), oracle::NumberDataPoint::kAsInt);
}

TEST(JsonSignals, NumbersInEverySpelling) {
  const oracle::Metric metric = AcceptMetric(
      R"("histogram":{"aggregationTemporality":"2","dataPoints":[{"count":2e0,"sum":"1.5",)"
      R"("min":"NaN","bucketCounts":[1,"2",null,3.0],"explicitBounds":["-Infinity",1,"2.5"]}]})");
  EXPECT_EQ(metric.histogram().aggregation_temporality(),
            oracle::AGGREGATION_TEMPORALITY_CUMULATIVE);
  const auto& point = metric.histogram().data_points(0);
  EXPECT_EQ(point.count(), 2u);
  EXPECT_EQ(point.sum(), 1.5);
  EXPECT_TRUE(std::isnan(point.min()));
  EXPECT_FALSE(point.has_max());
  EXPECT_EQ(std::vector<uint64_t>(point.bucket_counts().begin(), point.bucket_counts().end()),
            (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(std::vector<double>(point.explicit_bounds().begin(), point.explicit_bounds().end()),
            (std::vector<double>{-HUGE_VAL, 1, 2.5}));
  EXPECT_EQ(AcceptLog(R"("severityNumber":"SEVERITY_NUMBER_FATAL4")").severity_number(), 24);
  EXPECT_EQ(AcceptLog(R"("severityNumber":"SEVERITY_NUMBER_DEBUG")").severity_number(), 5);
}

TEST(JsonSignals, UnknownMembersNullsAndOtherCaseAreIgnored) {
  EXPECT_EQ(Accept<oracle::MetricsRequest>(R"({"resourceMetrics":null})").ByteSizeLong(), 0u);
  EXPECT_EQ(Accept<oracle::LogsRequest>(R"({"resourceSpans":[{"x":1}]})").ByteSizeLong(), 0u);
  const oracle::Metric metric =
      AcceptMetric(R"("name":"a","futureData":{"deep":[[{}]]},"data_points":1,"unit":null)");
  EXPECT_EQ(metric.name(), "a");
  EXPECT_EQ(metric.ByteSizeLong(), 3u);
}

TEST(JsonSignals, OtherDocumentsAreRefused) {
  for (Signal signal : {Signal::kMetrics, Signal::kLogs}) {
    for (std::string_view bad : {"", "[]", "null", "{", "{}x"}) Refuse(bad, signal);
  }
  for (std::string_view bad :
       {R"("gauge":[])", R"("gauge":{"dataPoints":{}})", R"("name":5)",
        R"("gauge":{"dataPoints":[{"asInt":1.5}]})", R"("gauge":{"dataPoints":[{"asDouble":{}}]})",
        R"("exponentialHistogram":{"dataPoints":[{"scale":4294967296}]})",
        R"("histogram":{"dataPoints":[{"bucketCounts":1}]})",
        R"("histogram":{"dataPoints":[{"bucketCounts":[[1]]}]})",
        R"("sum":{"aggregationTemporality":"DELTA"})", R"("sum":{"isMonotonic":1})"}) {
    Refuse(MetricJson(bad), Signal::kMetrics);
  }
  Refuse("{}", Signal::kProfiles);
}

TEST(JsonSignals, DepthIsBounded) {
  std::string body = R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":)";
  for (int i = 0; i < 100'000; ++i) body += R"({"arrayValue":{"values":[)";
  Refuse(body, Signal::kLogs);
}

}  // namespace
}  // namespace weft::protocols::otlp
