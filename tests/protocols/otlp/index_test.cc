#include "protocols/otlp/index.h"

#include <gtest/gtest.h>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/oracle.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {
namespace {

IndexStatus StatusOf(std::string_view bytes) {
  model::OtlpBatch batch;
  return Index(ToShared(bytes), &batch).status;
}

TEST(Index, FieldsOfEverySpanAreThoseThatProtobufReads) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    oracle::Request request = RandomRequest(seed);
    std::string bytes = request.SerializeAsString();
    model::OtlpBatch batch = IndexOf(bytes);
    size_t i = 0;
    for (const auto& resource : request.resource_spans()) {
      for (const auto& scope : resource.scope_spans()) {
        for (const oracle::Span& span : scope.spans()) {
          ASSERT_LT(i, batch.spans.size());
          const model::SpanRef& ref = batch.spans[i++];
          EXPECT_EQ(base::AsText(ref.trace_id.view()), span.trace_id());
          EXPECT_EQ(base::AsText(ref.span_id.view()), span.span_id());
          EXPECT_EQ(ref.parent_id.IsZero(), span.parent_span_id().empty());
          EXPECT_EQ(static_cast<int>(ref.kind), span.kind());
          EXPECT_EQ(ref.start_ns, span.start_time_unix_nano());
          EXPECT_EQ(ref.end_ns, span.end_time_unix_nano());
          EXPECT_EQ(ref.flags, span.flags());
          EXPECT_EQ(bytes.substr(ref.body.offset, ref.body.size), span.SerializeAsString());
        }
      }
    }
    EXPECT_EQ(i, batch.spans.size());
    EXPECT_FALSE(batch.edited);
  }
}

TEST(Index, EmptyRequestIsFine) {
  model::OtlpBatch batch;
  EXPECT_EQ(Index(ToShared(""), &batch).status, IndexStatus::kDone);
  EXPECT_EQ(Index(nullptr, &batch).status, IndexStatus::kDone);
  EXPECT_TRUE(batch.spans.empty());
}

TEST(Index, BatchCanBeUsedAgain) {
  model::OtlpBatch batch;
  std::string first = OneSpan().SerializeAsString();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Index(ToShared(first), &batch).spans, 1u);
    EXPECT_EQ(batch.spans.size(), 1u);
    EXPECT_EQ(batch.resources.size(), 1u);
    batch.spans[0].dropped = batch.edited = true;
  }
  EXPECT_EQ(Index(ToShared("\xff"), &batch).status, IndexStatus::kBad);
  EXPECT_TRUE(batch.spans.empty());
  EXPECT_EQ(batch.bytes, nullptr);
}

// F30: truncated. The exact-size copy lets a sanitizer see any read behind the end.
TEST(Index, TruncationAtEveryByteIsSafeAndAgreesWithProtobuf) {
  for (uint32_t seed : {3, 7, 11}) {
    std::string bytes = RandomRequest(seed).SerializeAsString();
    for (size_t cut = 0; cut < bytes.size(); ++cut) {
      std::string part = bytes.substr(0, cut);
      oracle::Request request;
      EXPECT_EQ(StatusOf(part) == IndexStatus::kDone, request.ParseFromString(part)) << cut;
    }
  }
}

// F30: what protobuf refuses is refused, what is accepted protobuf can read (after the repair of
// strings). The reverse holds for everything but bad UTF-8, which protobuf refuses.
TEST(Index, RandomDamageNeverGetsPastThatProtobufWouldRefuse) {
  std::mt19937 random(1);
  int accepted = 0;
  for (uint32_t round = 0; round < 20'000; ++round) {
    std::string bytes = RandomRequest(round % 50).SerializeAsString();
    if (bytes.empty()) continue;
    for (uint32_t n = 1 + random() % 3; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    model::OtlpBatch batch;
    IndexReport report = Index(ToShared(bytes), &batch);
    oracle::Request request;
    bool readable = request.ParseFromString(bytes);
    if (report.status == IndexStatus::kDone) {
      ++accepted;
      EXPECT_TRUE(readable || report.bad_utf8 > 0);
      std::string out = FlattenText(Gather(batch));
      EXPECT_TRUE(request.ParseFromString(out));
    } else if (readable) {
      // Groups in unknown fields are the one thing that protobuf reads and weft does not.
      EXPECT_STREQ(report.reason, "not a valid ExportTraceServiceRequest");
    }
  }
  EXPECT_GT(accepted, 1000);
}

TEST(Index, GroupsAndReservedWireTypesAreBad) {
  for (uint8_t wire_type : {3, 4, 6, 7}) {
    std::string bytes = OneSpan().SerializeAsString();
    bytes += static_cast<char>(9 << 3 | wire_type);
    EXPECT_EQ(StatusOf(bytes), IndexStatus::kBad);
  }
}

TEST(Index, OverlongVarintsAndFieldZeroAreBad) {
  using namespace std::literals;
  EXPECT_EQ(StatusOf("\x00\x01"sv), IndexStatus::kBad);
  EXPECT_EQ(StatusOf("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv), IndexStatus::kBad);
  EXPECT_EQ(StatusOf("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv), IndexStatus::kDone);
  EXPECT_EQ(StatusOf("\x0a\x80\x80\x80\x80\x80\x00"sv), IndexStatus::kBad);
  EXPECT_EQ(StatusOf("\x0a\xff\xff\xff\xff\x0f"sv), IndexStatus::kBad);
}

TEST(Index, KnownFieldOfAnotherWireTypeIsUnknown) {
  base::ByteBuffer bytes;
  RequestWriter writer(bytes);
  writer.BeginResource();
  writer.BeginScope("", "");
  Writer& w = writer.BeginSpan(base::NewTraceId(), base::NewSpanId(), {}, "a");
  w.Uint(field::kName, 7);
  w.Text(field::kStart, "soon");
  writer.Finish();
  model::OtlpBatch batch = IndexOf(base::AsText(bytes.view()));
  ASSERT_EQ(batch.spans.size(), 1u);
  EXPECT_EQ(batch.spans[0].start_ns, 0u);
}

TEST(Index, LastScalarWinsAsInProtobuf) {
  base::ByteBuffer bytes;
  RequestWriter writer(bytes);
  writer.BeginResource();
  writer.BeginScope("", "");
  base::SpanId parent = base::NewSpanId();
  Writer& w = writer.BeginSpan(base::NewTraceId(), base::NewSpanId(), base::NewSpanId(), "a");
  w.Bytes(field::kParentSpanId, parent.view());
  w.Uint(field::kKind, 2);
  w.Uint(field::kKind, 3);
  w.Fixed64(field::kStart, 1);
  w.Fixed64(field::kStart, 2);
  writer.Finish();
  model::OtlpBatch batch = IndexOf(base::AsText(bytes.view()));
  ASSERT_EQ(batch.spans.size(), 1u);
  EXPECT_EQ(batch.spans[0].parent_id, parent);
  EXPECT_EQ(batch.spans[0].kind, model::SpanKind::kClient);
  EXPECT_EQ(batch.spans[0].start_ns, 2u);
  oracle::Request request = Parse(base::AsText(bytes.view()));
  const oracle::Span& span = request.resource_spans(0).scope_spans(0).spans(0);
  EXPECT_EQ(span.parent_span_id(), base::AsText(parent.view()));
  EXPECT_EQ(span.kind(), oracle::Span::CLIENT);
  EXPECT_EQ(span.start_time_unix_nano(), 2u);
}

// F39: spans without valid ids are left out and counted; the others stay.
TEST(Index, SpansWithZeroOrWrongIdsAreLeftOutAndCounted) {
  oracle::Request request = OneSpan();
  oracle::ScopeSpans* scope = request.mutable_resource_spans(0)->mutable_scope_spans(0);
  oracle::Span good = scope->spans(0);
  *scope->add_spans() = good;
  scope->mutable_spans(1)->clear_trace_id();
  *scope->add_spans() = good;
  scope->mutable_spans(2)->set_span_id(std::string(8, '\0'));
  *scope->add_spans() = good;
  scope->mutable_spans(3)->set_trace_id("short");
  *scope->add_spans() = good;
  scope->mutable_spans(4)->set_parent_span_id(good.span_id());  // parent = self is not our business
  model::OtlpBatch batch;
  IndexReport report = Index(ToShared(request.SerializeAsString()), &batch);
  EXPECT_EQ(report.status, IndexStatus::kDone);
  EXPECT_EQ(report.spans, 5u);
  EXPECT_EQ(report.zero_ids, 3u);
  EXPECT_EQ(batch.spans.size(), 2u);
  EXPECT_TRUE(batch.edited);
  oracle::Request out = Parse(FlattenText(Gather(batch)));
  EXPECT_EQ(out.resource_spans(0).scope_spans(0).spans_size(), 2);
}

// F38: one bad string must not cost the batch, although protobuf would refuse all of it.
TEST(Index, InvalidUtf8IsRepairedInACopyAndCounted) {
  std::string bytes = OneSpan().SerializeAsString();
  for (std::string_view text : {"GET /", "shop", "service.name", "lib"}) {
    std::string damaged = bytes;
    size_t at = damaged.find(text);
    damaged[at] = '\xff';
    oracle::Request request;
    EXPECT_FALSE(request.ParseFromString(damaged));
    base::SharedBytes shared = ToShared(damaged);
    model::OtlpBatch batch;
    IndexReport report = Index(shared, &batch);
    EXPECT_EQ(report.status, IndexStatus::kDone);
    EXPECT_EQ(report.bad_utf8, 1u);
    EXPECT_EQ(base::AsText(shared->view()), damaged) << "the sender's buffer was written to";
    std::string out = FlattenText(Gather(batch));
    std::string expected = bytes;
    expected[at] = '?';
    EXPECT_EQ(out, expected);
  }
}

// F38: the repair also reaches envelope fields that are copied together.
TEST(Index, InvalidUtf8OfInterleavedEnvelopesIsRepairedToo) {
  base::ByteBuffer bytes;
  Writer w(bytes);
  size_t resource = w.Begin(field::kResourceSpans);
  size_t scope = w.Begin(field::kScopeSpans);
  for (int i = 0; i < 2; ++i) {
    size_t span = w.Begin(field::kSpan);
    w.Bytes(field::kTraceId, base::NewTraceId().view());
    w.Bytes(field::kSpanId, base::NewSpanId().view());
    w.End(span);
    w.Bytes(field::kSchemaUrl, base::AsBytes("u\xff"));
  }
  w.End(scope);
  w.End(resource);
  model::OtlpBatch batch = IndexOf(base::AsText(bytes.view()));
  batch.edited = true;
  oracle::Request out = Parse(FlattenText(Gather(batch)));
  EXPECT_EQ(out.resource_spans(0).scope_spans(0).schema_url(), "u?");
}

TEST(Index, BytesFieldsAreNotText) {
  oracle::Request request = OneSpan();
  oracle::Span* span = request.mutable_resource_spans(0)->mutable_scope_spans(0)->mutable_spans(0);
  span->set_trace_id(std::string(16, '\xff'));
  oracle::KeyValue* pair = span->add_attributes();
  pair->set_key("raw");
  pair->mutable_value()->set_bytes_value("\xff\xfe");
  model::OtlpBatch batch;
  EXPECT_EQ(Index(ToShared(request.SerializeAsString()), &batch).bad_utf8, 0u);
}

std::string NestedValue(int levels, bool map) {
  oracle::Request request = OneSpan();
  oracle::KeyValue* pair =
      request.mutable_resource_spans(0)->mutable_scope_spans(0)->mutable_spans(0)->add_attributes();
  oracle::AnyValue* value = pair->mutable_value();
  for (int i = 1; i < levels; ++i) {
    value = map ? value->mutable_kvlist_value()->add_values()->mutable_value()
                : value->mutable_array_value()->add_values();
  }
  value->set_bool_value(true);
  return request.SerializeAsString();
}

// F27: deep nesting has a limit and does not use up the stack.
TEST(Index, NestingIsAllowedToTheLimitAndNoDeeper) {
  for (bool map : {false, true}) {
    EXPECT_EQ(StatusOf(NestedValue(kMaxDepth, map)), IndexStatus::kDone);
    EXPECT_EQ(StatusOf(NestedValue(kMaxDepth + 1, map)), IndexStatus::kBad);
  }
  // Far deeper: made by hand, because protobuf itself would recurse.
  base::ByteBuffer bytes;
  RequestWriter writer(bytes);
  Writer& w = writer.BeginResource();
  std::vector<size_t> open = {w.Begin(field::kResourceAttribute), w.Begin(field::kValue)};
  for (int i = 0; i < 5000; ++i) {
    open.push_back(w.Begin(field::kArrayValue));
    open.push_back(w.Begin(field::kItem));
  }
  while (!open.empty()) w.End(open.back()), open.pop_back();
  writer.Finish();
  EXPECT_EQ(StatusOf(base::AsText(bytes.view())), IndexStatus::kBad);
}

// F30: 10^6 empty spans in 2 MB must not become 70 MB of index.
TEST(Index, MillionsOfEmptySpansAndEnvelopesStaySmall) {
  std::string spans;
  for (int i = 0; i < 1'000'000; ++i) spans.append("\x12\x00", 2);
  base::ByteBuffer bytes;
  Writer w(bytes);
  size_t resource = w.Begin(field::kResourceSpans);
  size_t scope = w.Begin(field::kScopeSpans);
  w.Raw(base::AsBytes(spans));
  w.End(scope);
  w.End(resource);
  size_t size = bytes.size();
  model::OtlpBatch batch;
  IndexReport report = Index(base::Share(std::move(bytes)), &batch);
  EXPECT_EQ(report.status, IndexStatus::kDone);
  EXPECT_EQ(report.zero_ids, 1'000'000u);
  EXPECT_LE(batch.spans.capacity() * sizeof(model::SpanRef), 4 * size);

  std::string envelopes;
  for (int i = 0; i < 1'000'000; ++i) envelopes.append("\x0a\x00", 2);
  EXPECT_EQ(Index(ToShared(envelopes), &batch).status, IndexStatus::kDone);
  EXPECT_TRUE(batch.resources.empty());
}

TEST(Index, SmallestValidSpansStayWithinFourTimesTheInput) {
  base::ByteBuffer bytes;
  RequestWriter writer(bytes);
  writer.BeginResource();
  writer.BeginScope("", "");
  for (int i = 0; i < 100'000; ++i) {
    Writer& w = writer.BeginSpan();
    w.Bytes(field::kTraceId, base::NewTraceId().view());
    w.Bytes(field::kSpanId, base::NewSpanId().view());
  }
  writer.Finish();
  size_t size = bytes.size();
  model::OtlpBatch batch;
  EXPECT_EQ(Index(base::Share(std::move(bytes)), &batch).spans, 100'000u);
  EXPECT_LE(batch.spans.size() * sizeof(model::SpanRef), 4 * size);
}

TEST(Index, TooManySpansAreRefused) {
  std::string spans;
  for (uint64_t i = 0; i <= kMaxSpans; ++i) spans.append("\x12\x00", 2);
  base::ByteBuffer bytes;
  Writer w(bytes);
  size_t resource = w.Begin(field::kResourceSpans);
  size_t scope = w.Begin(field::kScopeSpans);
  w.Raw(base::AsBytes(spans));
  w.End(scope);
  w.End(resource);
  EXPECT_EQ(StatusOf(base::AsText(bytes.view())), IndexStatus::kTooManySpans);
}

// F41: 10^4 attributes, a value of 1 MB, 10^5 events: passed on as they are.
TEST(Index, HugeSpansPass) {
  oracle::Request request = OneSpan();
  oracle::Span* span = request.mutable_resource_spans(0)->mutable_scope_spans(0)->mutable_spans(0);
  for (int i = 0; i < 10'000; ++i) span->add_attributes()->set_key("");
  span->add_attributes()->mutable_value()->set_string_value(std::string(1 << 20, 'x'));
  for (int i = 0; i < 100'000; ++i) span->add_events();
  std::string bytes = request.SerializeAsString();
  model::OtlpBatch batch = IndexOf(bytes);
  EXPECT_EQ(FlattenText(Gather(batch)), bytes);
}

// F40: times are passed on whatever they are.
TEST(Index, OddTimesAreKept) {
  oracle::Request request = OneSpan();
  oracle::Span* span = request.mutable_resource_spans(0)->mutable_scope_spans(0)->mutable_spans(0);
  span->set_start_time_unix_nano(UINT64_MAX);
  span->set_end_time_unix_nano(0);
  model::OtlpBatch batch = IndexOf(request.SerializeAsString());
  EXPECT_EQ(batch.spans[0].start_ns, UINT64_MAX);
  EXPECT_EQ(batch.spans[0].end_ns, 0u);
}

TEST(Index, UnknownFieldsEverywhereAreKept) {
  base::ByteBuffer bytes;
  Writer w(bytes);
  size_t resource = w.Begin(field::kResourceSpans);
  w.Text(900, "head");
  size_t scope = w.Begin(field::kScopeSpans);
  w.Fixed64(901, 1);
  for (int i = 0; i < 2; ++i) {
    size_t span = w.Begin(field::kSpan);
    w.Bytes(field::kTraceId, base::NewTraceId().view());
    w.Bytes(field::kSpanId, base::NewSpanId().view());
    w.Fixed32(902, 3);
    w.End(span);
  }
  w.Text(903, "tail");
  w.End(scope);
  w.Text(904, "more tail");
  w.End(resource);
  std::string sent(base::AsText(bytes.view()));
  model::OtlpBatch batch = IndexOf(sent);
  EXPECT_EQ(FlattenText(Gather(batch)), sent);
  batch.edited = true;  // composed, but without a change
  EXPECT_EQ(FlattenText(Gather(batch)), sent);
  batch.spans[0].dropped = true;
  std::string out = FlattenText(Gather(batch));
  for (std::string_view text : {"head", "tail", "more tail"}) {
    EXPECT_NE(out.find(text), std::string::npos);
  }
}

}  // namespace
}  // namespace weft::protocols::otlp
