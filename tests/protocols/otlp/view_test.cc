#include "protocols/otlp/view.h"

#include <gtest/gtest.h>

#include <cmath>

#include "protocols/otlp/index.h"
#include "protocols/otlp/oracle.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {
namespace {

void ExpectSame(const AttributeViews& views, const auto& attributes) {
  ASSERT_EQ(views.size(), static_cast<size_t>(attributes.size()));
  for (size_t i = 0; i < views.size(); ++i) {
    const oracle::KeyValue& pair = attributes.Get(static_cast<int>(i));
    EXPECT_EQ(views[i].key, pair.key());
    EXPECT_EQ(static_cast<int>(views[i].value.kind), static_cast<int>(pair.value().value_case()));
    if (pair.value().has_string_value()) {
      EXPECT_EQ(views[i].ToText(), pair.value().string_value());
    }
    if (pair.value().has_int_value()) {
      EXPECT_EQ(views[i].value.number, pair.value().int_value());
    }
    if (pair.value().has_double_value()) {
      EXPECT_EQ(views[i].value.real, pair.value().double_value());
    }
    if (pair.value().has_bytes_value()) {
      EXPECT_EQ(views[i].value.text, pair.value().bytes_value());
    }
    if (pair.value().has_kvlist_value()) {
      ExpectSame(Items(views[i].value), pair.value().kvlist_value().values());
    }
    if (pair.value().has_array_value()) {
      EXPECT_EQ(Items(views[i].value).size(),
                static_cast<size_t>(pair.value().array_value().values_size()));
    }
  }
}

void ExpectSame(const SpanView& view, const oracle::Span& span) {
  EXPECT_EQ(base::AsText(view.trace_id.view()), span.trace_id());
  EXPECT_EQ(base::AsText(view.span_id.view()), span.span_id());
  EXPECT_EQ(view.name, span.name());
  EXPECT_EQ(view.trace_state, span.trace_state());
  EXPECT_EQ(view.kind, span.kind());
  EXPECT_EQ(view.start_ns, span.start_time_unix_nano());
  EXPECT_EQ(view.end_ns, span.end_time_unix_nano());
  EXPECT_EQ(view.flags, span.flags());
  EXPECT_EQ(view.dropped_attributes, span.dropped_attributes_count());
  EXPECT_EQ(view.dropped_events, span.dropped_events_count());
  EXPECT_EQ(view.dropped_links, span.dropped_links_count());
  EXPECT_EQ(view.status_code, span.status().code());
  EXPECT_EQ(view.status_message, span.status().message());
  ExpectSame(view.attributes, span.attributes());
  ASSERT_EQ(view.events.size(), static_cast<size_t>(span.events_size()));
  for (size_t i = 0; i < view.events.size(); ++i) {
    const auto& event = span.events(static_cast<int>(i));
    EXPECT_EQ(view.events[i].time_ns, event.time_unix_nano());
    EXPECT_EQ(view.events[i].name, event.name());
    ExpectSame(view.events[i].attributes, event.attributes());
  }
  ASSERT_EQ(view.links.size(), static_cast<size_t>(span.links_size()));
  for (size_t i = 0; i < view.links.size(); ++i) {
    const auto& link = span.links(static_cast<int>(i));
    EXPECT_EQ(base::AsText(view.links[i].span_id.view()), link.span_id());
    EXPECT_EQ(view.links[i].flags, link.flags());
    ExpectSame(view.links[i].attributes, link.attributes());
  }
}

TEST(Decode, SeesWhatProtobufSees) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    oracle::Request request = RandomRequest(seed);
    std::string bytes = request.SerializeAsString();
    std::vector<ResourceSpansView> views;
    ASSERT_TRUE(Decode(base::AsBytes(bytes), &views));
    ASSERT_EQ(views.size(), static_cast<size_t>(request.resource_spans_size()));
    for (size_t r = 0; r < views.size(); ++r) {
      const auto& resource = request.resource_spans(static_cast<int>(r));
      EXPECT_EQ(views[r].schema_url, resource.schema_url());
      ExpectSame(views[r].attributes, resource.resource().attributes());
      ASSERT_EQ(views[r].scopes.size(), static_cast<size_t>(resource.scope_spans_size()));
      for (size_t s = 0; s < views[r].scopes.size(); ++s) {
        const auto& scope = resource.scope_spans(static_cast<int>(s));
        EXPECT_EQ(views[r].scopes[s].name, scope.scope().name());
        EXPECT_EQ(views[r].scopes[s].version, scope.scope().version());
        ASSERT_EQ(views[r].scopes[s].spans.size(), static_cast<size_t>(scope.spans_size()));
        for (size_t i = 0; i < views[r].scopes[s].spans.size(); ++i) {
          ExpectSame(views[r].scopes[s].spans[i], scope.spans(static_cast<int>(i)));
        }
      }
    }
  }
}

TEST(Decode, EveryTruncationIsSafeAndReadsWhatIndexAccepts) {
  std::string bytes = RandomRequest(7).SerializeAsString();
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    base::SharedBytes part = ToShared(bytes.substr(0, cut));
    std::vector<ResourceSpansView> views;
    bool decoded = Decode(part->view(), &views);
    model::OtlpBatch batch;
    if (Index(part, &batch).status == IndexStatus::kDone) {
      EXPECT_TRUE(decoded);
    }
  }
}

TEST(Decode, AppendedFieldsWin) {
  base::ByteBuffer out;
  RequestWriter writer(out);
  WriteAttribute(writer.BeginResource(), field::kResourceAttribute, "service.name", "shop");
  writer.BeginScope("a", "1");
  base::SpanId parent = base::NewSpanId();
  Writer& w = writer.BeginSpan(base::NewTraceId(), base::NewSpanId(), base::NewSpanId(), "x");
  w.Bytes(field::kParentSpanId, parent.view());
  for (uint64_t code : {1, 2}) {
    size_t status = w.Begin(field::kStatus);
    w.Uint(field::kStatusCode, code);
    w.End(status);
  }
  writer.Finish();
  std::vector<ResourceSpansView> views;
  ASSERT_TRUE(Decode(out.view(), &views));
  EXPECT_EQ(views[0].ServiceName(), "shop");
  EXPECT_EQ(views[0].scopes[0].spans[0].parent_id, parent);
  EXPECT_EQ(views[0].scopes[0].spans[0].status_code, 2);
}

TEST(ValueView, TextOfEveryKind) {
  base::ByteBuffer out;
  RequestWriter writer(out);
  Writer& w = writer.BeginResource();
  WriteAttribute(w, 1, "text", "a\"b");
  WriteAttribute(w, 1, "int", -5);
  WriteAttribute(w, 1, "bool", true);
  WriteAttribute(w, 1, "double", 0.5);
  WriteAttribute(w, 1, "inf", HUGE_VAL);
  WriteBytesAttribute(w, 1, "bytes", base::AsBytes("hi"));
  size_t pair = w.Begin(1);
  w.Text(field::kKey, "map");
  size_t value = w.Begin(field::kValue);
  size_t map = w.Begin(field::kMapValue);
  WriteAttribute(w, field::kItem, "k", "v");
  WriteAttribute(w, field::kItem, "n", 1);
  w.End(map), w.End(value), w.End(pair);
  pair = w.Begin(1);
  value = w.Begin(field::kValue);
  size_t array = w.Begin(field::kArrayValue);
  for (int i = 0; i < 2; ++i) {
    size_t item = w.Begin(field::kItem);
    w.Uint(field::kIntValue, static_cast<uint64_t>(i));
    w.End(item);
  }
  w.End(array), w.End(value), w.End(pair);
  writer.Finish();
  std::vector<ResourceSpansView> views;
  ASSERT_TRUE(Decode(out.view(), &views));
  std::vector<std::string> texts;
  for (const AttributeView& attribute : views[0].attributes) texts.push_back(attribute.ToText());
  EXPECT_EQ(texts, (std::vector<std::string>{"a\"b", "-5", "true", "0.5", "Infinity",
                                             "aGk=", R"({"k":"v","n":1})", "[0,1]"}));
  EXPECT_EQ(views[0].ServiceName(), "unknown_service");
}

TEST(Writer, LengthsOfEverySizeAreCanonical) {
  for (size_t size : {0, 1, 127, 128, 16'383, 16'384, 2'097'151, 2'097'152}) {
    base::ByteBuffer out;
    Writer w(out);
    size_t begin = w.Begin(1);
    std::string content(size, 'x');
    w.Raw(base::AsBytes(content));
    w.End(begin);
    EXPECT_EQ(out.size(), 1 + VarintSize(size) + size);
    EXPECT_EQ(base::AsText(out.view()).substr(out.size() - size), content);
  }
}

TEST(Writer, TextIsRepairedSoThatReadersTakeIt) {
  base::ByteBuffer out;
  RequestWriter writer(out);
  WriteAttribute(writer.BeginResource(), field::kResourceAttribute, "k\xff", "v\xc3");
  writer.Finish();
  oracle::Request request = Parse(base::AsText(out.view()));
  EXPECT_EQ(request.resource_spans(0).resource().attributes(0).key(), "k?");
  EXPECT_EQ(request.resource_spans(0).resource().attributes(0).value().string_value(), "v?");
}

TEST(Writer, RequestIsWhatProtobufReads) {
  base::ByteBuffer out;
  RequestWriter writer(out);
  for (int r = 0; r < 2; ++r) {
    writer.BeginResource();
    for (int s = 0; s < 2; ++s) {
      writer.BeginScope(s == 0 ? "" : "lib", "");
      for (int i = 0; i < 3; ++i) {
        WriteAttribute(writer.BeginSpan(base::NewTraceId(), base::NewSpanId(), {}, "n"),
                       field::kAttribute, "i", i);
      }
    }
  }
  writer.Finish();
  oracle::Request request = Parse(base::AsText(out.view()));
  ASSERT_EQ(request.resource_spans_size(), 2);
  ASSERT_EQ(request.resource_spans(1).scope_spans_size(), 2);
  EXPECT_FALSE(request.resource_spans(1).scope_spans(0).has_scope());
  EXPECT_EQ(request.resource_spans(1).scope_spans(1).scope().name(), "lib");
  ASSERT_EQ(request.resource_spans(1).scope_spans(1).spans_size(), 3);
  const oracle::Span& last = request.resource_spans(1).scope_spans(1).spans(2);
  EXPECT_EQ(last.attributes(0).value().int_value(), 2);
  EXPECT_EQ(last.parent_span_id(), "");
}

}  // namespace
}  // namespace weft::protocols::otlp
