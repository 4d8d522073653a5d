// One span per operation where a wire context tells which: identity by (T, span id S) in the
// sending process, by (T, parent S) in the receiving one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;

class MergeExact : public testing::Test {
 protected:
  Story story;
  model::ProcessRef shop = Story::Process(10, "shop"), stock = Story::Process(20, "stock");
};

TEST_F(MergeExact, ClientSpanIsMergedByItsOwnIdAndKeepsTheSdksFacts) {
  model::Span call = story.Exchange(Role::kClient, shop, 100);
  Story::Carry(&call, 1, 1);
  story.Saw(call, 150);
  story.Export(
      shop, {{Trace_(1), Span_(1), Span_(7), SpanKind::kClient, 99, 151, {{"k", "v"}}, "GET /x"}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  const Seen& s = spans[0];
  EXPECT_EQ(s.service, "sdk-shop");
  EXPECT_EQ(s.span.trace_id, Trace_(1));
  EXPECT_EQ(s.span.span_id, Span_(1));
  EXPECT_EQ(s.span.parent_id, Span_(7));
  EXPECT_EQ(s.span.name, "GET /x");
  EXPECT_EQ(s.span.start_ns, story.Unix(99));
  EXPECT_EQ(s.Text("k"), "v");
  EXPECT_EQ(s.origin(), "merged");
  EXPECT_EQ(s.Text(kRequestFirstKey), std::to_string(story.Unix(100)));
  EXPECT_EQ(s.Text(kRequestLastKey), std::to_string(story.Unix(100)));
  EXPECT_EQ(s.Text(kResponseFirstKey), std::to_string(story.Unix(150)));
  EXPECT_EQ(s.Text(kResponseLastKey), std::to_string(story.Unix(150)));
  EXPECT_EQ(s.Text(kRequestBytesKey), "100");
  EXPECT_EQ(s.Text(kResponseBytesKey), "2000");
  EXPECT_EQ(s.Text("network.peer.address"), "10.0.0.2");
  EXPECT_EQ(s.Text("network.peer.port"), "8080");
  EXPECT_EQ(story.Count("weft_merge_hits_total", {{"side", "client"}}), 1);
  story.ExpectRest();
}

TEST_F(MergeExact, ServerSpanIsMergedByItsParentId) {
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.span_id, Span_(2));
  EXPECT_EQ(spans[0].span.parent_id, Span_(1));
  EXPECT_EQ(spans[0].origin(), "merged");
  EXPECT_EQ(spans[0].Text("network.peer.address"), "10.0.0.1");
  EXPECT_EQ(story.Count("weft_merge_hits_total", {{"side", "server"}}), 1);
  story.ExpectRest();
}

TEST_F(MergeExact, PeerAddressThatTheSdkGaveStays) {
  for (const char* key : {"network.peer.address", "net.peer.ip", "net.sock.peer.addr"}) {
    Story story;
    model::Span call = story.Exchange(Role::kClient, shop, 100);
    Story::Carry(&call, 1, 1);
    story.Saw(call, 150);
    story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 151, {{key, "1.2.3.4"}}}});
    auto spans = story.Spans();
    ASSERT_EQ(spans.size(), 1u);
    EXPECT_EQ(spans[0].Text(key), "1.2.3.4");
    EXPECT_EQ(spans[0].Text("network.peer.port"), "") << key;
  }
}

TEST_F(MergeExact, OpenExchangeIsFoundByItsHeadAlone) {
  model::Span call = story.Exchange(Role::kClient, shop, 100);
  Story::Carry(&call, 1, 1);
  story.Open(call);
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 120}});
  story.Finish(call, 150);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].origin(), "merged");
  // Only what was known.
  EXPECT_EQ(spans[0].Text(kResponseLastKey), "");
  EXPECT_EQ(spans[0].Text(kRequestBytesKey), "");
  story.ExpectRest();
}

TEST_F(MergeExact, FirstRequestOfANewProcessIsNoDuplicate) {
  model::Span request = story.Exchange(Role::kServer, stock, 0);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 10);
  story.At(5'100);  // the SDK's first export
  EXPECT_TRUE(story.Spans().empty());
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 1, 9}});
  story.At(20'000);
  EXPECT_EQ(story.Spans().size(), 1u);
}

TEST_F(MergeExact, SdkSpanNeverWaits) {
  model::Span request = story.Exchange(Role::kServer, stock, 0);
  story.Open(request);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kInternal, 1, 9}});
  EXPECT_EQ(story.Spans().size(), 1u);
  EXPECT_EQ(story.Spans()[0].origin(), "");
}

TEST_F(MergeExact, UntouchedSpansOfThatBatchCarryNothing) {
  model::Span request = story.Exchange(Role::kServer, stock, 0);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 10);
  story.Export(stock, {{Trace_(1), Span_(3), Span_(2), SpanKind::kInternal, 2, 8},
                       {Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 1, 9}});
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].origin(), "");
  EXPECT_EQ(spans[0].span.attributes.size(), 0u);
  EXPECT_EQ(spans[1].origin(), "merged");
}

TEST_F(MergeExact, BatchOfAProcessWithoutExchangesIsPassedOnAsItIs) {
  story.Export(Story::Process(77, "other"),
               {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 1, 9}});
  ASSERT_EQ(story.out.was_edited.size(), 1u);
  EXPECT_FALSE(story.out.was_edited[0]);
  story.ExpectRest();
}

TEST_F(MergeExact, OnlyTheProcessThatSentTheSpanIsMeant) {
  // Both ends of the call carry (T, S); each SDK's span belongs to its own end.
  model::Span call = story.Exchange(Role::kClient, shop, 100);
  Story::Carry(&call, 1, 1);
  model::Span request = story.Exchange(Role::kServer, stock, 101);
  Story::Connect(call, &request);
  story.Open(call);
  story.Open(request);
  story.Finish(request, 140);
  story.Finish(call, 141);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 102, 139}});
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 142}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  for (const Seen& s : spans) EXPECT_EQ(s.origin(), "merged");
  EXPECT_EQ(spans[0].Text("network.peer.address"), "10.0.0.1");
  EXPECT_EQ(spans[1].Text("network.peer.address"), "10.0.0.2");
  story.ExpectRest();
}

TEST_F(MergeExact, UnknownSenderIsMatchedByIdsIfOneProcessCarriedThem) {
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  story.Export(nullptr, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  story.At(20'000);
  ASSERT_EQ(story.Spans().size(), 1u);
  EXPECT_EQ(story.Spans()[0].origin(), "merged");
}

TEST_F(MergeExact, UnknownSenderIsNotGuessedAmongSeveralProcesses) {
  for (const auto& process : {shop, stock}) {
    model::Span request = story.Exchange(Role::kServer, process, 100);
    Story::Carry(&request, 1, 1);
    story.Saw(request, 150);
  }
  story.Export(nullptr, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  EXPECT_EQ(story.Spans()[0].origin(), "");
  EXPECT_EQ(story.Count("weft_merge_ambiguous_total"), 1);
}

TEST_F(MergeExact, RetriesThatReuseTheHeaderGoToTheExchangeThatEnclosesTheSpan) {
  model::Span first = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&first, 1, 1);
  model::Span second = story.Exchange(Role::kServer, stock, 200);
  Story::Carry(&second, 1, 1);
  story.Saw(first, 150);
  story.Saw(second, 250);
  story.Export(stock, {{Trace_(1), Span_(3), Span_(1), SpanKind::kServer, 201, 249},
                       {Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);  // each exchange was used once
  EXPECT_EQ(spans[0].Text(kRequestFirstKey), std::to_string(story.Unix(200)));
  EXPECT_EQ(spans[1].Text(kRequestFirstKey), std::to_string(story.Unix(100)));
}

// Case F39: no second span of the same ids.
TEST_F(MergeExact, RetryBelowOneClientSpanBecomesItsChild) {
  for (uint64_t at : {100, 200}) {
    model::Span call = story.Exchange(Role::kClient, shop, at);
    Story::Carry(&call, 1, 1);
    story.Saw(call, at + 50);
  }
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 260}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].origin(), "merged");
  EXPECT_EQ(spans[1].origin(), "kernel");
  EXPECT_NE(spans[1].span.span_id, Span_(1));
  EXPECT_EQ(spans[1].span.parent_id, Span_(1));
  EXPECT_EQ(spans[1].span.trace_id, Trace_(1));
}

TEST_F(MergeExact, RetriesWithoutAnSdkSpanDoNotShareAnId) {
  for (uint64_t at : {100, 8'000}) {
    story.At(at);
    model::Span call = story.Exchange(Role::kClient, shop, at);
    Story::Carry(&call, 1, 1);
    story.Saw(call, at + 50);
  }
  story.At(30'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].span.span_id, Span_(1));
  EXPECT_NE(spans[1].span.span_id, Span_(1));
  EXPECT_EQ(spans[1].span.parent_id, Span_(1));
}

// A manually injected server span is not the call that carried its id.
TEST_F(MergeExact, CallUnderAnInjectedServerSpanIsItsChild) {
  model::Span call = story.Exchange(Role::kClient, shop, 100);
  Story::Carry(&call, 1, 1);
  story.Saw(call, 150);
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kServer, 90, 160}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].origin(), "");
  EXPECT_EQ(spans[1].span.parent_id, Span_(1));
  EXPECT_NE(spans[1].span.span_id, Span_(1));
}

TEST_F(MergeExact, KindThatSaysNothingIsMergedAfterTheKindsThatDo) {
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  story.Export(stock, {{Trace_(1), Span_(3), Span_(1), SpanKind::kInternal, 101, 149},
                       {Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  auto spans = story.Spans();
  EXPECT_EQ(spans[0].origin(), "");
  EXPECT_EQ(spans[1].origin(), "merged");

  model::Span again = story.Exchange(Role::kServer, stock, 200);
  Story::Carry(&again, 2, 1);
  story.Saw(again, 250);
  story.Export(stock, {{Trace_(2), Span_(4), Span_(1), SpanKind::kInternal, 201, 249}});
  EXPECT_EQ(story.Spans()[2].origin(), "merged");
}

TEST_F(MergeExact, KernelViewThatComesLateIsAbsorbedAndCounted) {
  model::Span before = story.Exchange(Role::kServer, stock, 0);
  story.Open(before);  // weft knows the process
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  model::Span call = story.Exchange(Role::kClient, stock, 110);
  Story::Carry(&call, 1, 3);
  story.At(160);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149},
                       {Trace_(1), Span_(3), Span_(2), SpanKind::kClient, 109, 140}});
  story.At(2'000);
  story.Saw(request, 150);
  story.Saw(call, 139);
  story.Finish(before, 2'000);
  story.At(40'000);
  EXPECT_EQ(story.Spans().size(), 3u);  // two of the SDK, one for `before`
  EXPECT_EQ(story.Count("weft_merge_late_total"), 2);
  story.ExpectRest();
}

TEST_F(MergeExact, KernelViewIsNotAbsorbedAfterTwoSeconds) {
  model::Span before = story.Exchange(Role::kServer, stock, 0);
  story.Open(before);
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  story.At(2'200);
  story.Saw(request, 150);
  EXPECT_EQ(story.Count("weft_merge_late_total"), 0);
}

// Case F42, and the contract of Sink: kBusy leaves the batch as it was.
TEST_F(MergeExact, BusyNextStageLeavesTheBatchUntouchedAndTheRetryIsMerged) {
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  model::OtlpBatch batch =
      story.Batch(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  story.out.is_busy = true;
  EXPECT_EQ(story.merge.batches().Push(std::move(batch)), model::PushResult::kBusy);
  ASSERT_EQ(batch.spans.size(), 1u);
  EXPECT_FALSE(batch.edited);
  EXPECT_EQ(batch.spans[0].append, 0u);
  EXPECT_TRUE(batch.appends.empty());
  story.out.is_busy = false;
  EXPECT_EQ(story.merge.batches().Push(std::move(batch)), model::PushResult::kTaken);
  story.At(20'000);
  ASSERT_EQ(story.Spans().size(), 1u);
  EXPECT_EQ(story.Spans()[0].origin(), "merged");
  story.ExpectRest();
}

// Case F46: a pid that is used again is another process.
TEST_F(MergeExact, NextOwnerOfAPidIsAnotherProcess) {
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  auto next = std::make_shared<model::Process>(*stock);
  next->key.start_ns += 20 * kMs;
  story.Export(next, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  story.At(20'000);
  ASSERT_EQ(story.Spans().size(), 2u);
  EXPECT_EQ(story.Spans()[0].origin(), "");
}

TEST_F(MergeExact, SenderKnownFromProcIsTheProcessKnownFromTheKernel) {
  stock = Story::Process(20, "stock");
  auto exact = std::make_shared<model::Process>(*stock);
  exact->key.start_ns = 123'456'789'012;
  auto rounded = std::make_shared<model::Process>(*stock);
  rounded->key.start_ns = 123'450'000'000;
  model::Span request = story.Exchange(Role::kServer, exact, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  story.Export(rounded, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  EXPECT_EQ(story.Spans()[0].origin(), "merged");
}

TEST_F(MergeExact, KnownSenderIsNotConfusedByOtherProcessesWithTheSameContext) {
  for (const auto& process : {shop, stock}) {
    model::Span request = story.Exchange(Role::kServer, process, process == shop ? 100 : 200);
    Story::Carry(&request, 1, 1);
    story.Saw(request, 250);
  }
  story.Export(shop, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 201, 249}});
  ASSERT_EQ(story.Spans().size(), 1u);
  EXPECT_EQ(story.Spans()[0].Text(kRequestFirstKey), std::to_string(story.Unix(100)));
  EXPECT_EQ(story.Count("weft_merge_ambiguous_total"), 0);
}

TEST_F(MergeExact, BothSpansOfACallToItselfAreMerged) {
  for (bool is_server_first : {false, true}) {
    Story s;
    model::Span call = s.Exchange(Role::kClient, shop, 100);
    Story::Carry(&call, 1, 1);
    model::Span request = s.Exchange(Role::kServer, shop, 101);
    Story::Connect(call, &request);
    s.Open(is_server_first ? request : call);
    s.Open(is_server_first ? call : request);
    s.Finish(request, 140), s.Finish(call, 141);
    s.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 142},
                    {Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 102, 139}});
    s.At(20'000);
    EXPECT_EQ(s.Spans().size(), 2u);
    s.ExpectRest();
  }
}

TEST_F(MergeExact, RetryWhileTheMergedCallIsStillOpenDoesNotTakeItsId) {
  model::Span call = story.Exchange(Role::kClient, shop, 100);
  Story::Carry(&call, 1, 1);
  story.Open(call);
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 120}});
  model::Span retry = story.Exchange(Role::kClient, shop, 130);
  Story::Carry(&retry, 1, 1);
  story.Saw(retry, 140);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_NE(spans[1].span.span_id, Span_(1));
  EXPECT_EQ(spans[1].span.parent_id, Span_(1));
}

TEST_F(MergeExact, OneSpanAbsorbsOneLateView) {
  model::Span before = story.Exchange(Role::kServer, stock, 0);
  story.Open(before);
  story.At(300);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 299}});
  for (uint64_t at : {100, 200}) {
    model::Span request = story.Exchange(Role::kServer, stock, at);
    Story::Carry(&request, 1, 1);
    story.Saw(request, at + 50);
  }
  EXPECT_EQ(story.Count("weft_merge_late_total"), 1);
}

}  // namespace
}  // namespace weft::merge
