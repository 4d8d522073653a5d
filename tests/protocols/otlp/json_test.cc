#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cmath>

#include "protocols/otlp/base64.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/json_read.h"
#include "protocols/otlp/json_write.h"
#include "protocols/otlp/oracle.h"

namespace weft::protocols::otlp {
namespace {

using google::protobuf::util::MessageDifferencer;

// The exact-size copy lets a sanitizer see any read behind the end.
bool Read(std::string_view json, std::string* proto, std::string* error) {
  base::ByteBuffer in(json.size()), out;
  in.Append(json);
  bool ok = JsonToProto(in.view(), &out, error);
  *proto = base::AsText(out.view());
  return ok;
}

oracle::Request Accept(std::string_view json) {
  std::string proto, error;
  EXPECT_TRUE(Read(json, &proto, &error)) << error << "\n" << json;
  return Parse(proto);
}

void Refuse(std::string_view json) {
  std::string proto, error;
  EXPECT_FALSE(Read(json, &proto, &error)) << json;
  EXPECT_FALSE(error.empty());
  EXPECT_TRUE(proto.empty());
}

// A request with one span that has the given members.
std::string SpanJson(std::string_view members) {
  return R"({"resourceSpans":[{"scopeSpans":[{"spans":[{)" + std::string(members) + "}]}]}]}";
}
oracle::Span AcceptSpan(std::string_view members) {
  oracle::Request request = Accept(SpanJson(members));
  return request.resource_spans(0).scope_spans(0).spans(0);
}
oracle::AnyValue AcceptValue(std::string_view members) {
  return AcceptSpan(R"("attributes":[{"key":"k","value":{)" + std::string(members) + "}}]")
      .attributes(0)
      .value();
}

std::string WriteJson(const oracle::Request& request) {
  std::string bytes = request.SerializeAsString(), json;
  AppendJson(base::AsBytes(bytes), &json);
  return json;
}

// The example of the specification, with what real senders add: empty arrays, any order of keys.
constexpr std::string_view kExample = R"({
  "resourceSpans": [{
    "resource": {"droppedAttributesCount": 0,
                 "attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
    "scopeSpans": [{
      "scope": {"name": "my.library", "version": "1.0.0",
        "attributes": [{"key": "a", "value": {"stringValue": "b"}}]},
      "spans": [{
        "attributes": [{"value": {"intValue": 9007199254740991}, "key": "n"}],
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
        "parentSpanId": "eee19b7ec3c1b173", "name": "I'm a server span",
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
        "kind": 2, "events": [], "links": [], "droppedEventsCount": 0, "status": {"code": 0},
        "someNewField": {"deep": [1, {"x": null}]}
      }]
    }],
    "schemaUrl": null
  }]
})";

TEST(JsonRead, SpecificationExample) {
  oracle::Request request = Accept(kExample);
  const auto& resource = request.resource_spans(0);
  EXPECT_EQ(resource.resource().attributes(0).value().string_value(), "my.service");
  EXPECT_EQ(resource.scope_spans(0).scope().name(), "my.library");
  const oracle::Span& span = resource.scope_spans(0).spans(0);
  EXPECT_EQ(base::TraceId::FromBytes(base::AsBytes(span.trace_id())).Hex(),
            "5b8efff798038103d269b633813fc60c");
  EXPECT_EQ(base::SpanId::FromBytes(base::AsBytes(span.parent_span_id())).Hex(),
            "eee19b7ec3c1b173");
  EXPECT_EQ(span.kind(), oracle::Span::SERVER);
  EXPECT_EQ(span.start_time_unix_nano(), 1544712660000000000u);
  EXPECT_EQ(span.end_time_unix_nano(), 1544712661000000000u);
  EXPECT_EQ(span.attributes(0).value().int_value(), 9007199254740991);
  EXPECT_EQ(span.name(), "I'm a server span");
}

TEST(JsonRead, EmptyRequestsAreFine) {
  for (std::string_view json :
       {"{}", " {} ", R"({"resourceSpans":[]})", R"({"resourceSpans":null})", "\xef\xbb\xbf{}"}) {
    EXPECT_EQ(Accept(json).ByteSizeLong(), 0u);
  }
}

// F37: 64-bit integers in every spelling.
TEST(JsonRead, IntegersMayBeNumbersStringsAndExponents) {
  EXPECT_EQ(AcceptValue(R"("intValue":"-9223372036854775808")").int_value(), INT64_MIN);
  EXPECT_EQ(AcceptValue(R"("intValue":9223372036854775807)").int_value(), INT64_MAX);
  EXPECT_EQ(AcceptValue(R"("intValue":1e3)").int_value(), 1000);
  EXPECT_EQ(AcceptValue(R"("intValue":-2.0)").int_value(), -2);
  EXPECT_EQ(AcceptSpan(R"("endTimeUnixNano":"18446744073709551615")").end_time_unix_nano(),
            UINT64_MAX);
  for (std::string_view bad :
       {R"("1.5")", "1.5", R"("")", R"("12x")", "true", "{}", "[1]", "1e30", R"("NaN")", "12abc"}) {
    Refuse(SpanJson(R"("attributes":[{"value":{"intValue":)" + std::string(bad) + "}}]"));
  }
}

// F37: NaN and its kin.
TEST(JsonRead, DoublesMayBeNotANumber) {
  EXPECT_TRUE(std::isnan(AcceptValue(R"("doubleValue":"NaN")").double_value()));
  EXPECT_EQ(AcceptValue(R"("doubleValue":"Infinity")").double_value(), HUGE_VAL);
  EXPECT_EQ(AcceptValue(R"("doubleValue":"-Infinity")").double_value(), -HUGE_VAL);
  EXPECT_EQ(AcceptValue(R"("doubleValue":0.1)").double_value(), 0.1);
  EXPECT_EQ(AcceptValue(R"("doubleValue":"2.5e-3")").double_value(), 0.0025);
  EXPECT_EQ(AcceptValue(R"("doubleValue":3)").double_value(), 3);
  EXPECT_EQ(AcceptValue(R"("doubleValue":1e999)").double_value(), HUGE_VAL);
  Refuse(SpanJson(R"("attributes":[{"value":{"doubleValue":NaN}}])"));
  Refuse(SpanJson(R"("attributes":[{"value":{"doubleValue":"inf"}}])"));
}

TEST(JsonRead, BytesInBothAlphabetsWithOrWithoutPadding) {
  for (std::string_view text : {"+/8=", "-_8=", "+/8", "-_8"}) {
    EXPECT_EQ(AcceptValue(R"("bytesValue":")" + std::string(text) + '"').bytes_value(), "\xfb\xff");
  }
  Refuse(SpanJson(R"("attributes":[{"value":{"bytesValue":"!!"}}])"));
}

TEST(JsonRead, ValuesOfEveryKind) {
  EXPECT_EQ(AcceptValue(R"("boolValue":true)").bool_value(), true);
  EXPECT_EQ(AcceptValue(R"("boolValue":false)").value_case(), oracle::AnyValue::kBoolValue);
  EXPECT_EQ(AcceptValue(R"("stringValue":"")").value_case(), oracle::AnyValue::kStringValue);
  EXPECT_EQ(AcceptValue("").value_case(), oracle::AnyValue::VALUE_NOT_SET);
  EXPECT_EQ(AcceptValue(R"("stringValue":null)").value_case(), oracle::AnyValue::VALUE_NOT_SET);
  EXPECT_EQ(AcceptValue(R"("arrayValue":{})").value_case(), oracle::AnyValue::kArrayValue);
  oracle::AnyValue value =
      AcceptValue(R"("arrayValue":{"values":[{"intValue":"1"},{},{"stringValue":"x"}]})");
  ASSERT_EQ(value.array_value().values_size(), 3);
  EXPECT_EQ(value.array_value().values(2).string_value(), "x");
  value = AcceptValue(R"("kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]})");
  EXPECT_TRUE(value.kvlist_value().values(0).value().bool_value());
}

TEST(JsonRead, EnumsMayBeNumbersOrNames) {
  EXPECT_EQ(AcceptSpan(R"("kind":"SPAN_KIND_CLIENT")").kind(), oracle::Span::CLIENT);
  EXPECT_EQ(AcceptSpan(R"("kind":"3")").kind(), oracle::Span::CLIENT);
  EXPECT_EQ(AcceptSpan(R"("status":{"code":"STATUS_CODE_ERROR"})").status().code(),
            oracle::Status::ERROR);
  Refuse(SpanJson(R"("kind":"CLIENT")"));
}

// F37: ids of wrong length or with other characters cost their span, not the request.
TEST(JsonRead, BadIdsReachIndexAsBadIds) {
  EXPECT_EQ(AcceptSpan(R"("traceId":"5b8e")").trace_id(), "\x5b\x8e");
  EXPECT_EQ(AcceptSpan(R"("traceId":"xyz")").trace_id(), "");
  EXPECT_EQ(AcceptSpan(R"("traceId":"","parentSpanId":"")").trace_id(), "");
  std::string proto, error;
  ASSERT_TRUE(Read(SpanJson(R"("traceId":"5b8e","spanId":"eee19b7ec3c1b174")"), &proto, &error));
  model::OtlpBatch batch;
  EXPECT_EQ(Index(ToShared(proto), &batch).zero_ids, 1u);
}

TEST(JsonRead, EscapesOfEveryKind) {
  EXPECT_EQ(AcceptSpan(R"("name":"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")").name(),
            "\"\\/\b\f\n\r\tAé€😀");
  EXPECT_EQ(AcceptSpan(R"("n\u0061me":"escaped key")").name(), "escaped key");
  Refuse(SpanJson(R"("name":"\x")"));
  Refuse(SpanJson(R"("name":"\u12g4")"));
}

// JavaScript writes lone surrogates as escapes; strict parsers refuse the whole request.
TEST(JsonRead, LoneSurrogatesBecomeReplacementCharacters) {
  EXPECT_EQ(AcceptSpan(R"("name":"a\ud83d")").name(), "a\xef\xbf\xbd");
  EXPECT_EQ(AcceptSpan(R"("name":"\ude00b")").name(),
            "\xef\xbf\xbd"
            "b");
  EXPECT_EQ(AcceptSpan(R"("name":"\ud83d\u0041")").name(),
            "\xef\xbf\xbd"
            "A");
  EXPECT_EQ(AcceptSpan(R"("name":"\ud83d\ud83d\ude00")").name(), "\xef\xbf\xbd😀");
}

// F38.
TEST(JsonRead, InvalidUtf8IsRepaired) {
  EXPECT_EQ(AcceptSpan("\"name\":\"a\xff"
                       "b\"")
                .name(),
            "a?b");
}

TEST(JsonRead, UnknownFieldsAndSnakeCaseAreIgnored) {
  oracle::Span span = AcceptSpan(R"("name":"a","trace_id":"00","x":[[[{"y":1}]]],"z":"\u0000")");
  EXPECT_EQ(span.name(), "a");
  EXPECT_EQ(span.trace_id(), "");
}

TEST(JsonRead, DuplicateKeysLastScalarWins) {
  EXPECT_EQ(AcceptSpan(R"("name":"a","name":"b")").name(), "b");
}

// F37: everything that is not JSON of this form.
TEST(JsonRead, OtherDocumentsAreRefused) {
  for (std::string_view bad :
       {"", " ", "null", "[]", "1", "\"x\"", "{", "}", "{]", "{\"resourceSpans\":[}",
        "{\"resourceSpans\":{}}", "{\"resourceSpans\":[1]}", "{} {}", "{}x", "{\"a\":1,}",
        "{\"resourceSpans\":[{}", "{'a':1}", "{\"resourceSpans\":\"x\"}", "\x0a\x03\x12\x01\x00"}) {
    Refuse(bad);
  }
  Refuse(SpanJson(R"("name":5)"));
  Refuse(SpanJson(R"("name":{})"));
  Refuse(SpanJson(R"("attributes":{})"));
  Refuse(SpanJson("\"name\":\"a\nb\""));
}

// F37: depth 10^5; F27: nesting of values.
TEST(JsonRead, DepthIsBounded) {
  std::string deep(100'000, '[');
  Refuse(R"({"resourceSpans":)" + deep);
  Refuse(R"({"x":)" + deep);
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += R"({"x":)";
  Refuse(many);
  auto nested = [](int levels) {
    std::string value;
    for (int i = 1; i < levels; ++i) value += R"({"arrayValue":{"values":[)";
    value += R"({"boolValue":true})";
    for (int i = 1; i < levels; ++i) value += "]}}";
    return SpanJson(R"("traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",)"
                    R"("attributes":[{"value":)" +
                    value + "}]");
  };
  std::string proto, error;
  ASSERT_TRUE(Read(nested(kMaxDepth), &proto, &error)) << error;
  EXPECT_EQ(IndexOf(proto).spans.size(), 1u);
  Refuse(nested(kMaxDepth + 1));
}

TEST(JsonRead, EveryTruncationIsRefused) {
  for (size_t cut = 0; cut < kExample.size() - 1; ++cut) Refuse(kExample.substr(0, cut));
}

TEST(JsonRead, RandomDamageIsSafeAndGivesBytesThatIndexAccepts) {
  std::mt19937 random(5);
  int accepted = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string json =
        round % 2 == 0 ? std::string(kExample) : WriteJson(RandomRequest(round % 60));
    for (uint32_t n = 1 + random() % 4; n > 0; --n) {
      static constexpr std::string_view kBytes = "{}[]\",:\\0u-e.\xff";
      json[random() % json.size()] = kBytes[random() % kBytes.size()];
    }
    std::string proto, error;
    if (!Read(json, &proto, &error)) continue;
    ++accepted;
    IndexOf(proto);
  }
  EXPECT_GT(accepted, 100);
}

TEST(JsonWrite, LooksLikeTheCollectorsFileExporter) {
  oracle::Request request = OneSpan();
  oracle::Span* span = request.mutable_resource_spans(0)->mutable_scope_spans(0)->mutable_spans(0);
  oracle::KeyValue* pair = span->add_attributes();
  pair->set_key("n");
  pair->mutable_value()->set_int_value(-7);
  span->mutable_status()->set_code(oracle::Status::ERROR);
  EXPECT_EQ(WriteJson(request),
            R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":)"
            R"({"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"lib"},"spans":[{)"
            R"("traceId":"30313233343536373839616263646566","spanId":"3031323334353637",)"
            R"("name":"GET /","kind":2,"startTimeUnixNano":"1700000000000000000",)"
            R"("endTimeUnixNano":"1700000000000000001","attributes":[{"key":"n","value":)"
            R"({"intValue":"-7"}}],"status":{"code":2}}]}]}]})");
}

TEST(JsonWrite, NothingOrGarbageIsAnEmptyObject) {
  std::string out;
  AppendJson({}, &out);
  EXPECT_EQ(out, "{}");
  out.clear();
  AppendJson(base::AsBytes("\xff\xff"), &out);
  EXPECT_EQ(out, "{}");
}

// Proto → JSON → proto gives the same messages.
TEST(Json, RoundTripKeepsEverything) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    oracle::Request request = RandomRequest(seed);
    for (auto& resource : *request.mutable_resource_spans()) {
      resource.mutable_resource()->clear_entity_refs();  // not among the views
      for (auto& scope : *resource.mutable_scope_spans()) {
        scope.mutable_scope();
        for (auto& span : *scope.mutable_spans()) span.mutable_status();
      }
    }
    std::string json = WriteJson(request);
    EXPECT_EQ(json.find('\n'), json.npos);
    oracle::Request back = Accept(json);
    // A key without a value comes back as an empty value.
    std::string again = WriteJson(back);
    EXPECT_EQ(json, again) << seed;
    MessageDifferencer differ;
    std::string report;
    differ.ReportDifferencesToString(&report);
    if (!differ.Compare(request, back)) {
      for (size_t at = 0; at < report.size();) {
        size_t end = report.find('\n', at);
        std::string line = report.substr(at, end - at);
        EXPECT_TRUE(line.starts_with("added:") && line.ends_with("value: { }")) << line;
        at = end + 1;
      }
    }
  }
}

TEST(Base64, RoundTripsEveryLength) {
  std::string bytes;
  for (int i = 0; i < 70; ++i) {
    std::string back;
    ASSERT_TRUE(FromBase64(Base64(base::AsBytes(bytes)), &back));
    EXPECT_EQ(back, bytes);
    bytes.push_back(static_cast<char>(i * 37));
  }
  std::string out;
  EXPECT_EQ(Base64(base::AsBytes("light w")), "bGlnaHQgdw==");
  EXPECT_FALSE(FromBase64("A", &out));
  EXPECT_FALSE(FromBase64("A===", &out));
  EXPECT_FALSE(FromBase64("AA=A", &out));
}

}  // namespace
}  // namespace weft::protocols::otlp
