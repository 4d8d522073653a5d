#include "protocols/jaeger/transcode.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "protocols/jaeger/datagram.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/json_write.h"
#include "protocols/otlp/view.h"

namespace weft::protocols::jaeger {
namespace {

using otlp::SpanView;

// The OTLP of a datagram, decoded. Owns the bytes that the views point into.
struct Decoded {
  base::ByteBuffer bytes;
  DatagramReport report;
  TranscodeStatus status = TranscodeStatus::kMalformed;
  std::vector<otlp::ResourceSpansView> resources;

  const SpanView& span(size_t i = 0, size_t scope = 0) const {
    return resources.at(0).scopes.at(scope).spans.at(i);
  }
};

Decoded Read(std::string_view datagram, Encoding encoding) {
  Decoded out;
  out.status = Transcode(base::AsBytes(datagram), encoding, &out.bytes, &out.report);
  EXPECT_TRUE(otlp::Decode(out.bytes.view(), &out.resources));
  base::ByteBuffer copy;
  copy.Append(out.bytes.view());
  model::OtlpBatch batch;
  const otlp::IndexReport index = otlp::Index(base::Share(std::move(copy)), &batch);
  EXPECT_EQ(index.status, otlp::IndexStatus::kDone) << index.reason;
  EXPECT_EQ(index.spans, out.report.spans);
  return out;
}

std::string TextOf(const SpanView& span, std::string_view key) {
  const otlp::ValueView* value = span.Find(key);
  return value == nullptr ? "(none)" : value->ToText();
}

class Transcoding : public ::testing::TestWithParam<Encoding> {
 protected:
  Decoded Batch(const TestBatch& batch) {
    return Read(MakeDatagram(GetParam(), batch), GetParam());
  }
  Decoded Span(TestSpan span) { return Batch({.spans = {std::move(span)}}); }
  Decoded Tags(std::vector<TestTag> tags) { return Span({.tags = std::move(tags)}); }
};
INSTANTIATE_TEST_SUITE_P(Encodings, Transcoding,
                         ::testing::Values(Encoding::kCompact, Encoding::kBinary),
                         [](const auto& info) {
                           return info.param == Encoding::kCompact ? "Compact" : "Binary";
                         });

TEST_P(Transcoding, IdsNameTimesAndFlags) {
  const Decoded out = Span({.trace_low = 0x0102030405060708,
                            .trace_high = -2,
                            .span = 0x1112131415161718,
                            .parent = 0x2122232425262728,
                            .name = "GET /",
                            .start_us = 1'700'000'000'000'001,
                            .duration_us = 2});
  ASSERT_EQ(out.status, TranscodeStatus::kDone);
  EXPECT_EQ(out.report.spans, 1u);
  const SpanView& span = out.span();
  EXPECT_EQ(span.trace_id.Hex(), "fffffffffffffffe0102030405060708");
  EXPECT_EQ(span.span_id.Hex(), "1112131415161718");
  EXPECT_EQ(span.parent_id.Hex(), "2122232425262728");
  EXPECT_EQ(span.name, "GET /");
  EXPECT_EQ(span.start_ns, 1'700'000'000'000'001'000u);
  EXPECT_EQ(span.end_ns, 1'700'000'000'000'003'000u);
  EXPECT_EQ(span.flags, 1u);
  EXPECT_EQ(span.kind, 0);
  EXPECT_TRUE(span.attributes.empty());
}

TEST_P(Transcoding, ProcessBecomesResource) {
  const Decoded out = Batch({.service = "shop",
                             .process = {Text("hostname", "node1"), Text("ip", "10.0.0.1"),
                                         Text("jaeger.version", "Go-2.30"), Long("pid", 7)}});
  std::string text;
  for (const auto& attribute : out.resources.at(0).attributes) {
    text += std::string(attribute.key) + "=" + attribute.ToText() + ";";
  }
  EXPECT_EQ(text,
            "ip=10.0.0.1;opencensus.exporterversion=Jaeger-Go-2.30;pid=7;host.name=node1;"
            "service.name=shop;");
}

TEST_P(Transcoding, HostnameStaysWhenThereIsAHostName) {
  const Decoded out = Batch({.process = {Text("hostname", "a"), Text("host.name", "b")}});
  EXPECT_EQ(out.resources.at(0).Find("hostname")->text, "a");
  EXPECT_EQ(out.resources.at(0).Find("host.name")->text, "b");
}

TEST_P(Transcoding, NoServiceNameIsLeftOut) {
  for (const char* name : {"", "OTLPResourceNoServiceName"}) {
    const Decoded out = Batch({.service = name});
    ASSERT_EQ(out.status, TranscodeStatus::kDone);
    EXPECT_EQ(out.resources.at(0).Find("service.name"), nullptr);
  }
}

TEST_P(Transcoding, TagTypes) {
  const Decoded out = Tags({Text("s", "v"),
                            Text("empty", ""),
                            Double("d", -1.5),
                            Bool("t", true),
                            Bool("f", false),
                            Long("l", std::numeric_limits<int64_t>::min()),
                            Binary("b", std::string("\0\xff", 2)),
                            {.key = "x", .type = 99}});
  const SpanView& span = out.span();
  ASSERT_EQ(span.attributes.size(), 8u);
  using Kind = otlp::ValueView::Kind;
  EXPECT_EQ(span.Find("s")->text, "v");
  EXPECT_EQ(span.Find("empty")->kind, Kind::kText);
  EXPECT_EQ(span.Find("d")->real, -1.5);
  EXPECT_EQ(span.Find("t")->kind, Kind::kBool);
  EXPECT_EQ(span.Find("t")->number, 1);
  EXPECT_EQ(span.Find("f")->kind, Kind::kBool);
  EXPECT_EQ(span.Find("f")->number, 0);
  EXPECT_EQ(span.Find("l")->number, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(span.Find("b")->kind, Kind::kBytes);
  EXPECT_EQ(span.Find("b")->text, std::string_view("\0\xff", 2));
  EXPECT_EQ(span.Find("x")->text, "<Unknown Jaeger TagType \"99\">");
}

TEST_P(Transcoding, TheLastOfEqualTagsWins) {
  const Decoded out = Tags(
      {Text("a", "1"), Text("b", "first, and rather longer than the other one"), Text("c", "3"),
       Long("b", 2), Text("a", "4"), Bool("error", false), Bool("error", true)});
  const SpanView& span = out.span();
  std::string text;
  for (const auto& attribute : span.attributes)
    text += std::string(attribute.key) + "=" + attribute.ToText() + ";";
  EXPECT_EQ(text, "c=3;b=2;a=4;");
  EXPECT_EQ(span.status_code, 2);
}

TEST_P(Transcoding, TextsOfEverySizeAreKept) {
  std::vector<TestTag> tags;
  std::string wanted;
  for (size_t size = 1; size <= 140; ++size) {
    const std::string key(size, 'k'), text(141 - size, static_cast<char>('a' + size % 26));
    tags.push_back(Text(key, text));
    wanted += key + "=" + text + ";";
  }
  const Decoded out = Tags(tags);
  std::string text;
  for (const auto& attribute : out.span().attributes)
    text += std::string(attribute.key) + "=" + attribute.ToText() + ";";
  EXPECT_EQ(text, wanted);
}

TEST_P(Transcoding, KindComesFromItsTag) {
  const std::pair<const char*, int> kinds[] = {
      {"internal", 1}, {"server", 2}, {"client", 3}, {"producer", 4}, {"consumer", 5}};
  for (const auto& [text, kind] : kinds) {
    const Decoded out = Tags({Text("span.kind", text)});
    EXPECT_EQ(out.span().kind, kind);
    EXPECT_TRUE(out.span().attributes.empty());
  }
  const Decoded other = Tags({Text("span.kind", "SERVER")});
  EXPECT_EQ(other.span().kind, 0);
  EXPECT_EQ(TextOf(other.span(), "span.kind"), "SERVER");
}

TEST_P(Transcoding, ErrorTagMakesErrorStatus) {
  const Decoded plain = Tags({Bool("error", true)});
  EXPECT_EQ(plain.span().status_code, 2);
  EXPECT_EQ(plain.span().status_message, "");
  EXPECT_TRUE(plain.span().attributes.empty());

  const Decoded described =
      Tags({Text("otel.status_description", "why"), Text("http.status_message", "no"),
            Bool("error", true), Text("otel.status_code", "OK")});
  EXPECT_EQ(described.span().status_code, 2);
  EXPECT_EQ(described.span().status_message, "why");
  EXPECT_EQ(described.span().attributes.size(), 1u);  // http.status_message stays

  const Decoded http = Tags({Bool("error", true), Text("http.status_message", "Not Found")});
  EXPECT_EQ(http.span().status_message, "Not Found");
  EXPECT_EQ(TextOf(http.span(), "http.status_message"), "Not Found");
}

TEST_P(Transcoding, OtherErrorTagsStayAttributes) {
  for (const TestTag& tag : {Bool("error", false), Text("error", "true"), Long("error", 1)}) {
    const Decoded out = Tags({tag});
    EXPECT_EQ(out.span().status_code, 0);
    EXPECT_NE(out.span().Find("error"), nullptr);
  }
}

TEST_P(Transcoding, StatusCodeInAllSpellings) {
  for (const char* error : {"ERROR", "Error", "error", "STATUS_CODE_ERROR", "2"}) {
    const Decoded out =
        Tags({Text("otel.status_code", error), Text("otel.status_description", "why")});
    EXPECT_EQ(out.span().status_code, 2) << error;
    EXPECT_EQ(out.span().status_message, "why");
    EXPECT_TRUE(out.span().attributes.empty());
  }
  for (const char* ok : {"OK", "Ok", "STATUS_CODE_OK", "1"}) {
    const Decoded out = Tags({Text("otel.status_code", ok), Long("http.status_code", 500)});
    EXPECT_EQ(out.span().status_code, 1) << ok;
  }
  EXPECT_EQ(Tags({Long("otel.status_code", 2)}).span().status_code, 2);
  EXPECT_EQ(Tags({Text("otel.status_code", "UNSET")}).span().attributes.size(), 0u);
  EXPECT_EQ(TextOf(Tags({Text("otel.status_code", "FINE")}).span(), "otel.status_code"), "FINE");
  EXPECT_EQ(TextOf(Tags({Text("otel.status_description", "d")}).span(), "otel.status_description"),
            "d");
}

TEST_P(Transcoding, HttpStatusDecidesWhenNothingElseDoes) {
  struct Case {
    TestTag code;
    const char* kind;
    int want;
  };
  const Case cases[] = {
      {Long("http.status_code", 200), "client", 0},
      {Long("http.status_code", 399), "client", 0},
      {Long("http.status_code", 404), "client", 2},
      {Long("http.status_code", 404), "server", 0},
      {Long("http.status_code", 404), "internal", 2},
      {Long("http.status_code", 500), "server", 2},
      {Long("http.status_code", 0), "server", 2},
      {Text("http.status_code", "503"), "server", 2},
      {Text("http.status_code", "200"), "client", 0},
      {Text("http.status_code", "many"), "client", 0},
      {Double("http.status_code", 503), "server", 2},
      {Double("http.status_code", 204), "server", 0},
      {Bool("http.status_code", true), "client", 0},
  };
  for (const Case& c : cases) {
    // The kind stands behind the code: it counts all the same.
    const Decoded out = Tags({c.code, Text("span.kind", c.kind), Text("http.status_message", "m")});
    EXPECT_EQ(out.span().status_code, c.want) << c.code.number << c.code.text << c.kind;
    EXPECT_EQ(out.span().status_message, c.want == 2 ? "m" : "");
    EXPECT_NE(out.span().Find("http.status_code"), nullptr);
  }
}

TEST_P(Transcoding, ParentAndLinksFromReferences) {
  const auto links = [](const SpanView& span) {
    std::string text;
    for (const auto& link : span.links) {
      text += link.trace_id.Hex().substr(30) + ":" + link.span_id.Hex().substr(14) + " " +
              link.attributes.at(0).ToText() + ";";
    }
    return text;
  };
  using R = TestReference;
  // The parent id wins; the CHILD_OF that repeats it is no link.
  Decoded out = Span({.parent = 5, .references = {R{0, 1, 0, 5}, R{1, 1, 0, 6}, R{0, 1, 0, 7}}});
  EXPECT_EQ(out.span().parent_id.Hex(), "0000000000000005");
  EXPECT_EQ(links(out.span()), "01:06 follows_from;01:07 child_of;");
  // The first CHILD_OF of the same trace, also behind a FOLLOWS_FROM.
  out = Span({.references = {R{1, 1, 0, 6}, R{0, 9, 0, 8}, R{0, 1, 0, 7}}});
  EXPECT_EQ(out.span().parent_id.Hex(), "0000000000000007");
  EXPECT_EQ(links(out.span()), "01:06 follows_from;09:08 child_of;");
  // The first FOLLOWS_FROM of the same trace; it stays a link, because it says more than "parent".
  out = Span({.references = {R{1, 1, 3, 4}, R{1, 1, 0, 6}}});
  EXPECT_EQ(out.span().parent_id.Hex(), "0000000000000006");
  EXPECT_EQ(links(out.span()), "01:04 follows_from;01:06 follows_from;");
  // Only another trace: no parent.
  out = Span({.references = {R{0, 9, 0, 8}}});
  EXPECT_TRUE(out.span().parent_id.IsZero());
  EXPECT_EQ(links(out.span()), "09:08 child_of;");
}

TEST_P(Transcoding, LogsBecomeEvents) {
  const Decoded out = Span(
      {.tags = {Text("a", "span")},
       .logs = {{5, {Text("event", "boom"), Text("a", "1"), Text("a", "2"), Bool("error", true)}},
                {-6, {Long("event", 3)}},
                {7, {}}}});
  const SpanView& span = out.span();
  ASSERT_EQ(span.events.size(), 3u);
  EXPECT_EQ(span.events[0].name, "boom");
  EXPECT_EQ(span.events[0].time_ns, 5000u);
  ASSERT_EQ(span.events[0].attributes.size(), 2u);
  EXPECT_EQ(span.events[0].attributes[0].ToText(), "2");
  EXPECT_EQ(span.events[1].name, "");
  EXPECT_EQ(span.events[1].time_ns, 0u);
  EXPECT_EQ(span.events[1].attributes.at(0).key, "event");
  EXPECT_EQ(span.events[2].time_ns, 7000u);
  EXPECT_EQ(span.status_code, 0);  // an error tag of a log is not the span's
  EXPECT_EQ(TextOf(span, "a"), "span");
}

TEST_P(Transcoding, TraceStateAndDebugFlag) {
  const Decoded out = Span({.flags = 3, .tags = {Text("w3c.tracestate", "a=1,b=2")}});
  EXPECT_EQ(out.span().trace_state, "a=1,b=2");
  EXPECT_EQ(out.span().flags, 1u);
  EXPECT_EQ(TextOf(out.span(), "jaeger.debug"), "true");
  EXPECT_EQ(out.span().attributes.size(), 1u);
  EXPECT_EQ(Span({.flags = 0}).span().flags, 0u);
}

TEST_P(Transcoding, ScopesAreKeptAndRunsShareOne) {
  const auto of = [](int64_t id, std::vector<TestTag> tags) {
    TestSpan span{.span = id, .tags = std::move(tags)};
    span.tags.push_back(Text("pad", std::string(static_cast<size_t>(id) * 40, 'x')));
    return span;
  };
  const auto scope = [](const char* name, const char* version) {
    return std::vector<TestTag>{Text("otel.scope.name", name), Text("otel.scope.version", version)};
  };
  const Decoded out =
      Batch({.spans = {of(1, scope("lib", "1")), of(2, scope("lib", "1")), of(3, {}), of(4, {}),
                       of(5, {Text("otel.library.name", "old")}), of(6, scope("lib", "2")),
                       of(7, {Text("otel.scope.name", "new"), Text("otel.library.name", "old")}),
                       of(8, {Text("otel.library.name", "old"), Text("otel.scope.name", "new")})}});
  ASSERT_EQ(out.status, TranscodeStatus::kDone);
  std::string text;
  for (const auto& s : out.resources.at(0).scopes) {
    text += std::string(s.name) + "/" + std::string(s.version) + ":";
    for (const auto& span : s.spans) {
      EXPECT_EQ(span.attributes.size(), 1u);
      text += " " + span.span_id.Hex().substr(15);
    }
    text += ";";
  }
  EXPECT_EQ(text, "lib/1: 1 2;/: 3 4;old/: 5;lib/2: 6;new/: 7 8;");
}

TEST_P(Transcoding, ManySpansOfManySizes) {
  TestBatch batch{.spans = {}};
  for (int64_t i = 1; i <= 200; ++i) {
    batch.spans.push_back({.span = i, .name = std::string(static_cast<size_t>(i), 'n')});
    batch.spans.back().tags = {Text("t", std::string(static_cast<size_t>(i * i / 8), 't'))};
    batch.spans.back().logs = {{i, {Text("event", std::string(static_cast<size_t>(i), 'e'))}}};
  }
  const Decoded out = Batch(batch);
  ASSERT_EQ(out.report.spans, 200u);
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(out.span(i).name.size(), i + 1);
    EXPECT_EQ(out.span(i).Find("t")->text.size(), (i + 1) * (i + 1) / 8);
    EXPECT_EQ(out.span(i).events.at(0).name.size(), i + 1);
  }
}

TEST_P(Transcoding, TimesAreClampedNotWrapped) {
  Decoded out = Span({.start_us = 100, .duration_us = -5});
  EXPECT_EQ(out.span().start_ns, 100'000u);
  EXPECT_EQ(out.span().end_ns, 100'000u);
  out = Span({.start_us = -1, .duration_us = 7});
  EXPECT_EQ(out.span().start_ns, 0u);
  EXPECT_EQ(out.span().end_ns, 7'000u);
  const int64_t most = std::numeric_limits<int64_t>::max();
  out = Span({.start_us = most, .duration_us = most});
  EXPECT_EQ(out.span().start_ns, UINT64_MAX);
  EXPECT_EQ(out.span().end_ns, UINT64_MAX);
}

TEST_P(Transcoding, ClientStatistics) {
  const Decoded out =
      Batch({.process = {Text("client-uuid", "c-1")}, .sequence = 42, .losses = {1, 2, 3}});
  EXPECT_TRUE(out.report.client.present);
  EXPECT_EQ(out.report.client.sequence, 42);
  EXPECT_EQ(out.report.client.full_queue, 1);
  EXPECT_EQ(out.report.client.too_large, 2);
  EXPECT_EQ(out.report.client.send_failed, 3);
  EXPECT_FALSE(Batch({}).report.client.present);
}

TEST_P(Transcoding, AnEmptyBatchGivesNothing) {
  const Decoded out = Batch({.spans = {}});
  EXPECT_EQ(out.status, TranscodeStatus::kDone);
  EXPECT_EQ(out.report.spans, 0u);
  EXPECT_EQ(out.bytes.size(), 0u);
}

TEST_P(Transcoding, CallsAreTakenLikeOneways) {
  const std::string datagram = MakeDatagram(GetParam(), {}, thrift::MessageKind::kCall);
  EXPECT_EQ(Read(datagram, GetParam()).status, TranscodeStatus::kDone);
  const std::string reply = MakeDatagram(GetParam(), {}, thrift::MessageKind::kReply);
  EXPECT_EQ(Read(reply, GetParam()).status, TranscodeStatus::kMalformed);
}

TEST_P(Transcoding, DatagramsMayStandBehindOneAnother) {
  base::ByteBuffer out;
  DatagramReport report;
  const std::string good = MakeDatagram(GetParam(), {.service = "one"});
  ASSERT_EQ(Transcode(base::AsBytes(good), GetParam(), &out, &report), TranscodeStatus::kDone);
  const size_t size = out.size();
  EXPECT_EQ(Transcode(base::AsBytes(good.substr(0, good.size() - 4)), GetParam(), &out, &report),
            TranscodeStatus::kMalformed);
  EXPECT_EQ(out.size(), size);
  EXPECT_EQ(report.spans, 0u);
  const std::string other = MakeDatagram(GetParam(), {.service = "two"});
  ASSERT_EQ(Transcode(base::AsBytes(other), GetParam(), &out, &report), TranscodeStatus::kDone);
  std::vector<otlp::ResourceSpansView> resources;
  ASSERT_TRUE(otlp::Decode(out.view(), &resources));
  ASSERT_EQ(resources.size(), 2u);
  EXPECT_EQ(resources[0].ServiceName(), "one");
  EXPECT_EQ(resources[1].ServiceName(), "two");
}

// F28
TEST_P(Transcoding, OtherMethodsAndProtocolsAreTold) {
  const bool compact = GetParam() == Encoding::kCompact;
  const Encoding other = compact ? Encoding::kBinary : Encoding::kCompact;
  EXPECT_EQ(Read(MakeDatagram(other, {}), GetParam()).status, TranscodeStatus::kWrongProtocol);
  thrift::ThriftWriter zipkin(compact), unknown(compact);
  zipkin.Head("emitZipkinBatch");
  unknown.Head("emitTree");
  EXPECT_EQ(Read(zipkin.out(), GetParam()).status, TranscodeStatus::kZipkinBatch);
  EXPECT_EQ(Read(unknown.out(), GetParam()).status, TranscodeStatus::kUnknownMethod);
  EXPECT_EQ(Read("", GetParam()).status, TranscodeStatus::kMalformed);
  EXPECT_EQ(Read("x", GetParam()).status, TranscodeStatus::kMalformed);
}

TestBatch Rich() {
  TestBatch batch{
      .process = {Text("hostname", "h"), Long("pid", 3)}, .sequence = 9, .losses = {1, 2, 3}};
  batch.spans = {{.parent = 4,
                  .references = {{0, 1, 0, 4}, {1, 5, 6, 7}},
                  .flags = 3,
                  .tags = {Text("span.kind", "client"), Double("d", 1), Bool("error", true),
                           Text("otel.scope.name", "s")},
                  .logs = {{1, {Text("event", "e"), Binary("b", "bytes")}}}},
                 {.span = 3, .tags = {Text("k", std::string(200, 'v'))}}};
  return batch;
}

// F26, F28: cut anywhere, a datagram is refused as a whole.
TEST_P(Transcoding, EveryTruncationIsMalformed) {
  const std::string whole = MakeDatagram(GetParam(), Rich());
  ASSERT_EQ(Read(whole, GetParam()).report.spans, 2u);
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    const Decoded out = Read({exact.data(), n}, GetParam());
    EXPECT_EQ(out.status, TranscodeStatus::kMalformed) << n;
    EXPECT_EQ(out.bytes.size(), 0u) << n;
  }
}

// F26, F28: whatever one byte becomes, the result is refused or sound OTLP (Read checks that), and
// within its bound.
TEST_P(Transcoding, EveryDamagedByteIsSurvived) {
  const std::string whole = MakeDatagram(GetParam(), Rich());
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int flip : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      std::string bad = whole;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      const Decoded out = Read(bad, GetParam());
      EXPECT_LE(out.bytes.capacity(), kMaxExpansion * bad.size() + kFreeBytes) << i;
    }
  }
}

// F28: a field of another type than the IDL says is a missing field.
TEST_P(Transcoding, RequiredFieldsMustBeThereWithTheirType) {
  const bool compact = GetParam() == Encoding::kCompact;
  thrift::ThriftWriter w(compact);
  w.Head("emitBatch");
  w.Begin();
  w.Field(1, thrift::Type::kStruct);
  w.Begin();
  w.Field(1, thrift::Type::kStruct), w.Begin(), w.TextField(1, "svc"), w.End();
  w.ListField(2, thrift::Type::kStruct, 1);
  w.Begin();
  w.ListField(1, thrift::Type::kI64, 1), w.I64(1);
  w.I64Field(2, 0), w.I64Field(3, 1), w.I64Field(4, 0), w.TextField(5, "op"), w.I32Field(7, 0),
      w.I64Field(8, 0);
  w.I64Field(9, 0);
  w.End(), w.End(), w.End();
  EXPECT_EQ(Read(w.out(), GetParam()).status, TranscodeStatus::kMalformed);
}

// F27, F28
TEST_P(Transcoding, UnknownFieldsAreSkippedAndDeepOnesRefused) {
  const auto with_extra = [&](int depth) {
    thrift::ThriftWriter w(GetParam() == Encoding::kCompact);
    w.Head("emitBatch");
    w.Begin();
    w.Field(1, thrift::Type::kStruct);
    w.Begin();
    w.Field(1, thrift::Type::kStruct), w.Begin(), w.TextField(1, "svc"), w.BoolField(9, true),
        w.End();
    w.ListField(2, thrift::Type::kStruct, 1), WriteSpan(w, {});
    w.Field(77, thrift::Type::kList);
    for (int i = 0; i < depth; ++i) w.List(thrift::Type::kList, 1);
    w.List(thrift::Type::kI64, 0);
    w.End(), w.End();
    return w.out();
  };
  EXPECT_EQ(Read(with_extra(10), GetParam()).status, TranscodeStatus::kDone);
  EXPECT_EQ(Read(with_extra(20'000), GetParam()).status, TranscodeStatus::kMalformed);
}

// F26: references grow most in OTLP.
TEST_P(Transcoding, ExpansionIsBounded) {
  TestSpan span;
  for (int i = 0; i < 2000; ++i) span.references.push_back({1, 1, 0, i + 1});
  const std::string datagram = MakeDatagram(GetParam(), {.spans = {span}});
  base::ByteBuffer out;
  DatagramReport report;
  const TranscodeStatus status = Transcode(base::AsBytes(datagram), GetParam(), &out, &report);
  EXPECT_EQ(status, GetParam() == Encoding::kCompact ? TranscodeStatus::kTooExpanded
                                                     : TranscodeStatus::kDone);
  EXPECT_LE(out.capacity(), kMaxExpansion * datagram.size() + kFreeBytes);
}

// F26: many equal and many different keys cost no more than their bytes.
TEST_P(Transcoding, ThousandsOfTagsAreTaken) {
  TestSpan span;
  for (int i = 0; i < 4000; ++i) span.tags.push_back(Text("k" + std::to_string(i % 3000), "v"));
  const Decoded out = Span(span);
  EXPECT_EQ(out.status, TranscodeStatus::kDone);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Datagrams that real clients have sent: golden/README.md. With WEFT_UPDATE_GOLDEN=1 the wanted
// text is rewritten.
class Golden : public ::testing::TestWithParam<std::pair<const char*, Encoding>> {};
INSTANTIATE_TEST_SUITE_P(Clients, Golden,
                         ::testing::Values(std::pair{"node_client_binary", Encoding::kBinary},
                                           std::pair{"python_client_compact", Encoding::kCompact}),
                         [](const auto& info) { return std::string(info.param.first); });

TEST_P(Golden, RealDatagramGivesTheWantedOtlp) {
  const std::string base = std::string(WEFT_TEST_DIR) + "/golden/" + GetParam().first;
  const std::string datagram = ReadFile(base + ".bin");
  ASSERT_FALSE(datagram.empty());
  const Decoded out = Read(datagram, GetParam().second);
  ASSERT_EQ(out.status, TranscodeStatus::kDone);
  std::string json;
  otlp::AppendJson(out.bytes.view(), &json);
  // One object a line, so that a difference can be read.
  std::string lines;
  for (const char c : json) {
    if (c == '{' && !lines.empty() && lines.back() == ',') lines += '\n';
    lines += c;
  }
  lines += '\n';
  if (std::getenv("WEFT_UPDATE_GOLDEN") != nullptr) std::ofstream(base + ".want.json") << lines;
  EXPECT_EQ(lines, ReadFile(base + ".want.json"));
}

}  // namespace
}  // namespace weft::protocols::jaeger
