// Who waits, for how long, and what is lost: coverage, the hold window, its limit, unsampled
// contexts, shutdown, and the books.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;

Options With(int64_t hold_max_bytes, std::string unsampled = "drop") {
  Options options;
  options.hold_max_bytes = hold_max_bytes;
  options.unsampled = std::move(unsampled);
  return options;
}

class MergeHolding : public testing::Test {
 protected:
  // A request without context to `process`, finished at once.
  static void Request(Story& story, const model::ProcessRef& process, uint64_t at) {
    story.At(at);
    story.Saw(story.Exchange(Role::kServer, process, at), at);
  }

  Story story;
  model::ProcessRef shop = Story::Process(10, "shop"), stock = Story::Process(20, "stock");
};

TEST_F(MergeHolding, ViewsOfAnUnknownProcessAreHeldForOneWindow) {
  Request(story, shop, 0);
  story.At(5'900);
  EXPECT_EQ(story.Spans().size(), 0u);
  story.At(6'000);
  EXPECT_EQ(story.Spans().size(), 1u);
}

TEST_F(MergeHolding, SilentProcessBecomesUncoveredAndIsEmittedAtOnce) {
  Request(story, shop, 0);
  Request(story, shop, 5'000);
  story.At(6'000);
  EXPECT_EQ(story.Spans().size(), 2u);  // what was held goes out, too
  Request(story, shop, 7'000);
  EXPECT_EQ(story.Spans().size(), 3u);
  story.ExpectRest();
}

// An SDK cannot export a span before its end: a cold start, a long poll.
TEST_F(MergeHolding, SilenceCountsFromTheEndOfTheFirstExchange) {
  model::Span slow = story.Exchange(Role::kServer, shop, 0);
  story.Open(slow);
  story.At(2'000);
  story.Finish(slow, 2'000);
  story.At(7'000);
  story.Export(shop, {{Trace_(3),
                       Span_(3),
                       {},
                       SpanKind::kServer,
                       1,
                       1'999,
                       {{"http.method", "GET"}, {"http.target", "/a"}}}});
  story.At(20'000);
  ASSERT_EQ(story.Spans().size(), 1u);
  EXPECT_EQ(story.Spans()[0].origin(), "merged");
}

TEST_F(MergeHolding, FirstExportReversesUncovered) {
  Request(story, shop, 0);
  story.At(6'000);
  story.Export(shop, {{Trace_(9), Span_(9), {}, SpanKind::kInternal, 0, 1}});
  const size_t before = story.Spans().size();
  Request(story, shop, 7'000);
  story.At(12'900);
  EXPECT_EQ(story.Spans().size(), before);
  story.At(13'000);
  EXPECT_EQ(story.Spans().size(), before + 1);
}

TEST_F(MergeHolding, ExportBeforeTheFirstRequestCounts) {
  story.Export(shop, {{Trace_(9), Span_(9), {}, SpanKind::kInternal, 0, 1}});
  Request(story, shop, 1'000);
  story.At(7'000);
  Request(story, shop, 8'000);
  EXPECT_EQ(story.Spans().size(), 2u);  // the export and the first request; the second is held
}

TEST_F(MergeHolding, ProcessThatMakesContextsIsNeverUncovered) {
  model::Span call = story.Exchange(Role::kClient, shop, 0);
  Story::Carry(&call, 1, 1);
  story.Saw(call, 10);
  story.At(7'000);
  ASSERT_EQ(story.Spans().size(), 1u);
  Request(story, shop, 7'000);
  EXPECT_EQ(story.Spans().size(), 1u);
}

TEST_F(MergeHolding, UncoveredProcessThatBeginsToMakeContextsIsWatchedAgain) {
  Request(story, shop, 0);
  story.At(6'000);
  model::Span call = story.Exchange(Role::kClient, shop, 7'000);
  Story::Carry(&call, 1, 1);
  story.At(7'000);
  story.Saw(call, 7'010);
  EXPECT_EQ(story.Spans().size(), 1u);
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 6'999, 7'011}});
  story.At(30'000);
  EXPECT_EQ(story.Spans().size(), 2u);
}

TEST_F(MergeHolding, ForwardedContextsAreNotOfItsOwnMaking) {
  model::Span in = story.Exchange(Role::kServer, shop, 0);
  Story::Carry(&in, 1, 1);
  model::Span out = story.Exchange(Role::kClient, shop, 1);
  Story::Carry(&out, 1, 1);
  story.Open(in);
  story.Saw(out, 10);
  story.Finish(in, 11);
  story.At(6'000);
  EXPECT_EQ(story.Spans().size(), 2u);
  Request(story, shop, 7'000);
  EXPECT_EQ(story.Spans().size(), 3u);
}

TEST_F(MergeHolding, UncoveredEndWaitsForTheOtherEndThatHasAnSdk) {
  Request(story, shop, 0);  // becomes uncovered
  story.At(7'000);
  model::Span call = story.Exchange(Role::kClient, shop, 7'000);
  model::Span request = story.Exchange(Role::kServer, stock, 7'001);
  Story::Connect(call, &request);
  story.Open(call), story.Open(request);
  story.Finish(request, 7'009), story.Finish(call, 7'010);
  story.At(12'000);
  EXPECT_EQ(story.Spans().size(), 1u);
  story.Export(stock, {{Trace_(3),
                        Span_(3),
                        {},
                        SpanKind::kServer,
                        7'002,
                        7'008,
                        {{"http.method", "GET"}, {"http.target", "/a"}}}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[1].span.parent_id, spans[2].span.span_id);
  EXPECT_EQ(spans[2].span.trace_id, Trace_(3));
}

TEST_F(MergeHolding, EndThatWaitedForTheOtherGoesWhenThatTurnsOutToBeUncovered) {
  Request(story, stock, 0);
  Request(story, shop, 3'000);
  story.At(7'000);
  model::Span call = story.Exchange(Role::kClient, shop, 7'000);
  model::Span request = story.Exchange(Role::kServer, stock, 7'001);
  Story::Connect(call, &request);
  story.Open(call), story.Open(request);
  story.Finish(request, 7'009), story.Finish(call, 7'010);
  story.At(8'900);
  EXPECT_EQ(story.Spans().size(), 1u);
  story.At(9'000);
  EXPECT_EQ(story.Spans().size(), 4u);
}

// Each view gets its chance once, not whenever some process on the node is found to be silent.
TEST_F(MergeHolding, ManyShortProcessesDoNotBringUpTheViewsOfOthersAgain) {
  Request(story, stock, 0);
  story.Export(shop, {{Trace_(9), Span_(9), {}, SpanKind::kInternal, 0, 1}});
  constexpr uint64_t kJobs = 20;
  std::vector<model::Span> later;
  for (uint64_t i = 0; i < kJobs; ++i) {
    const auto job = Story::Process(static_cast<uint32_t>(100 + i), "job");
    Request(story, job, 2'000 + 100 * i);
    later.push_back(story.Exchange(Role::kServer, job, 5'000));
  }
  story.At(5'000);
  for (const model::Span& span : later) story.Saw(span, 5'000);
  story.At(7'000);
  for (int i = 0; i < 5'000; ++i) {
    model::Span call = story.Exchange(Role::kClient, shop, 7'000);
    model::Span request = story.Exchange(Role::kServer, stock, 7'001);
    Story::Connect(call, &request);
    story.Open(call), story.Open(request);
    story.Finish(request, 7'009), story.Finish(call, 7'010);
  }
  story.At(8'000 + 100 * (kJobs - 1));
  size_t jobs = 0;
  for (const Seen& s : story.Spans()) jobs += s.service == "job" ? 1 : 0;
  EXPECT_EQ(jobs, 2 * kJobs);
}

TEST_F(MergeHolding, TwoUncoveredEndsGoTogetherWhenBothAreOver) {
  Request(story, shop, 0), Request(story, stock, 0);
  story.At(7'000);
  model::Span call = story.Exchange(Role::kClient, shop, 7'000);
  model::Span request = story.Exchange(Role::kServer, stock, 7'001);
  Story::Connect(call, &request);
  story.Open(call), story.Open(request);
  story.Finish(request, 7'011);
  EXPECT_EQ(story.Spans().size(), 2u);
  story.Finish(call, 7'010);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 4u);
  for (size_t i : {2, 3}) EXPECT_EQ(spans[i].span.end_ns, story.Unix(7'010));
}

TEST_F(MergeHolding, OverTheLimitTheOldestIsEmittedAndCounted) {
  Story story(With(64 << 10));
  for (int i = 0; i < 200; ++i) story.Saw(story.Exchange(Role::kServer, shop, i), i);
  const int64_t early = story.Count("weft_merge_hold_overflow_total");
  EXPECT_GT(early, 100);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), static_cast<size_t>(early));
  EXPECT_EQ(spans[0].span.start_ns, story.Unix(0));
  story.At(20'000);
  EXPECT_EQ(story.Spans().size(), 200u);
  story.ExpectRest();
}

TEST_F(MergeHolding, OpenExchangesBeyondTheLimitAreSeenAtTheirEnd) {
  Story story(With(64 << 10));
  std::vector<model::Span> open;
  for (int i = 0; i < 500; ++i) {
    open.push_back(story.Exchange(Role::kServer, shop, i));
    story.Open(open.back());
  }
  EXPECT_LE(story.metrics.Get(base::MetricKind::kGauge, "weft_merge_held_bytes", "").value(),
            3 * (64 << 10));
  for (const model::Span& span : open) story.Finish(span, 1'000);
  story.At(20'000);
  EXPECT_EQ(story.Spans().size(), 500u);
  story.ExpectRest();
}

TEST_F(MergeHolding, FlushEmitsEverythingAlsoOpenExchanges) {
  story.Saw(story.Exchange(Role::kServer, shop, 0), 10);
  story.Open(story.Exchange(Role::kServer, shop, 20));
  EXPECT_TRUE(story.merge.Flush());
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[1].span.name, "GET");
  EXPECT_EQ(spans[1].span.end_ns, story.Unix(20));
  story.ExpectRest();
}

TEST_F(MergeHolding, FlushIntoABusyStageKeepsTheSpansForTheNextTry) {
  story.Saw(story.Exchange(Role::kServer, shop, 0), 10);
  story.out.is_busy = true;
  EXPECT_FALSE(story.merge.Flush());
  EXPECT_TRUE(story.ledger.Balanced());
  story.out.is_busy = false;
  EXPECT_TRUE(story.merge.Flush());
  EXPECT_EQ(story.Spans().size(), 1u);
  story.ExpectRest();
}

TEST_F(MergeHolding, WhatIsAbandonedIsALossWithAReasonAndNotHeld) {
  story.Saw(story.Exchange(Role::kServer, shop, 0), 10);
  story.out.is_busy = true;
  EXPECT_FALSE(story.merge.Flush());
  story.merge.Abandon();
  EXPECT_THAT(story.ledger.Text(), ::testing::HasSubstr("shutdown"));
  story.out.is_busy = false;
  story.ExpectRest();
}

TEST_F(MergeHolding, BusyStageGetsItsSpansLaterAndOverTheLimitTheyAreShed) {
  Story story(With(64 << 10));
  story.out.is_busy = true;
  for (int i = 0; i < 1'000; ++i) {
    story.Saw(story.Exchange(Role::kServer, shop, i), i);
    EXPECT_TRUE(story.ledger.Balanced()) << story.ledger.Text();
  }
  story.At(10'000);
  uint64_t shed = 0;
  for (const base::LedgerRow* row : story.ledger.rows()) shed += row->lost_total();
  EXPECT_GT(shed, 0u);
  story.out.is_busy = false;
  story.At(10'200);
  EXPECT_EQ(story.Spans().size() + shed, 1'000u);
  story.ExpectRest();
}

TEST_F(MergeHolding, UnsampledContextIsDroppedWithWhatHangsBelowItAndCounted) {
  model::Span in = story.Exchange(Role::kServer, shop, 0);
  Story::Carry(&in, 1, 1, 0);
  story.Open(in);
  model::Span out = story.Exchange(Role::kClient, shop, 5);
  story.Saw(out, 8);
  story.Finish(in, 10);
  story.At(20'000);
  EXPECT_TRUE(story.Spans().empty());
  EXPECT_EQ(story.Count("weft_merge_unsampled_total"), 2);
  story.ExpectRest();
}

TEST_F(MergeHolding, UnsampledContextIsKeptIfAskedForAndDoesNotWait) {
  Story story(With(1 << 20, "keep"));
  model::Span in = story.Exchange(Role::kServer, shop, 0);
  Story::Carry(&in, 1, 1, 0);
  story.Saw(in, 10);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.flags, 0x300u);
  story.ExpectRest();
}

// A collector that forwards, beside a process of which a view comes late.
TEST_F(MergeHolding, SpansOfAPureSenderPushNoRememberedKeyOut) {
  Options options;
  options.remembered_keys = 4;
  Story story(options);
  model::Span open = story.Exchange(Role::kServer, stock, 0);
  Story::Carry(&open, 8, 8);
  story.Open(open);
  story.Export(stock, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 149}});
  for (uint8_t i = 10; i < 30; ++i) {
    story.Export(shop, {{Trace_(2), Span_(i), Span_(9), SpanKind::kClient, 101, 149}});
  }
  EXPECT_EQ(story.Count("weft_merge_forgotten_keys_total"), 0);
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  EXPECT_EQ(story.Count("weft_merge_late_total"), 1);
}

TEST_F(MergeHolding, ThousandsOfShortProcessesAreForgotten) {
  for (uint32_t pid = 1; pid <= 20'000; ++pid) {
    story.Export(Story::Process(pid, "job"), {});
  }
  EXPECT_LE(story.merge_processes(), 16'384);
}

}  // namespace
}  // namespace weft::merge
