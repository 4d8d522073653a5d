// Load generators send thousands of requests with one and the same context, and nothing may then
// cost as many steps, or bytes, for each of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "merge/linker.h"
#include "merge/matcher.h"
#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;

// The inside of merge, as far as Match goes.
class MergeSameContext : public testing::Test {
 protected:
  Entry& Open(Role role, const model::ProcessRef& process, uint64_t first_ms) {
    model::Span span = story.Exchange(role, process, first_ms);
    Story::Carry(&span, 1, 1);
    Entry& entry = window.Add(std::move(span), processes.Get(MergeKey(process->key)));
    linker.OnOpened(entry);
    return entry;
  }

  Story story;
  ProcessTable processes{1, 100};
  Window window{1};
  Linker linker{window, processes};
  Matcher matcher{window};
  model::ProcessRef shop = Story::Process(10, "shop"), stock = Story::Process(20, "stock");
};

// Whoever is allowed to send spans must not be able to fill the memory with a small batch.
TEST_F(MergeSameContext, BatchNotesATakenIdOnceASpanHoweverManyCallsCarriedIt) {
  for (int i = 0; i < 100; ++i) Open(Role::kClient, shop, 100);
  for (SpanKind kind : {SpanKind::kServer, SpanKind::kClient, SpanKind::kInternal}) {
    const std::vector<SdkSpan> spans(50, {Trace_(1), Span_(1), Span_(2), kind, 99, 101});
    MatchResult result;
    matcher.Match(story.Batch(stock, spans), &processes.Get(MergeKey(stock->key)), &result);
    EXPECT_LE(result.taken.size(), spans.size());
  }
}

// However many there are, only those near to the span in time are looked at.
TEST_F(MergeSameContext, LookAtALongChainIsBounded) {
  Entry* head = nullptr;
  for (uint64_t i = 0; i < 5'000; ++i) head = &Open(Role::kServer, stock, i);
  int visits = 0;
  window.ForEachNear(head, story.Unix(2'500), 32, [&](const Entry& e) {
    EXPECT_LE(e.span.request_first_ns, story.Unix(2'520));
    EXPECT_GE(e.span.request_first_ns, story.Unix(2'480));
    ++visits;
    return true;
  });
  EXPECT_EQ(visits, 32);
}

TEST_F(MergeSameContext, EachOfThousandsOfSpansFindsItsOwnRequest) {
  constexpr uint64_t kRequests = 2'000;
  for (uint64_t i = 0; i < kRequests; ++i) {
    for (const auto& process : {shop, stock}) {
      model::Span request = story.Exchange(Role::kServer, process, i);
      Story::Carry(&request, 1, 1);
      request.request_first_ns += process == shop ? 0 : 300'000;
      story.Saw(request, i + 2);
    }
  }
  // The oldest last, as no SDK sends them.
  std::vector<SdkSpan> spans;
  for (uint64_t i = kRequests; i-- > 0;) {
    spans.push_back({Trace_(1), base::NewSpanId(), Span_(1), SpanKind::kServer, i, i + 2});
  }
  story.Export(shop, spans);
  int merged = 0;
  for (const Seen& s : story.Spans()) {
    ASSERT_EQ(s.origin(), "merged");
    EXPECT_EQ(s.Text(kRequestFirstKey), std::to_string(s.span.start_ns));
    ++merged;
  }
  EXPECT_EQ(merged, static_cast<int>(kRequests));
}

// Of the many requests that brought it, the newest before the call.
TEST_F(MergeSameContext, ForwardedCallIsAChildOfTheNewestRequestBeforeIt) {
  std::vector<Entry*> requests;
  for (uint64_t i = 0; i < 100; ++i) {
    Open(Role::kServer, stock, 10 * i);
    requests.push_back(&Open(Role::kServer, shop, 10 * i + 1));
  }
  model::Span call = story.Exchange(Role::kClient, shop, 505);
  Story::Carry(&call, 1, 1);
  call.thread = 999;
  Entry& entry = window.Add(std::move(call), processes.Get(MergeKey(shop->key)));
  linker.OnOpened(entry);
  EXPECT_EQ(entry.parenthood, Parenthood::kForwarded);
  EXPECT_TRUE(entry.parent == requests[50]->self);
}

// The id of a span is nobody else's, whichever call of the chain comes, goes, or is left over.
TEST_F(MergeSameContext, CallsThatCarriedTheIdOfASpanAreAllItsChildren) {
  std::vector<model::Span> calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(story.Exchange(Role::kClient, shop, 100 + i));
    Story::Carry(&calls[i], 1, 1);
    if (i != 4) story.Open(calls[i]);
  }
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kServer, 90, 190}});
  story.Open(calls[4]);
  for (int i : {4, 0, 2, 1, 3}) story.Finish(calls[i], 150 + i);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 6u);
  for (const Seen& s : spans) {
    if (!s.is_client()) continue;
    EXPECT_NE(s.span.span_id, Span_(1));
    EXPECT_EQ(s.span.parent_id, Span_(1));
  }
}

}  // namespace
}  // namespace weft::merge
