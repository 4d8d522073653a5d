// The encoder makes the index of its bytes itself; this holds it to what the door would have made.
#include "merge/encoder.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "protocols/otlp/index.h"

namespace weft::merge {
namespace {

model::ProcessRef MakeProcess(uint32_t pid) {
  auto process = std::make_shared<model::Process>();
  process->key = {pid, 1};
  process->service_name = "service-" + std::to_string(pid);
  process->resource = {{"k8s.pod.name", "pod-" + std::to_string(pid)}};
  return process;
}

class MergeEncoder : public testing::Test {
 protected:
  model::Span& Add(const model::ProcessRef& process) {
    KernelSpan& k = spans.emplace_back(KernelSpan{EntryPtr(pool.New(), {&pool}), {}});
    k.ids.trace_id = base::NewTraceId();
    k.ids.span_id = base::NewSpanId();
    if (spans.size() % 3 == 0) k.ids.parent_id = base::NewSpanId();
    k.ids.has_remote_parent = spans.size() % 6 == 0;
    if (spans.size() % 5 == 0) k.ids.confidence = 0.9;
    model::Span& span = k.entry->span;
    span.process = process;
    span.role = spans.size() % 2 == 0 ? model::Role::kClient : model::Role::kServer;
    span.method = "GET";
    span.request_first_ns = 1'700'000'000'000'000'000 + spans.size();
    span.response_last_ns = span.request_first_ns + 5;
    return span;
  }
  // Encodes, indexes the bytes anew, and compares.
  void Check() {
    const model::OtlpBatch batch = encoder.Encode(spans);
    model::OtlpBatch want;
    const protocols::otlp::IndexReport report = protocols::otlp::Index(batch.bytes, &want);
    ASSERT_EQ(report.status, protocols::otlp::IndexStatus::kDone) << report.reason;
    EXPECT_EQ(report.bad_utf8, 0u);
    EXPECT_EQ(want.bytes, batch.bytes);
    EXPECT_EQ(want.edited, batch.edited);
    ASSERT_EQ(want.resources.size(), batch.resources.size());
    for (size_t i = 0; i < want.resources.size(); ++i) {
      Same(want.resources[i].head, batch.resources[i].head);
      Same(want.resources[i].tail, batch.resources[i].tail);
      EXPECT_EQ(want.resources[i].first_scope, batch.resources[i].first_scope);
      EXPECT_EQ(want.resources[i].scope_count, batch.resources[i].scope_count);
    }
    ASSERT_EQ(want.scopes.size(), batch.scopes.size());
    for (size_t i = 0; i < want.scopes.size(); ++i) {
      Same(want.scopes[i].head, batch.scopes[i].head);
      Same(want.scopes[i].tail, batch.scopes[i].tail);
      EXPECT_EQ(want.scopes[i].first_span, batch.scopes[i].first_span);
      EXPECT_EQ(want.scopes[i].span_count, batch.scopes[i].span_count);
    }
    ASSERT_EQ(want.spans.size(), spans.size());
    ASSERT_EQ(want.spans.size(), batch.spans.size());
    for (size_t i = 0; i < want.spans.size(); ++i) {
      const model::SpanRef &a = want.spans[i], &b = batch.spans[i];
      Same(a.body, b.body);
      EXPECT_EQ(a.trace_id, b.trace_id);
      EXPECT_EQ(a.span_id, b.span_id);
      EXPECT_EQ(a.parent_id, b.parent_id);
      EXPECT_EQ(a.start_ns, b.start_ns);
      EXPECT_EQ(a.end_ns, b.end_ns);
      EXPECT_EQ(a.flags, b.flags);
      EXPECT_EQ(a.kind, b.kind);
      EXPECT_EQ(a.dropped, b.dropped);
    }
  }
  static void Same(const model::Slice& a, const model::Slice& b) {
    EXPECT_EQ(a.offset, b.offset);
    EXPECT_EQ(a.size, b.size);
  }

  Pool<Entry> pool{8};
  Encoder encoder{{{"host.name", "node"}}, "1.2.3"};
  std::vector<KernelSpan> spans;
};

TEST_F(MergeEncoder, IndexIsThatOfTheBytesForOneSpanWithoutAProcess) {
  Add(nullptr);
  Check();
}

// Lengths of one, two and three bytes, of spans and of what encloses them.
TEST_F(MergeEncoder, IndexIsThatOfTheBytesForSpansOfAnySize) {
  for (size_t size : {0, 1, 60, 110, 125, 130, 300, 5'000, 16'000, 16'300, 16'384, 40'000}) {
    spans.clear();
    Add(MakeProcess(1)).attributes.Add("url.full", std::string(size, 'a'));
    Check();
    Add(MakeProcess(2)).attributes.Add("url.full", std::string(size, 'b'));
    Check();
  }
}

TEST_F(MergeEncoder, IndexIsThatOfTheBytesForManySpansOfSeveralProcesses) {
  const model::ProcessRef processes[] = {MakeProcess(1), MakeProcess(2), nullptr, MakeProcess(3)};
  for (int i = 0; i < 300; ++i) {
    model::Span& span = Add(processes[i % 4]);
    span.context.emplace();
    span.context->flags = 1;
    span.context->trace_state = i % 7 == 0 ? "a=1,b=2" : "";
    span.is_error = i % 4 == 1;
    span.stream_id = static_cast<uint32_t>(i % 3);
    span.request_messages = i % 2 == 0 ? std::optional<uint32_t>(0) : std::nullopt;
    span.attributes.Add("server.port", int64_t{i} << (i % 50));
    span.attributes.Add("negative", int64_t{-1});
    span.attributes.AddBool("flag", i % 2 == 0);
    span.attributes.Add("text", std::string(static_cast<size_t>(i), 'x'));
  }
  Check();
}

TEST_F(MergeEncoder, InvalidUtf8IsRepaired) {
  model::Span& span = Add(MakeProcess(1));
  span.name = "\xff";
  span.attributes.Add("url.path", "/\xc3(");
  Check();
}

}  // namespace
}  // namespace weft::merge
