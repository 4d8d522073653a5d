#include "protocols/zipkin/transcode.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "oracle/zipkin.pb.h"
#include "protocols/otlp/json_write.h"
#include "protocols/otlp/view.h"
#include "protocols/thrift/thrift_writer.h"
#include "protocols/zipkin/entry_points.h"

namespace weft::protocols::zipkin {
namespace {

using otlp::SpanView;
using Kind = otlp::ValueView::Kind;

struct Decoded {
  TranscodeStatus status = TranscodeStatus::kMalformed;
  base::ByteBuffer bytes;
  Report report;
  std::vector<otlp::ResourceSpansView> resources;
  const SpanView& span() const { return resources.at(0).scopes.at(0).spans.at(0); }
  std::string Json() const {
    std::string out;
    otlp::AppendJson(bytes.view(), &out);
    return out;
  }
};

Decoded Read(std::string_view request, Format format, const Options& options = {}) {
  Decoded out;
  out.status = Transcode(base::AsBytes(request), format, options, &out.bytes, &out.report);
  EXPECT_TRUE(otlp::Decode(out.bytes.view(), &out.resources));
  EXPECT_EQ(TryAll(base::AsBytes(request)), "");
  return out;
}

constexpr char kIds[] = R"("traceId":"5982fe77008310cc","id":"67fae42571535f60")";

// One v2 span with these members besides its ids.
Decoded Span2(const std::string& members, const Options& options = {}) {
  const std::string comma = members.empty() ? "" : ",";
  Decoded out = Read("[{" + std::string(kIds) + comma + members + "}]", Format::kJson2, options);
  EXPECT_EQ(out.status, TranscodeStatus::kDone) << out.report.error;
  return out;
}
Decoded Tags(const std::string& tags) { return Span2("\"tags\":{" + tags + "}"); }

std::string TextOf(const SpanView& span, std::string_view key) {
  const otlp::ValueView* value = span.Find(key);
  return value == nullptr ? "(none)" : value->ToText();
}
std::string TextOf(const otlp::ResourceSpansView& resource, std::string_view key) {
  const otlp::ValueView* value = resource.Find(key);
  return value == nullptr ? "(none)" : value->ToText();
}

TEST(Zipkin2, IdsArePaddedOnTheLeft) {
  EXPECT_EQ(Span2("").span().trace_id.Hex(), "00000000000000005982fe77008310cc");
  EXPECT_EQ(Span2("").span().span_id.Hex(), "67fae42571535f60");
  const Decoded wide =
      Read(R"([{"traceId":"5982FE77008310cc80f1da5e10147519","id":"1","parentId":"2"}])",
           Format::kJson2);
  EXPECT_EQ(wide.span().trace_id.Hex(), "5982fe77008310cc80f1da5e10147519");
  EXPECT_EQ(wide.span().span_id.Hex(), "0000000000000001");
  EXPECT_EQ(wide.span().parent_id.Hex(), "0000000000000002");
}

// A tag takes two bytes on the wire and many in memory.
TEST(ZipkinAll, ASpanOfNothingButTagsIsRefused) {
  std::string proto_tags, json_tags, annotations;
  for (int i = 0; i < 70'000; ++i) {
    proto_tags += std::string("\x5a\0", 2);
    json_tags += i == 0 ? "\"\":0" : ",\"\":0";
    annotations += i == 0 ? "{}" : ",{}";
  }
  const size_t n = proto_tags.size();
  std::string proto = {'\x0a', static_cast<char>((n & 127) | 128),
                       static_cast<char>((n >> 7 & 127) | 128), static_cast<char>(n >> 14)};
  proto += proto_tags;
  base::ByteBuffer out;
  Report report;
  const auto status = [&](std::string_view request, Format format) {
    return Transcode(base::AsBytes(request), format, {}, &out, &report);
  };
  EXPECT_EQ(status(proto, Format::kProto2), TranscodeStatus::kMalformed);
  EXPECT_EQ(status("[{\"tags\":{" + json_tags + "}}]", Format::kJson2),
            TranscodeStatus::kMalformed);
  for (Format format : {Format::kJson1, Format::kJson2})
    EXPECT_EQ(status("[{\"annotations\":[" + annotations + "]}]", format),
              TranscodeStatus::kMalformed);
  EXPECT_EQ(status("[{\"binaryAnnotations\":[" + annotations + "]}]", Format::kJson1),
            TranscodeStatus::kMalformed);
  // A list of one struct whose field 8 is a list of 70,000 empty structs.
  std::string thrift("\x0c\0\0\0\x01\x0f\0\x08\x0c\0\x01\x11\x70", 13);
  thrift.append(70'001, '\0');
  EXPECT_EQ(status(thrift, Format::kThrift1), TranscodeStatus::kMalformed);
}

TEST(Zipkin2, AParentThatIsTheSpanItselfIsNone) {
  EXPECT_TRUE(Span2(R"("parentId":"67fae42571535f60")").span().parent_id.IsZero());
}

// F39
TEST(Zipkin2, ABadIdCostsThatSpanOnly) {
  const Decoded out = Read("[{\"traceId\":\"xyz\",\"id\":\"1\"},{\"id\":\"1\"},{" +
                               std::string(kIds) + "},{\"traceId\":\"0\",\"id\":\"1\"}]",
                           Format::kJson2);
  EXPECT_EQ(out.status, TranscodeStatus::kDone);
  EXPECT_EQ(out.report.spans, 1u);
  EXPECT_EQ(out.report.bad_ids, 3u);
}

TEST(Zipkin2, KindsAreTakenOver) {
  EXPECT_EQ(Span2("").span().kind, 0);
  EXPECT_EQ(Span2(R"("kind":"SERVER")").span().kind, 2);
  EXPECT_EQ(Span2(R"("kind":"CLIENT")").span().kind, 3);
  EXPECT_EQ(Span2(R"("kind":"PRODUCER")").span().kind, 4);
  EXPECT_EQ(Span2(R"("kind":"CONSUMER")").span().kind, 5);
  const Decoded internal = Tags(R"("span.kind":"internal")");
  EXPECT_EQ(internal.span().kind, 1);
  EXPECT_EQ(TextOf(internal.span(), "span.kind"), "(none)");
}

TEST(Zipkin2, MicrosecondsBecomeNanoseconds) {
  const Decoded out = Span2(R"("timestamp":1516781775726000,"duration":"26000","name":"get")");
  EXPECT_EQ(out.span().start_ns, 1516781775726000000u);
  EXPECT_EQ(out.span().end_ns, 1516781775752000000u);
  EXPECT_EQ(out.span().name, "get");
  EXPECT_EQ(TextOf(out.span(), "otel.zipkin.absentField.startTime"), "(none)");
  const Decoded absent = Span2(R"("duration":5)");
  EXPECT_EQ(absent.span().start_ns, 0u);
  EXPECT_EQ(absent.span().end_ns, 5000u);
  EXPECT_EQ(TextOf(absent.span(), "otel.zipkin.absentField.startTime"), "true");
  // F40
  EXPECT_EQ(Span2(R"("timestamp":18446744073709551615,"duration":9)").span().end_ns, UINT64_MAX);
  EXPECT_EQ(Span2(R"("timestamp":-5,"duration":1.5e3)").span().end_ns, 1'500'000u);
}

TEST(Zipkin2, EndpointsBecomeResourceAndAttributes) {
  const std::string members =
      R"("localEndpoint":{"serviceName":"api","ipv4":"192.0.2.1","port":8080},)"
      R"("remoteEndpoint":{"serviceName":"db","ipv6":"2001:db8::1","port":3306})";
  const Decoded out = Span2(members);
  EXPECT_EQ(out.resources[0].ServiceName(), "api");
  EXPECT_EQ(TextOf(out.span(), "net.host.ip"), "192.0.2.1");
  EXPECT_EQ(TextOf(out.span(), "net.host.port"), "8080");
  EXPECT_EQ(TextOf(out.span(), "net.peer.ip"), "2001:db8::1");
  EXPECT_EQ(out.span().Find("net.peer.port")->kind, Kind::kInt);
  EXPECT_EQ(TextOf(out.span(), "peer.service"), "db");
  const Decoded stable = Span2(members, {.stable_names = true});
  EXPECT_EQ(TextOf(stable.span(), "network.local.address"), "192.0.2.1");
  EXPECT_EQ(TextOf(stable.span(), "network.peer.port"), "3306");
  const Decoded named =
      Span2(R"("remoteEndpoint":{"serviceName":"db"},"tags":{"peer.service":"mine"})");
  EXPECT_EQ(TextOf(named.span(), "peer.service"), "mine");
  EXPECT_EQ(TextOf(Span2("").resources[0], "service.name"), "(none)");
}

TEST(Zipkin2, SpansOfOneServiceStandTogether) {
  std::string request = "[";
  for (int i = 1; i <= 9; ++i) {
    request += R"({"traceId":"1","id":")" + std::to_string(i) +
               R"(","localEndpoint":{"serviceName":"s)" + std::to_string(i % 3) + "\"}},";
  }
  request.back() = ']';
  const Decoded out = Read(request, Format::kJson2);
  ASSERT_EQ(out.resources.size(), 3u);
  for (const auto& resource : out.resources) EXPECT_EQ(resource.scopes.at(0).spans.size(), 3u);
  EXPECT_EQ(out.resources[0].ServiceName(), "s1");
  EXPECT_EQ(out.resources[0].scopes[0].spans[1].span_id.Hex(), "0000000000000004");
}

TEST(Zipkin2, ResourceNamesMoveToTheResource) {
  const Decoded out =
      Span2(R"("localEndpoint":{"serviceName":"api"},"tags":{"k8s.pod.name":"p","host.name":"h",)"
            R"("faas.name":"f","faas.trigger":"http","http.path":"/","service.version":"2"})");
  EXPECT_EQ(TextOf(out.resources[0], "k8s.pod.name"), "p");
  EXPECT_EQ(TextOf(out.resources[0], "host.name"), "h");
  EXPECT_EQ(TextOf(out.resources[0], "faas.name"), "f");
  EXPECT_EQ(TextOf(out.resources[0], "service.version"), "2");
  EXPECT_EQ(TextOf(out.span(), "faas.trigger"), "http");
  EXPECT_EQ(TextOf(out.span(), "http.path"), "/");
  EXPECT_EQ(TextOf(out.span(), "host.name"), "(none)");
  const Decoded source = Span2(
      R"("localEndpoint":{"serviceName":"api"},"tags":{"otlp.service.name.source":"faas.name"})");
  EXPECT_EQ(TextOf(source.resources[0], "faas.name"), "api");
}

TEST(Zipkin2, ScopeAndTraceStateComeFromTags) {
  const Decoded out =
      Tags(R"("otel.library.name":"lib","otel.scope.version":"2","w3c.tracestate":"a=b")");
  EXPECT_EQ(out.resources[0].scopes[0].name, "lib");
  EXPECT_EQ(out.resources[0].scopes[0].version, "2");
  EXPECT_EQ(out.span().trace_state, "a=b");
  EXPECT_TRUE(out.span().attributes.size() == 1u);  // the absent start time
  const Decoded both = Tags(R"("otel.scope.name":"new","otel.library.name":"old")");
  EXPECT_EQ(both.resources[0].scopes[0].name, "new");
}

TEST(Zipkin2, StatusInEverySpelling) {
  for (const char* code : {"STATUS_CODE_ERROR", "Error", "ERROR", "error"}) {
    const Decoded out = Tags("\"otel.status_code\":\"" + std::string(code) +
                             R"(","otel.status_description":"why")");
    EXPECT_EQ(out.span().status_code, 2) << code;
    EXPECT_EQ(out.span().status_message, "why");
    EXPECT_EQ(TextOf(out.span(), "otel.status_code"), "(none)");
  }
  EXPECT_EQ(Tags(R"("otel.status_code":"OK")").span().status_code, 1);
  EXPECT_EQ(Tags(R"("otel.status_code":"STATUS_CODE_UNSET")").span().status_code, 0);
  const Decoded odd = Tags(R"("otel.status_code":"perhaps")");
  EXPECT_EQ(odd.span().status_code, 0);
  EXPECT_EQ(TextOf(odd.span(), "otel.status_code"), "perhaps");
  // A description alone describes no status.
  const Decoded alone = Tags(R"("otel.status_description":"why")");
  EXPECT_EQ(alone.span().status_message, "");
  EXPECT_EQ(TextOf(alone.span(), "otel.status_description"), "why");
}

TEST(Zipkin2, AnErrorTagIsAnErrorAndStaysUnlessItSaysNothing) {
  EXPECT_EQ(Tags(R"("error":"boom")").span().status_code, 2);
  EXPECT_EQ(TextOf(Tags(R"("error":"boom")").span(), "error"), "boom");
  EXPECT_EQ(Tags(R"("error":"true")").span().status_code, 2);
  EXPECT_EQ(TextOf(Tags(R"("error":"true")").span(), "error"), "(none)");
  EXPECT_EQ(Tags(R"("error":"")").span().status_code, 2);
}

TEST(Zipkin2, AnnotationsBecomeEvents) {
  const Decoded out =
      Span2(R"("annotations":[{"timestamp":7,"value":"plain | text"},)"
            R"({"timestamp":8,"value":"n|{\"i\":1,\"b\":true,\"d\":1.5,\"s\":\"x|y\"}|2"},)"
            R"({"timestamp":9,"value":"n|{broken|2"}])");
  ASSERT_EQ(out.span().events.size(), 3u);
  EXPECT_EQ(out.span().events[0].name, "plain | text");
  EXPECT_EQ(out.span().events[0].time_ns, 7000u);
  const auto& event = out.span().events[1];
  EXPECT_EQ(event.name, "n");
  EXPECT_EQ(event.dropped_attributes, 2u);
  ASSERT_EQ(event.attributes.size(), 4u);
  EXPECT_EQ(event.attributes[0].value.kind, Kind::kInt);
  EXPECT_EQ(event.attributes[1].value.kind, Kind::kBool);
  EXPECT_EQ(event.attributes[2].value.real, 1.5);
  EXPECT_EQ(event.attributes[3].ToText(), "x|y");
  EXPECT_EQ(out.span().events[2].name, "n|{broken|2");
}

TEST(Zipkin2, LinksComeFromTags) {
  const Decoded out = Tags(
      R"("otlp.link.0":"5982fe77008310cc80f1da5e10147519|67fae42571535f61|s=t|{\"k\":\"v\"}|1",)"
      R"("otlp.link.1":"nonsense")");
  ASSERT_EQ(out.span().links.size(), 1u);
  EXPECT_EQ(out.span().links[0].trace_id.Hex(), "5982fe77008310cc80f1da5e10147519");
  EXPECT_EQ(out.span().links[0].trace_state, "s=t");
  EXPECT_EQ(out.span().links[0].attributes.at(0).ToText(), "v");
  EXPECT_EQ(out.span().links[0].dropped_attributes, 1u);
  EXPECT_EQ(TextOf(out.span(), "otlp.link.1"), "nonsense");
}

TEST(Zipkin2, DebugAndSharedAreKeptAsAttributes) {
  const Decoded out = Span2(R"("debug":true,"shared":true)");
  EXPECT_EQ(TextOf(out.span(), "zipkin.debug"), "true");
  EXPECT_EQ(TextOf(out.span(), "zipkin.shared"), "true");
}

TEST(Zipkin2, TextsAreUnescapedAndRepaired) {  // F38
  const Decoded out =
      Tags("\"caf\\u00e9\":\"line\\nbreak \\ud800 \\ud83d\\ude00\",\"bad\":\"x\xff\"");
  EXPECT_EQ(TextOf(out.span(), "caf\xc3\xa9"), "line\nbreak \xef\xbf\xbd \xf0\x9f\x98\x80");
  EXPECT_EQ(TextOf(out.span(), "bad"), "x?");
}

// F37
TEST(Zipkin2, WhatIsNotAListOfSpansIsRefusedWithAReason) {
  for (const char* bad : {"", "{}", "[1]", "[{]", "[{\"tags\":[]}]", "[] x", "nonsense",
                          R"([{"annotations":[5]}])", R"([{"localEndpoint":7}])"}) {
    const Decoded out = Read(bad, Format::kJson2);
    EXPECT_EQ(out.status, TranscodeStatus::kMalformed) << bad;
    EXPECT_FALSE(out.report.error.empty()) << bad;
    EXPECT_TRUE(out.bytes.empty());
  }
  const Decoded empty = Read("[]", Format::kJson2);
  EXPECT_EQ(empty.status, TranscodeStatus::kDone);
  EXPECT_TRUE(empty.bytes.empty());
  EXPECT_EQ(Read("[" + std::string(100'000, '['), Format::kJson2).status,
            TranscodeStatus::kMalformed);
}

TEST(Zipkin2, ManySpansInFewBytesAreRefused) {
  zipkin_oracle::ListOfSpans list;
  for (int i = 0; i < 20'000; ++i) {
    auto* span = list.add_spans();
    span->set_trace_id("\1");
    span->set_id("\1");
  }
  EXPECT_EQ(Read(list.SerializeAsString(), Format::kProto2).status, TranscodeStatus::kTooExpanded);
}

// The same random spans as JSON and as protobuf's own bytes must give the same OTLP.
TEST(Zipkin2, RandomSpansSayTheSameInJsonAndProtobuf) {
  std::mt19937 random(3);
  const char* const kTags[] = {"error",          "otel.status_code",  "http.path", "k8s.pod.name",
                               "w3c.tracestate", "otel.library.name", "span.kind"};
  const char* const kValues[] = {"true", "ERROR", "/a b", "p-1", "a=b", "internal"};
  for (int round = 0; round < 1000; ++round) {
    zipkin_oracle::ListOfSpans list;
    std::string json = "[";
    for (size_t n = random() % 4 + 1; n > 0; --n) {
      auto* span = list.add_spans();
      char hex[64];
      const uint64_t trace = random(), id = uint64_t{random()} << 8 | 1, parent = random() % 3;
      const auto big = [](uint64_t v) {
        std::string out;
        for (int i = 7; i >= 0; --i) out += static_cast<char>(v >> (8 * i));
        return out;
      };
      span->set_trace_id(std::string(8, '\0') + big(trace));
      span->set_id(big(id));
      std::snprintf(hex, sizeof hex, "%032lx\",\"id\":\"%016lx", trace, id);
      json += "{\"traceId\":\"" + std::string(hex) + "\"";
      if (parent != 0) {
        span->set_parent_id(big(parent));
        json += ",\"parentId\":\"" + std::to_string(parent) + "\"";
      }
      static const char* const kKinds[] = {"", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"};
      const size_t kind = random() % 5;
      span->set_kind(static_cast<zipkin_oracle::Span::Kind>(kind));
      if (kind != 0) json += ",\"kind\":\"" + std::string(kKinds[kind]) + "\"";
      span->set_name("n");
      const uint64_t start = random() % 2 * 1'700'000'000'000'000, duration = random() % 1000;
      span->set_timestamp(start);
      span->set_duration(duration);
      json += ",\"name\":\"n\",\"timestamp\":" + std::to_string(start) +
              ",\"duration\":" + std::to_string(duration);
      const std::string service = random() % 2 ? "a" : "b";
      span->mutable_local_endpoint()->set_service_name(service);
      span->mutable_local_endpoint()->set_ipv4(std::string("\x0a\0\0\x01", 4));
      span->mutable_local_endpoint()->set_port(80);
      json +=
          R"(,"localEndpoint":{"serviceName":")" + service + R"(","ipv4":"10.0.0.1","port":80})";
      if (random() % 2) {
        span->mutable_remote_endpoint()->set_ipv6("\x20\x01\x0d\xb8" + std::string(11, '\0') +
                                                  "\1");
        json += R"(,"remoteEndpoint":{"ipv6":"2001:db8::1"})";
      }
      if (random() % 2) {
        auto* annotation = span->add_annotations();
        annotation->set_timestamp(5);
        annotation->set_value("e|{\"k\":2}|0");
        json += R"(,"annotations":[{"timestamp":5,"value":"e|{\"k\":2}|0"}])";
      }
      if (random() % 2) {  // one: the order of a map is anybody's guess
        const char *key = kTags[random() % 7], *value = kValues[random() % 6];
        (*span->mutable_tags())[key] = value;
        json += ",\"tags\":{\"" + std::string(key) + "\":\"" + value + "\"}";
      }
      span->set_shared(random() % 2);
      if (span->shared()) json += ",\"shared\":true";
      json += "},";
    }
    json.back() = ']';
    ASSERT_EQ(Read(json, Format::kJson2).Json(),
              Read(list.SerializeAsString(), Format::kProto2).Json())
        << json;
  }
}

// Version 1, in both of its encodings.
void WriteHost(thrift::ThriftWriter& w, int16_t field, const char* service, int32_t ip) {
  w.Field(field, thrift::Type::kStruct);
  w.Begin();
  w.I32Field(1, ip);
  w.Field(2, thrift::Type::kI16), w.I16(80);
  w.TextField(3, service);
  w.End();
}

std::string Thrift1(bool with_times, bool compact = false, bool as_call = false) {
  thrift::ThriftWriter w(compact);
  if (as_call) {
    w.Head("emitZipkinBatch");
    w.Begin();
    w.ListField(1, thrift::Type::kStruct, 1);
  } else {
    w.List(thrift::Type::kStruct, 1);
  }
  w.Begin();
  w.I64Field(1, 0x5982fe77008310cc);
  w.TextField(3, "get");
  w.I64Field(4, 0x67fae42571535f60);
  w.I64Field(5, 2);
  w.ListField(6, thrift::Type::kStruct, 3);
  const char* const values[] = {"cs", "note", "cr"};
  for (int i = 0; i < 3; ++i) {
    w.Begin();
    w.I64Field(1, 1000 + i * 100);
    w.TextField(2, values[i]);
    if (i == 0) WriteHost(w, 3, "front", 0x0a000001);
    w.End();
  }
  w.ListField(8, thrift::Type::kStruct, 2);
  w.Begin();
  w.TextField(1, "http.path");
  w.TextField(2, "/x");
  w.I32Field(3, 6);
  w.End();
  w.Begin();
  w.TextField(1, "sa");
  w.TextField(2, "\x01");
  w.I32Field(3, 0);
  WriteHost(w, 4, "back", 0x0a000002);
  w.End();
  w.BoolField(9, false);
  if (with_times) {
    w.I64Field(10, 500);
    w.I64Field(11, 50);
  }
  w.End();
  if (as_call) w.End();
  return w.out();
}

TEST(Zipkin1, CoreAnnotationsGiveKindServiceAndTimes) {
  const Decoded out = Read(Thrift1(false), Format::kThrift1);
  ASSERT_EQ(out.status, TranscodeStatus::kDone) << out.report.error;
  const SpanView& span = out.span();
  EXPECT_EQ(span.kind, 3);
  EXPECT_EQ(out.resources[0].ServiceName(), "front");
  EXPECT_EQ(span.start_ns, 1'000'000u);
  EXPECT_EQ(span.end_ns, 1'200'000u);
  EXPECT_EQ(span.trace_id.Hex(), "00000000000000005982fe77008310cc");
  EXPECT_EQ(span.parent_id.Hex(), "0000000000000002");
  ASSERT_EQ(span.events.size(), 1u);
  EXPECT_EQ(span.events[0].name, "note");
  EXPECT_EQ(TextOf(span, "http.path"), "/x");
  EXPECT_EQ(TextOf(span, "peer.service"), "back");
  EXPECT_EQ(TextOf(span, "net.peer.ip"), "10.0.0.2");
  EXPECT_EQ(TextOf(span, "net.host.port"), "80");
  EXPECT_EQ(TextOf(span, "sa"), "(none)");
  EXPECT_EQ(Read(Thrift1(true), Format::kThrift1).span().start_ns, 500'000u);
}

TEST(Zipkin1, JsonSaysTheSameAsThrift) {
  const char* const json =
      R"([{"traceId":"5982fe77008310cc","id":"67fae42571535f60","parentId":"2","name":"get",)"
      R"("annotations":[{"timestamp":1000,"value":"cs","endpoint":{"serviceName":"front",)"
      R"("ipv4":"10.0.0.1","port":80}},{"timestamp":1100,"value":"note"},)"
      R"({"timestamp":1200,"value":"cr"}],"binaryAnnotations":[{"key":"http.path","value":"/x"},)"
      R"({"key":"sa","value":true,"endpoint":{"serviceName":"back","ipv4":"10.0.0.2",)"
      R"("port":80}}]}])";
  EXPECT_EQ(Read(json, Format::kJson1).Json(), Read(Thrift1(false), Format::kThrift1).Json());
}

TEST(Zipkin1, LocalComponentIsTheServiceOfLastResort) {
  const Decoded out =
      Read("[{" + std::string(kIds) + R"(,"binaryAnnotations":[{"key":"lc","value":"zoo"}]}])",
           Format::kJson1);
  EXPECT_EQ(out.resources[0].ServiceName(), "zoo");
  EXPECT_EQ(TextOf(out.span(), "component"), "zoo");
}

TEST(Zipkin1, EmitZipkinBatchInBothEncodings) {
  for (bool compact : {false, true}) {
    const std::string call = Thrift1(false, compact, true);
    Decoded out;
    out.status = TranscodeCall(base::AsBytes(call), compact, {}, &out.bytes, &out.report);
    EXPECT_EQ(out.status, TranscodeStatus::kDone);
    EXPECT_EQ(out.Json(), Read(Thrift1(false), Format::kThrift1).Json());
    Report report;
    base::ByteBuffer other;
    EXPECT_EQ(TranscodeCall(base::AsBytes(call), !compact, {}, &other, &report),
              TranscodeStatus::kWrongProtocol);
  }
}

// F26 to F28, F30, F37: nothing that comes in does harm, and what is written is sound.
TEST(ZipkinCorpus, CutCrossedAndDamaged) {
  std::vector<std::string> corpus{Thrift1(true), Thrift1(false, true, true),
                                  Thrift1(false, false, true)};
  for (const auto& file : std::filesystem::directory_iterator(WEFT_TEST_DIR "/corpus")) {
    std::ifstream in(file.path(), std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    corpus.push_back(text.str());
  }
  ASSERT_GE(corpus.size(), 5u);
  std::mt19937 random(9);
  for (const std::string& input : corpus) {
    ASSERT_EQ(TryAll(base::AsBytes(input)), "");
    for (size_t cut = 0; cut < input.size(); ++cut)
      ASSERT_EQ(TryAll(base::AsBytes(input.substr(0, cut))), "") << cut;
    for (int round = 0; round < 3000; ++round) {
      std::string damaged = input;
      const size_t at = random() % damaged.size(), size = random() % 20;
      if (round % 3 == 0) {
        damaged[at] = static_cast<char>(random());
      } else if (round % 3 == 1) {
        damaged.erase(at, size);
      } else {
        damaged.insert(at, damaged.substr(random() % damaged.size(), size));
      }
      ASSERT_EQ(TryAll(base::AsBytes(damaged)), "") << damaged;
    }
  }
}

}  // namespace
}  // namespace weft::protocols::zipkin
