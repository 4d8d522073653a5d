// OTLP to api_v2 and back again: what Jaeger can express survives the way through it.
#include "protocols/jaeger/from_otlp.h"

#include <gtest/gtest.h>

#include "protocols/jaeger/transcode.h"
#include "protocols/otlp/view.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::jaeger {
namespace {

namespace field = otlp::field;

base::TraceId Trace() {
  base::TraceId id;
  for (size_t i = 0; i < 16; ++i) id.bytes[i] = static_cast<uint8_t>(i + 1);
  return id;
}
base::SpanId Span(uint8_t last) {
  base::SpanId id;
  id.bytes[0] = 9;
  id.bytes[7] = last;
  return id;
}

base::ByteBuffer Request() {
  base::ByteBuffer out;
  otlp::RequestWriter request(out);
  otlp::Writer& resource = request.BeginResource();
  otlp::WriteAttribute(resource, field::kResourceAttribute, "service.name", "shop");
  otlp::WriteAttribute(resource, field::kResourceAttribute, "zone", "b");
  request.BeginScope("lib", "1.2");
  otlp::Writer& w = request.BeginSpan(Trace(), Span(1), Span(2), "GET /");
  w.Text(field::kTraceState, "a=b");
  w.Uint(field::kKind, 2);
  w.Fixed64(field::kStart, 1'700'000'000'123'456'000);
  w.Fixed64(field::kEnd, 1'700'000'001'123'457'000);
  otlp::WriteAttribute(w, field::kAttribute, "n", int64_t{-5});
  otlp::WriteAttribute(w, field::kAttribute, "x", 2.5);
  otlp::WriteAttribute(w, field::kAttribute, "yes", true);
  size_t event = w.Begin(field::kEvent);
  w.Fixed64(field::kEventTime, 1'700'000'000'500'000'000);
  w.Text(field::kEventName, "retry");
  w.End(event);
  size_t link = w.Begin(field::kLink);
  w.Bytes(field::kLinkTraceId, Trace().view());
  w.Bytes(field::kLinkSpanId, Span(7).view());
  w.End(link);
  size_t status = w.Begin(field::kStatus);
  w.Text(field::kStatusMessage, "broken");
  w.Uint(field::kStatusCode, 2);
  w.End(status);
  w.Fixed32(field::kFlags, 1);
  request.Finish();
  return out;
}

TEST(FromOtlp, WhatGoesThroughJaegerComesBack) {
  const base::ByteBuffer request = Request();
  base::ByteBuffer posted;
  otlp::Writer post(posted);
  int count = 0;
  ASSERT_TRUE(
      ForEachJaegerSpan(request.view(), [&](const base::TraceId& trace, base::ByteView span) {
        EXPECT_EQ(trace, Trace());
        ++count;
        const size_t batch = post.Begin(1);  // PostSpansRequest.batch
        post.Bytes(1, span);                 // Batch.spans
        post.End(batch);
      }));
  EXPECT_EQ(count, 1);
  base::ByteBuffer back;
  DatagramReport report;
  ASSERT_EQ(TranscodeProto(posted.view(), &back, &report), TranscodeStatus::kDone);
  std::vector<otlp::ResourceSpansView> resources;
  ASSERT_TRUE(otlp::Decode(back.view(), &resources));
  ASSERT_EQ(resources.size(), 1u);
  EXPECT_EQ(resources[0].ServiceName(), "shop");
  ASSERT_NE(resources[0].Find("zone"), nullptr);
  ASSERT_EQ(resources[0].scopes.size(), 1u);
  EXPECT_EQ(resources[0].scopes[0].name, "lib");
  EXPECT_EQ(resources[0].scopes[0].version, "1.2");
  const otlp::SpanView& span = resources[0].scopes[0].spans.at(0);
  EXPECT_EQ(span.trace_id, Trace());
  EXPECT_EQ(span.span_id, Span(1));
  EXPECT_EQ(span.parent_id, Span(2));
  EXPECT_EQ(span.name, "GET /");
  EXPECT_EQ(span.trace_state, "a=b");
  EXPECT_EQ(span.kind, 2);
  EXPECT_EQ(span.start_ns, 1'700'000'000'123'456'000u);
  EXPECT_EQ(span.end_ns, 1'700'000'001'123'457'000u);
  EXPECT_EQ(span.flags & 1, 1u);
  EXPECT_EQ(span.status_code, 2);
  EXPECT_EQ(span.status_message, "broken");
  ASSERT_NE(span.Find("n"), nullptr);
  EXPECT_EQ(span.Find("n")->number, -5);
  EXPECT_EQ(span.Find("x")->real, 2.5);
  EXPECT_EQ(span.Find("yes")->number, 1);
  ASSERT_EQ(span.events.size(), 1u);
  EXPECT_EQ(span.events[0].name, "retry");
  EXPECT_EQ(span.events[0].time_ns, 1'700'000'000'500'000'000u);
  ASSERT_EQ(span.links.size(), 1u);
  EXPECT_EQ(span.links[0].span_id, Span(7));
}

TEST(FromOtlp, AnEndBeforeTheStartIsNoDurationOfCenturies) {
  base::ByteBuffer out;
  {
    otlp::RequestWriter request(out);
    request.BeginResource();
    request.BeginScope("", "");
    otlp::Writer& w = request.BeginSpan(Trace(), Span(1), {}, "x");
    w.Fixed64(field::kStart, 5'000'000'000);
    w.Fixed64(field::kEnd, 1);
  }
  ASSERT_TRUE(ForEachJaegerSpan(out.view(), [](const base::TraceId&, base::ByteView span) {
    const std::string_view text = base::AsText(span);
    EXPECT_NE(text.find(std::string("\x3a\x00", 2)), std::string_view::npos);  // empty duration
  }));
}

TEST(FromOtlp, BytesThatAreNoRequestAreRefused) {
  EXPECT_FALSE(ForEachJaegerSpan(base::AsBytes("\x0a\x7f"), [](auto&&...) {}));
}

TEST(FromOtlp, KeysAreWrittenAsJaegerWritesThem) {
  EXPECT_EQ(JaegerTraceKey(Trace()), "0102030405060708090a0b0c0d0e0f10");
  base::TraceId short_id;
  short_id.bytes[15] = 0xab;
  EXPECT_EQ(JaegerTraceKey(short_id), "00000000000000ab");
}

}  // namespace
}  // namespace weft::protocols::jaeger
