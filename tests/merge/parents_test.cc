// Whose child is a span that only the kernel saw, and under which ids is it known?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;

class MergeParents : public testing::Test {
 protected:
  // Of the spans that came out, the one of this service and side; fails if there is none.
  const Seen& Find(const std::vector<Seen>& spans, std::string_view service, bool is_client) {
    for (const Seen& s : spans) {
      if (s.service == service && s.is_client() == is_client) return s;
    }
    ADD_FAILURE() << "no span of " << service;
    return spans.at(0);
  }

  Story story;
  model::ProcessRef curl = Story::Process(5, "curl"), shop = Story::Process(10, "shop"),
                    proxy = Story::Process(15, "proxy"), stock = Story::Process(20, "stock");
};

TEST_F(MergeParents, KernelServerSpanJoinsTheTraceOfItsContext) {
  model::Span request = story.Exchange(Role::kServer, stock, 100);
  Story::Carry(&request, 1, 1);
  request.context->trace_state = "v=1";
  story.Saw(request, 150);
  story.At(6'200);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  const Seen& s = spans[0];
  EXPECT_EQ(s.origin(), "kernel");
  EXPECT_EQ(s.span.trace_id, Trace_(1));
  EXPECT_EQ(s.span.parent_id, Span_(1));
  EXPECT_NE(s.span.span_id, Span_(1));
  EXPECT_EQ(s.span.trace_state, "v=1");
  EXPECT_EQ(s.span.kind, 2);
  EXPECT_EQ(s.span.flags, 0x301u);
  EXPECT_EQ(s.span.start_ns, story.Unix(100));
  EXPECT_EQ(s.span.end_ns, story.Unix(150));
  EXPECT_EQ(s.span.name, "GET");
  EXPECT_EQ(s.Text(kParentRuleKey), "");
  EXPECT_EQ(s.Text(kRequestBytesKey), "100");
}

TEST_F(MergeParents, KernelClientSpanTakesTheIdThatItSent) {
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  Story::Carry(&call, 1, 1);
  story.Saw(call, 150);
  story.At(6'200);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.trace_id, Trace_(1));
  EXPECT_EQ(spans[0].span.span_id, Span_(1));
  EXPECT_TRUE(spans[0].span.parent_id.IsZero());
}

TEST_F(MergeParents, ForwardedHeaderGetsANewIdBelowTheRequestThatBroughtIt) {
  model::Span in = story.Exchange(Role::kServer, proxy, 100);
  Story::Carry(&in, 1, 1);
  model::Span out = story.Exchange(Role::kClient, proxy, 101);
  Story::Carry(&out, 1, 1);
  out.thread = 999;  // an event loop or another worker: the header says it all
  model::Span backend = story.Exchange(Role::kServer, stock, 102);
  Story::Connect(out, &backend);
  story.Open(in);
  story.Open(out);
  story.Open(backend);
  story.Finish(backend, 140);
  story.Finish(out, 141);
  story.Finish(in, 142);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  const Seen& s_in = Find(spans, "proxy", false);
  const Seen& s_out = Find(spans, "proxy", true);
  const Seen& s_backend = Find(spans, "stock", false);
  EXPECT_EQ(s_in.span.parent_id, Span_(1));
  EXPECT_NE(s_out.span.span_id, Span_(1));
  EXPECT_EQ(s_out.span.parent_id, s_in.span.span_id);
  EXPECT_EQ(s_backend.span.parent_id, s_out.span.span_id);
  for (const Seen& s : spans) EXPECT_EQ(s.span.trace_id, Trace_(1));
  EXPECT_EQ(s_out.Text(kParentRuleKey), "");
}

TEST_F(MergeParents, ForwardingAfterTheRequestIsOverIsStillRecognised) {
  model::Span in = story.Exchange(Role::kServer, proxy, 100);
  Story::Carry(&in, 1, 1);
  story.Saw(in, 110);
  story.At(7'000);
  ASSERT_EQ(story.Spans().size(), 1u);
  model::Span out = story.Exchange(Role::kClient, proxy, 7'000);
  Story::Carry(&out, 1, 1);
  story.Saw(out, 7'010);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[1].span.parent_id, spans[0].span.span_id);
}

// Its own server end brought the call no context, whichever of the two is seen first and however
// their stamps race.
TEST_F(MergeParents, CallOfAProcessToItselfIsNoChildOfItsOwnServerEnd) {
  for (bool is_server_first : {false, true}) {
    for (uint64_t server_ms : {99, 101}) {
      Story s;
      model::Span call = s.Exchange(Role::kClient, shop, 100);
      Story::Carry(&call, 1, 1);
      model::Span request = s.Exchange(Role::kServer, shop, server_ms);
      Story::Connect(call, &request);
      s.Open(is_server_first ? request : call);
      s.Open(is_server_first ? call : request);
      s.Finish(request, 140), s.Finish(call, 141);
      s.At(20'000);
      auto spans = s.Spans();
      ASSERT_EQ(spans.size(), 2u);
      EXPECT_EQ(Find(spans, "shop", true).span.span_id, Span_(1));
      EXPECT_TRUE(Find(spans, "shop", true).span.parent_id.IsZero());
      EXPECT_EQ(Find(spans, "shop", false).span.parent_id, Span_(1));
    }
  }
}

TEST_F(MergeParents, CallThatComesBackThroughAProxyIsNoChildOfItsReturn) {
  model::Span call = story.Exchange(Role::kClient, shop, 100);
  Story::Carry(&call, 1, 1);
  model::Span in = story.Exchange(Role::kServer, proxy, 101);
  Story::Connect(call, &in);
  model::Span out = story.Exchange(Role::kClient, proxy, 102);
  Story::Carry(&out, 1, 1);
  model::Span back = story.Exchange(Role::kServer, shop, 103);
  Story::Connect(out, &back);
  for (const auto& s : {call, in, out, back}) story.Open(s);
  // The return has left the window before the call is settled.
  story.Finish(back, 140);
  story.Finish(out, 141), story.Finish(in, 142);
  story.At(7'000);
  story.Finish(call, 7'000);
  story.At(80'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 4u);
  EXPECT_EQ(Find(spans, "shop", true).span.span_id, Span_(1));
  EXPECT_TRUE(Find(spans, "shop", true).span.parent_id.IsZero());
  EXPECT_EQ(Find(spans, "proxy", false).span.parent_id, Span_(1));
  EXPECT_EQ(Find(spans, "proxy", true).span.parent_id, Find(spans, "proxy", false).span.span_id);
  EXPECT_EQ(Find(spans, "shop", false).span.parent_id, Find(spans, "proxy", true).span.span_id);
}

TEST_F(MergeParents, ForwardingProxyDoesNotTakeTheSdksClientSpan) {
  // The sender is unknown, and the proxy carried the same ids.
  model::Span call = story.Exchange(Role::kClient, shop, 99);
  Story::Carry(&call, 1, 1);
  model::Span in = story.Exchange(Role::kServer, proxy, 100);
  Story::Connect(call, &in);
  model::Span out = story.Exchange(Role::kClient, proxy, 101);
  Story::Carry(&out, 1, 1);
  for (const auto& s : {call, in, out}) story.Open(s);
  story.Finish(out, 141), story.Finish(in, 142), story.Finish(call, 143);
  story.Export(nullptr, {{Trace_(1), Span_(1), {}, SpanKind::kClient, 98, 144}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0].origin(), "merged");
  EXPECT_EQ(spans[0].Text(kRequestFirstKey), std::to_string(story.Unix(99)));
}

TEST_F(MergeParents, BothEndsAreJoinedWhateverNatDidToTheServerAddress) {
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  call.netns = 1;
  model::Span request = story.Exchange(Role::kServer, stock, 101);
  Story::Connect(call, &request);
  request.netns = 2;
  story.Open(call);
  story.Open(request);
  story.Finish(request, 140);
  story.Finish(call, 141);
  story.At(20'000);
  auto spans = story.Spans();
  const Seen& client = Find(spans, "curl", true);
  const Seen& server = Find(spans, "stock", false);
  EXPECT_EQ(server.span.trace_id, client.span.trace_id);
  EXPECT_EQ(server.span.parent_id, client.span.span_id);
  EXPECT_TRUE(client.span.parent_id.IsZero());
  EXPECT_EQ(server.Text(kParentRuleKey), "");
}

TEST_F(MergeParents, LoopbackEndsOfDifferentNamespacesAreStrangers) {
  for (uint64_t netns : {1, 2}) {
    Story s;
    model::Span call = s.Exchange(Role::kClient, curl, 100);
    call.client = Loopback(4'000);
    model::Span request = s.Exchange(Role::kServer, stock, 101);
    Story::Connect(call, &request);
    request.netns = netns;
    s.Saw(call, 140);
    s.Saw(request, 139);
    s.At(20'000);
    auto spans = s.Spans();
    const bool joined =
        Find(spans, "stock", false).span.trace_id == Find(spans, "curl", true).span.trace_id;
    EXPECT_EQ(joined, netns == 1);
  }
}

TEST_F(MergeParents, OtherRequestOnTheSameConnectionIsNotTheOtherEnd) {
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  model::Span request = story.Exchange(Role::kServer, stock, 101);
  Story::Connect(call, &request);
  request.request_sequence += 500;
  story.Saw(call, 140);
  story.Saw(request, 139);
  story.At(20'000);
  auto spans = story.Spans();
  EXPECT_NE(spans[0].span.trace_id, spans[1].span.trace_id);
}

TEST_F(MergeParents, TimesOfBothEndsContainEachOther) {
  model::Span call = story.Exchange(Role::kClient, curl, 102);  // stamped after its call returned
  model::Span request = story.Exchange(Role::kServer, stock, 101);
  Story::Connect(call, &request);
  story.Open(request);
  story.Open(call);
  story.Finish(request, 150);  // likewise
  story.Finish(call, 149);
  story.At(20'000);
  auto spans = story.Spans();
  const Seen& client = Find(spans, "curl", true);
  const Seen& server = Find(spans, "stock", false);
  EXPECT_LE(client.span.start_ns, server.span.start_ns);
  EXPECT_GE(client.span.end_ns, server.span.end_ns);
  EXPECT_EQ(client.span.start_ns, story.Unix(101));
  EXPECT_EQ(server.span.end_ns, story.Unix(149));
}

// What was cut short lasted until then, on both ends, and the ends contain each other as always.
TEST_F(MergeParents, ExchangeCutShortEndsWhenItsConnectionDid) {
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  model::Span request = story.Exchange(Role::kServer, stock, 101);
  Story::Connect(call, &request);
  for (const model::Span& span : {call, request}) story.Open(span);
  for (model::Span span : {call, request}) {
    const bool is_client = span.role == Role::kClient;
    span = Story::Finished(span, is_client ? 0 : story.Unix(130));
    span.cut_ns = story.Unix(is_client ? 150 : 151);  // stamped after the client heard of it
    story.Open(span);
  }
  story.At(20'000);
  auto spans = story.Spans();
  EXPECT_EQ(Find(spans, "curl", true).span.end_ns, story.Unix(150));
  EXPECT_EQ(Find(spans, "stock", false).span.end_ns, story.Unix(150));
}

TEST_F(MergeParents, OnlyOpenRequestOfTheThreadIsTheParent) {
  model::Span in = story.Exchange(Role::kServer, shop, 100);
  model::Span out = story.Exchange(Role::kClient, shop, 110);
  story.Open(in);
  story.Saw(out, 120);
  story.Finish(in, 130);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  const Seen& s_in = Find(spans, "shop", false);
  const Seen& s_out = Find(spans, "shop", true);
  EXPECT_EQ(s_out.span.trace_id, s_in.span.trace_id);
  EXPECT_EQ(s_out.span.parent_id, s_in.span.span_id);
  EXPECT_EQ(s_out.Text(kParentRuleKey), "thread");
  EXPECT_EQ(s_out.Text(kParentCandidatesKey), "1");
  EXPECT_EQ(s_out.Text(kParentConfidenceKey), "0.9");
  EXPECT_EQ(s_out.span.flags, 0x101u);
  EXPECT_EQ(s_in.Text(kParentRuleKey), "");
}

TEST_F(MergeParents, TwoOpenRequestsOfAThreadAreNoParent) {
  model::Span in = story.Exchange(Role::kServer, shop, 100);
  model::Span in2 = story.Exchange(Role::kServer, shop, 101);
  model::Span out = story.Exchange(Role::kClient, shop, 110);
  story.Open(in), story.Open(in2);
  story.Saw(out, 120);
  story.Finish(in, 130), story.Finish(in2, 131);
  story.At(20'000);
  EXPECT_TRUE(Find(story.Spans(), "shop", true).span.parent_id.IsZero());
}

TEST_F(MergeParents, AnsweredRequestAndOtherThreadsAreNoParent) {
  model::Span in = story.Exchange(Role::kServer, shop, 100);
  story.Saw(in, 105);
  model::Span after = story.Exchange(Role::kClient, shop, 110);
  story.Saw(after, 120);
  model::Span in2 = story.Exchange(Role::kServer, shop, 200);
  story.Open(in2);
  model::Span elsewhere = story.Exchange(Role::kClient, shop, 210);
  elsewhere.thread = 11;
  story.Saw(elsewhere, 220);
  story.Finish(in2, 230);
  story.At(20'000);
  for (const Seen& s : story.Spans()) EXPECT_TRUE(s.span.parent_id.IsZero());
}

TEST_F(MergeParents, ContextOnTheWireWinsOverTheThread) {
  model::Span in = story.Exchange(Role::kServer, shop, 100);
  Story::Carry(&in, 1, 1);
  story.Open(in);
  model::Span same = story.Exchange(Role::kClient, shop, 110);
  Story::Carry(&same, 1, 5);
  story.Saw(same, 115);
  model::Span other = story.Exchange(Role::kClient, shop, 120);
  Story::Carry(&other, 2, 6);
  story.Saw(other, 125);
  story.Finish(in, 130);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  const Seen& s_in = Find(spans, "shop", false);
  for (const Seen& s : spans) {
    if (s.span.span_id == Span_(5)) {
      EXPECT_EQ(s.span.parent_id, s_in.span.span_id);
      EXPECT_EQ(s.Text(kParentRuleKey), "thread");
    } else if (s.is_client()) {
      EXPECT_EQ(s.span.span_id, Span_(6));
      EXPECT_EQ(s.span.trace_id, Trace_(2));
      EXPECT_TRUE(s.span.parent_id.IsZero());
    }
  }
}

TEST_F(MergeParents, ParentThatBecameAnSdkSpanIsFollowed) {
  // The server has an SDK, its HTTP client has none.
  model::Span in = story.Exchange(Role::kServer, shop, 100);
  Story::Carry(&in, 1, 1);
  model::Span out = story.Exchange(Role::kClient, shop, 110);
  model::Span backend = story.Exchange(Role::kServer, stock, 111);
  Story::Connect(out, &backend);
  story.Open(in), story.Open(out), story.Open(backend);
  story.Finish(backend, 119), story.Finish(out, 120), story.Finish(in, 130);
  story.At(4'000);
  story.Export(shop, {{Trace_(1), Span_(2), Span_(1), SpanKind::kServer, 101, 129}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  const Seen& s_out = Find(spans, "shop", true);
  EXPECT_EQ(s_out.span.trace_id, Trace_(1));
  EXPECT_EQ(s_out.span.parent_id, Span_(2));
  const Seen& s_backend = Find(spans, "stock", false);
  EXPECT_EQ(s_backend.span.trace_id, Trace_(1));
  EXPECT_EQ(s_backend.span.parent_id, s_out.span.span_id);
}

TEST_F(MergeParents, LongOpenParentDelaysItsChildrenTenWindowsAtMost) {
  model::Span in = story.Exchange(Role::kServer, shop, 0);
  story.Export(shop, {{Trace_(9), Span_(9), {}, SpanKind::kInternal, 0, 1}});
  story.Open(in);
  model::Span out = story.Exchange(Role::kClient, shop, 10);
  story.Saw(out, 20);
  story.At(59'000);
  EXPECT_EQ(story.Spans().size(), 1u);
  story.At(61'000);
  ASSERT_EQ(story.Spans().size(), 2u);
  const auto child = story.Spans()[1].span;
  story.Finish(in, 61'000);
  story.At(70'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[2].span.span_id, child.parent_id);
  EXPECT_EQ(spans[2].span.trace_id, child.trace_id);
}

TEST_F(MergeParents, SdkRootBehindAnUninstrumentedCallerBecomesItsChild) {
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  model::Span request = story.Exchange(Role::kServer, shop, 101);
  Story::Connect(call, &request);
  story.Open(call), story.Open(request);
  story.Finish(request, 140), story.Finish(call, 141);
  story.At(4'000);
  story.Export(shop, {{Trace_(3),
                       Span_(3),
                       {},
                       SpanKind::kServer,
                       102,
                       139,
                       {{"http.request.method", "GET"}, {"url.path", "/a"}}}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].origin(), "merged");
  EXPECT_EQ(spans[0].span.span_id, Span_(3));
  EXPECT_EQ(spans[0].span.parent_id, spans[1].span.span_id);
  EXPECT_EQ(spans[1].service, "curl");
  EXPECT_EQ(spans[1].span.trace_id, Trace_(3));
  EXPECT_EQ(story.Count("weft_merge_adopted_total"), 1);
  story.ExpectRest();
}

TEST_F(MergeParents, WholeChainWithoutContextJoinsTheFirstSdkTrace) {
  // curl -> proxy without SDK and header -> shop with an SDK, of which only shop speaks.
  model::Span call = story.Exchange(Role::kClient, curl, 100);
  model::Span in = story.Exchange(Role::kServer, proxy, 101);
  Story::Connect(call, &in);
  model::Span out = story.Exchange(Role::kClient, proxy, 102);
  model::Span request = story.Exchange(Role::kServer, shop, 103);
  Story::Connect(out, &request);
  for (const auto& s : {call, in, out, request}) story.Open(s);
  story.Finish(request, 140), story.Finish(out, 141), story.Finish(in, 142);
  story.Finish(call, 143);
  story.At(5'000);
  story.Export(shop, {{Trace_(3),
                       Span_(3),
                       {},
                       SpanKind::kServer,
                       104,
                       139,
                       {{"http.method", "GET"}, {"http.target", "/a?x=1"}}}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 4u);
  for (const Seen& s : spans) EXPECT_EQ(s.span.trace_id, Trace_(3));
  EXPECT_EQ(spans[0].span.parent_id, Find(spans, "proxy", true).span.span_id);
  EXPECT_EQ(Find(spans, "proxy", true).span.parent_id, Find(spans, "proxy", false).span.span_id);
  EXPECT_EQ(Find(spans, "proxy", false).span.parent_id, Find(spans, "curl", true).span.span_id);
}

TEST_F(MergeParents, SdkRootIsNoChildOfACallInAnotherTrace) {
  // The caller has its own trace, the called SDK ignored it; nothing is bent.
  model::Span in = story.Exchange(Role::kServer, proxy, 100);
  Story::Carry(&in, 1, 1);
  model::Span out = story.Exchange(Role::kClient, proxy, 102);
  model::Span request = story.Exchange(Role::kServer, shop, 103);
  Story::Connect(out, &request);
  for (const auto& s : {in, out, request}) story.Open(s);
  story.Finish(request, 140), story.Finish(out, 141), story.Finish(in, 142);
  story.Export(shop, {{Trace_(3),
                       Span_(3),
                       {},
                       SpanKind::kServer,
                       104,
                       139,
                       {{"http.method", "GET"}, {"http.target", "/a"}}}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0].origin(), "merged");
  EXPECT_TRUE(spans[0].span.parent_id.IsZero());
  EXPECT_EQ(Find(spans, "proxy", true).span.trace_id, Trace_(1));
}

TEST_F(MergeParents, ResourceOfKernelSpansNamesProcessNodeAndWeft) {
  auto process = std::make_shared<model::Process>(*shop);
  process->resource = {{"deployment.environment", "test"},
                       {"host.name", "from-process"},
                       {"telemetry.sdk.name", "spoofed"}};
  story.Saw(story.Exchange(Role::kServer, process, 0), 10);
  story.At(20'000);
  std::vector<otlp::ResourceSpansView> resources;
  ASSERT_EQ(story.out.requests.size(), 1u);
  ASSERT_TRUE(otlp::Decode(story.out.requests[0].view(), &resources));
  const auto text = [&](std::string_view key) {
    const otlp::ValueView* v = resources[0].Find(key);
    return v ? v->ToText() : "";
  };
  EXPECT_EQ(text("service.name"), "shop");
  EXPECT_EQ(text("process.pid"), "10");
  EXPECT_EQ(text("process.executable.name"), "exe");
  EXPECT_EQ(text("deployment.environment"), "test");
  EXPECT_EQ(text("host.name"), "from-process");
  EXPECT_EQ(text("telemetry.sdk.name"), "weft");
  EXPECT_EQ(text("telemetry.distro.name"), "weft");
  EXPECT_EQ(text("telemetry.distro.version"), "9.9.9");
  EXPECT_EQ(resources[0].scopes[0].name, "weft");
}

TEST_F(MergeParents, ErrorStatusAndUnknownProcessSurvive) {
  model::Span request = story.Exchange(Role::kServer, nullptr, 0);
  story.Open(request);
  model::Span finished = Story::Finished(request, story.Unix(10));
  finished.is_error = true;
  story.Open(finished);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].service, "unknown_service");
  EXPECT_EQ(spans[0].span.status_code, 2);
}

// The request stays the parent until its response has gone out, however many calls it makes.
TEST_F(MergeParents, FanOutSiblingsKeepTheParent) {
  model::Span request = story.Exchange(Role::kServer, shop, 100);
  story.Open(request);
  for (uint64_t at : {110, 120, 130}) {
    model::Span call = story.Exchange(Role::kClient, shop, at);
    call.stream_id = static_cast<uint32_t>(at) | 1;
    story.Saw(call, at + 5);
  }
  story.Finish(request, 140);
  model::Span later = story.Exchange(Role::kClient, shop, 150);
  story.Saw(later, 155);
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 5u);
  const Seen& parent = Find(spans, "shop", false);
  int children = 0;
  for (const Seen& s : spans) {
    if (!s.is_client()) continue;
    if (s.span.start_ns == story.Unix(150)) {
      EXPECT_TRUE(s.span.parent_id.IsZero());
      continue;
    }
    ++children;
    EXPECT_EQ(s.span.parent_id, parent.span.span_id);
    EXPECT_EQ(s.Text(kParentRuleKey), "thread");
    EXPECT_EQ(s.Text(kParentConfidenceKey), "0.9");
  }
  EXPECT_EQ(children, 3);
}

// A thread that reads a request while it still answers another one is an event loop: what it sends
// next belongs to either.
TEST_F(MergeParents, ThreadOfAProcessThatMultiplexesIsBelievedOnlyIfNothingElseIsOpen) {
  model::Span one = story.Exchange(Role::kServer, shop, 100);
  model::Span two = story.Exchange(Role::kServer, shop, 110);
  story.Open(one), story.Open(two);
  story.Finish(one, 120), story.Finish(two, 130);
  // On two threads now; the loop of the first one makes a call.
  model::Span three = story.Exchange(Role::kServer, shop, 200);
  model::Span four = story.Exchange(Role::kServer, shop, 201);
  four.thread = 77;
  story.Open(three), story.Open(four);
  model::Span doubtful = story.Exchange(Role::kClient, shop, 205);
  story.Saw(doubtful, 206);
  story.Finish(four, 210);
  model::Span sure = story.Exchange(Role::kClient, shop, 215);
  story.Saw(sure, 216);
  story.Finish(three, 220);
  story.At(20'000);
  int seen = 0;
  for (const Seen& s : story.Spans()) {
    if (!s.is_client()) continue;
    ++seen;
    const bool is_sure = s.span.start_ns == story.Unix(215);
    EXPECT_EQ(s.span.parent_id.IsZero(), !is_sure);
    EXPECT_EQ(s.Text(kParentConfidenceKey), is_sure ? "0.7" : "");
  }
  EXPECT_EQ(seen, 2);
}

// The end of the first response is only seen late; that is no proof of an event loop.
TEST_F(MergeParents, ThreadThatTakesOneRequestAfterTheOtherKeepsItsWord) {
  model::Span one = story.Exchange(Role::kServer, shop, 100);
  model::Span two = story.Exchange(Role::kServer, shop, 130);
  story.Open(one), story.Open(two);
  story.Finish(one, 120), story.Finish(two, 140);
  model::Span three = story.Exchange(Role::kServer, shop, 200);
  model::Span four = story.Exchange(Role::kServer, shop, 201);
  four.thread = 77;
  story.Open(three), story.Open(four);
  model::Span call = story.Exchange(Role::kClient, shop, 205);
  story.Saw(call, 206);
  story.Finish(four, 210), story.Finish(three, 220);
  story.At(20'000);
  auto spans = story.Spans();
  EXPECT_EQ(Find(spans, "shop", true).Text(kParentConfidenceKey), "0.9");
}

// A hundred streams on one connection: both ends of each find each other, by the stream too where
// the sequence is not known (TLS).
TEST_F(MergeParents, StreamsOfOneConnectionAreJoinedEachWithItsOwnOtherEnd) {
  constexpr uint32_t kStreams = 100;
  std::vector<model::Span> calls, requests;
  for (uint32_t i = 0; i < kStreams; ++i) {
    model::Span call = story.Exchange(Role::kClient, curl, 100 + i);
    call.client = Address(1, 20'000);
    call.request_sequence = 0;
    call.stream_id = 2 * i + 1;
    call.target = "/" + std::to_string(i);
    model::Span request = story.Exchange(Role::kServer, stock, 101 + i);
    Story::Connect(call, &request);
    request.stream_id = call.stream_id;
    request.target = call.target;
    calls.push_back(call), requests.push_back(request);
  }
  for (const auto& call : calls) story.Open(call);
  for (const auto& request : requests) story.Open(request);
  for (uint32_t i = kStreams; i-- > 0;) {
    story.Finish(requests[i], 400), story.Finish(calls[i], 401);
  }
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u * kStreams);
  std::map<std::string, base::SpanId> parents;
  for (const Seen& s : spans) {
    if (s.is_client()) parents[s.Text(kStreamKey)] = s.span.span_id;
  }
  ASSERT_EQ(parents.size(), kStreams);
  for (const Seen& s : spans) {
    if (s.is_client()) continue;
    EXPECT_EQ(s.span.parent_id, parents[s.Text(kStreamKey)]);
  }
}

}  // namespace
}  // namespace weft::merge
