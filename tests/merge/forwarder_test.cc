// Batches that somebody else brings: a collector on this node that forwards what others send it.
#include <gtest/gtest.h>

#include "merge/sdk/origin.h"
#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;

class MergeForwarder : public testing::Test {
 protected:
  // `shop` calls `stock` with the context (1, 1).
  void SeeCall() {
    call = story.Exchange(Role::kClient, shop, 100);
    Story::Carry(&call, 1, 1);
    request = story.Exchange(Role::kServer, stock, 101);
    Story::Connect(call, &request);
    story.Open(call), story.Open(request);
    story.Finish(request, 140), story.Finish(call, 150);
  }
  std::vector<SdkSpan> BothSpans() const {
    return {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 151},
            {Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 102, 139}};
  }
  int Merged() {
    int merged = 0;
    for (const Seen& s : story.Spans()) merged += s.origin() == "merged" ? 1 : 0;
    return merged;
  }

  Story story;
  model::ProcessRef shop = Story::Process(10, "shop"), stock = Story::Process(20, "stock"),
                    collector = Story::Process(30, "otelcol"), proxy = Story::Process(40, "proxy");
  model::Span call, request;
};

TEST_F(MergeForwarder, SpansOfOthersAreMatchedByTheirIds) {
  SeeCall();
  story.Export(collector, BothSpans());
  story.At(20'000);
  EXPECT_EQ(story.Spans().size(), 2u);
  EXPECT_EQ(Merged(), 2);
  EXPECT_EQ(story.Count("weft_merge_hits_total", {{"side", "client"}}), 1);
  EXPECT_EQ(story.Count("weft_merge_hits_total", {{"side", "server"}}), 1);
  story.ExpectRest();
}

TEST_F(MergeForwarder, TimesThatDoNotFitAreAnotherOperation) {
  SeeCall();
  story.Export(collector, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 120, 151}});
  story.At(20'000);
  EXPECT_EQ(Merged(), 0);
}

TEST_F(MergeForwarder, ContextThatTwoProcessesReceivedIsLeftAlone) {
  model::Span in = story.Exchange(Role::kServer, proxy, 100), behind = in;
  Story::Carry(&in, 1, 1);
  behind = story.Exchange(Role::kServer, stock, 101);
  Story::Carry(&behind, 1, 1);
  story.Open(in), story.Open(behind);
  story.Finish(behind, 140), story.Finish(in, 150);
  story.Export(collector, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 102, 139}});
  story.At(20'000);
  EXPECT_EQ(Merged(), 0);
  EXPECT_EQ(story.Count("weft_merge_ambiguous_total"), 1);
}

// The sender speaks HTTP of its own: then the ids alone could be those of its peer.
TEST_F(MergeForwarder, SenderWithExchangesOfItsOwnNeedsTheResourceAsProof) {
  for (bool names_shop : {false, true}) {
    Story fresh;
    model::Span own = fresh.Exchange(Role::kServer, collector, 50);
    fresh.Saw(own, 60);
    model::Span out = fresh.Exchange(Role::kClient, shop, 100);
    Story::Carry(&out, 1, 1);
    fresh.Saw(out, 150);
    // Story names the resource "sdk-" and the sender's service.
    auto process = std::make_shared<model::Process>(*shop);
    if (names_shop) process->service_name = "sdk-otelcol";
    model::Span named = fresh.Exchange(Role::kClient, process, 200);
    Story::Carry(&named, 2, 2);
    fresh.Saw(named, 250);
    fresh.Export(collector, {{Trace_(2), Span_(2), {}, SpanKind::kClient, 199, 251}});
    fresh.At(20'000);
    int merged = 0;
    for (const Seen& s : fresh.Spans()) merged += s.origin() == "merged" ? 1 : 0;
    EXPECT_EQ(merged, names_shop ? 1 : 0);
  }
}

TEST_F(MergeForwarder, ResourceThatNamesAnotherProcessIsBelieved) {
  auto in_container = std::make_shared<model::Process>(*shop);
  in_container->resource = {{"container.id", "aaa"}};
  for (const char* id : {"aaa", "bbb"}) {
    Story fresh;
    model::Span out = fresh.Exchange(Role::kClient, in_container, 100);
    Story::Carry(&out, 1, 1);
    fresh.Saw(out, 150);
    fresh.resource = {{"container.id", id}};
    fresh.Export(collector, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 151}});
    fresh.At(20'000);
    EXPECT_EQ(fresh.Spans().size(), id[0] == 'a' ? 1u : 2u);
  }
}

// The sender's own view is not there any more; nobody else's is taken for it.
TEST_F(MergeForwarder, SenderThatCarriedTheContextItselfIsNoForwarder) {
  SeeCall();
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 151}});
  story.Export(shop, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 99, 151}});
  story.At(20'000);
  EXPECT_EQ(Merged(), 1);
}

// A resource of a megabyte with thousands of spans must not be read for each of them.
TEST_F(MergeForwarder, ResourceIsReadOnceForAllOfItsSpans) {
  story.resource = {{"container.id", "c1"}};
  model::OtlpBatch batch = story.Batch(stock, BothSpans());
  Resources resources;
  resources.Begin();
  EXPECT_EQ(resources.FactsOf(batch, 0).container, "c1");
  batch.resources[0].head.size = 0;
  EXPECT_EQ(resources.FactsOf(batch, 1).container, "c1");
  resources.Begin();
  EXPECT_EQ(resources.FactsOf(batch, 1).container, "");
}

}  // namespace
}  // namespace weft::merge
