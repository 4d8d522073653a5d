// Operations of which no context travelled: recognised by process, time, method and path, because a
// merged span is better than a duplicate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "merge/sdk/span_facts.h"
#include "story.h"

namespace weft::merge {
namespace {

using model::Role;
using model::SpanKind;
using Attributes = std::vector<std::pair<std::string, std::string>>;

class MergeEdge : public testing::Test {
 protected:
  // A finished request "GET /a" to `shop` and an SDK server span of it.
  std::vector<Seen> ServerStory(const Attributes& attributes, uint64_t start, uint64_t end,
                                base::SpanId parent = {}) {
    Story& story = *(story_ = std::make_unique<Story>());
    story.Saw(story.Exchange(Role::kServer, shop, 100), 150);
    story.Export(shop, {{Trace_(3), Span_(3), parent, SpanKind::kServer, start, end, attributes}});
    story.At(20'000);
    story.ExpectRest();
    return story.Spans();
  }
  std::vector<Seen> ClientStory(const Attributes& attributes, uint64_t start, uint64_t end) {
    Story& story = *(story_ = std::make_unique<Story>());
    story.Saw(story.Exchange(Role::kClient, shop, 100), 150);
    story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kClient, start, end, attributes}});
    story.At(20'000);
    story.ExpectRest();
    return story.Spans();
  }

  model::ProcessRef shop = Story::Process(10, "shop");
  std::unique_ptr<Story> story_;
};

TEST_F(MergeEdge, RootServerSpanIsMergedByMethodAndPathOfEitherConvention) {
  for (const Attributes& attributes :
       {Attributes{{"http.request.method", "GET"}, {"url.path", "/a"}},
        Attributes{{"http.method", "get"}, {"http.target", "/a?q=1"}},
        Attributes{{"http.method", "GET"}, {"http.url", "http://h:80/a?q=1#f"}},
        Attributes{{"http.method", "GET"}, {"url.full", "https://h/a"}},
        Attributes{{"http.method", "GET"}}}) {
    auto spans = ServerStory(attributes, 101, 149);
    ASSERT_EQ(spans.size(), 1u) << attributes.back().second;
    EXPECT_EQ(spans[0].origin(), "merged");
  }
  EXPECT_EQ(story_->Count("weft_merge_edge_total"), 1);
}

TEST_F(MergeEdge, MethodOutsideTheConventionsIsTheOneOnTheWire) {
  for (const char* method : {"PURGE", "PROPFIND"}) {
    Story story;
    model::Span request = story.Exchange(Role::kServer, shop, 100);
    request.method = "PURGE";
    story.Saw(request, 150);
    story.Export(shop, {{Trace_(3),
                         Span_(3),
                         {},
                         SpanKind::kServer,
                         101,
                         149,
                         {{"http.request.method", "_OTHER"},
                          {"url.path", "/a"},
                          {"http.request.method_original", method}}}});
    EXPECT_EQ(story.Spans()[0].origin(), method == request.method ? "merged" : "");
  }
  EXPECT_EQ(ServerStory({{"http.method", "_OTHER"}}, 101, 149).size(), 1u);
}

TEST_F(MergeEdge, OtherMethodPathOrTimeIsAnotherOperation) {
  EXPECT_EQ(ServerStory({{"http.method", "POST"}, {"http.target", "/a"}}, 101, 149).size(), 2u);
  EXPECT_EQ(ServerStory({{"http.method", "GET"}, {"http.target", "/b"}}, 101, 149).size(), 2u);
  EXPECT_EQ(ServerStory({{"http.method", "GET"}, {"http.target", "/a"}}, 90, 149).size(), 2u);
  EXPECT_EQ(ServerStory({{"http.method", "GET"}, {"http.target", "/a"}}, 160, 170).size(), 2u);
  EXPECT_EQ(ServerStory({{"rpc.system", "grpc"}}, 101, 149).size(), 2u);
}

// jaeger-client: the parent travelled in a header that is not W3C's.
TEST_F(MergeEdge, ServerSpanWithAParentThatTheWireDidNotShowIsMerged) {
  auto spans = ServerStory({{"http.method", "GET"}, {"http.url", "/a"}}, 101, 149, Span_(8));
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.parent_id, Span_(8));
}

TEST_F(MergeEdge, SpanThatSaysNothingIsMergedOnlyIfItsTimesFitClosely) {
  EXPECT_EQ(ServerStory({}, 101, 149).size(), 1u);
  EXPECT_EQ(ServerStory({}, 130, 149).size(), 2u);
  EXPECT_EQ(ServerStory({}, 101, 159).size(), 2u);
  EXPECT_EQ(ClientStory({}, 99, 151).size(), 1u);
  EXPECT_EQ(ClientStory({{"db.system", "redis"}}, 99, 151).size(), 2u);
}

TEST_F(MergeEdge, SpanThatSaysNothingIsNotGuessedAmongTwo) {
  Story story;
  story.Saw(story.Exchange(Role::kServer, shop, 100), 150);
  story.Saw(story.Exchange(Role::kServer, shop, 101), 151);
  story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kServer, 102, 149}});
  EXPECT_EQ(story.Spans()[0].origin(), "");
  EXPECT_EQ(story.Count("weft_merge_ambiguous_total"), 1);
}

TEST_F(MergeEdge, ConcurrentRequestsAreEachUsedOnceAndThePeerPortDecides) {
  Story story;
  model::Span one = story.Exchange(Role::kServer, shop, 100);
  model::Span two = story.Exchange(Role::kServer, shop, 101);
  story.Saw(one, 150);
  story.Saw(two, 150);
  const Attributes http = {{"http.method", "GET"}, {"http.target", "/a"}};
  Attributes with_port = http;
  with_port.push_back({"net.peer.port", std::to_string(one.client.port)});
  story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kServer, 102, 149, with_port},
                      {Trace_(4), Span_(4), {}, SpanKind::kServer, 102, 149, http}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].Text(kRequestFirstKey), std::to_string(story.Unix(100)));
  EXPECT_EQ(spans[1].Text(kRequestFirstKey), std::to_string(story.Unix(101)));
}

TEST_F(MergeEdge, ClientSpanWithoutInjectionEnclosesItsExchange) {
  const Attributes http = {{"http.request.method", "GET"}, {"url.full", "http://x:8080/a"}};
  EXPECT_EQ(ClientStory(http, 99, 151).size(), 1u);
  EXPECT_EQ(ClientStory(http, 110, 151).size(), 2u);
  EXPECT_EQ(ClientStory(http, 99, 140).size(), 2u);
}

// A long call is found whatever the process does meanwhile, and takes nobody else's view.
TEST_F(MergeEdge, LongCallIsFoundBehindTheManyThatBeganLater) {
  Story story;
  const Attributes http = {{"http.request.method", "GET"}, {"url.full", "http://x:8080/a"}};
  story.Saw(story.Exchange(Role::kClient, shop, 100), 1'100);
  for (uint64_t i = 0; i < 300; ++i)
    story.Saw(story.Exchange(Role::kClient, shop, 105 + i), 110 + i);
  story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kClient, 99, 1'101, http}});
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].Text(kRequestFirstKey), std::to_string(story.Unix(100)));
}

TEST_F(MergeEdge, ViewWithAContextIsNotTakenByTheEdgeRule) {
  Story story;
  model::Span request = story.Exchange(Role::kServer, shop, 100);
  Story::Carry(&request, 1, 1);
  story.Saw(request, 150);
  story.Export(shop, {{Trace_(3),
                       Span_(3),
                       {},
                       SpanKind::kServer,
                       101,
                       149,
                       {{"http.method", "GET"}, {"http.target", "/a"}}}});
  story.At(20'000);
  EXPECT_EQ(story.Spans().size(), 2u);
}

TEST_F(MergeEdge, CallThatWasAdoptedIsNotMergedAway) {
  Story story;
  model::ProcessRef job = Story::Process(30, "job");
  model::Span call = story.Exchange(Role::kClient, job, 100);
  model::Span request = story.Exchange(Role::kServer, shop, 101);
  Story::Connect(call, &request);
  for (const auto& s : {call, request}) story.Open(s);
  story.Finish(request, 140), story.Finish(call, 141);
  const Attributes http = {{"http.method", "GET"}, {"http.target", "/a"}};
  story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kServer, 102, 139, http}});
  story.Export(job, {{Trace_(4), Span_(4), {}, SpanKind::kClient, 99, 142, http}});
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0].span.parent_id, spans[2].span.span_id);
}

TEST_F(MergeEdge, BusyNextStageUndoesAnAdoption) {
  Story story;
  model::Span call = story.Exchange(Role::kClient, Story::Process(30, "curl"), 100);
  model::Span request = story.Exchange(Role::kServer, shop, 101);
  Story::Connect(call, &request);
  for (const auto& s : {call, request}) story.Open(s);
  story.Finish(request, 140), story.Finish(call, 141);
  story.out.is_busy = true;
  const Attributes http = {{"http.method", "GET"}, {"http.target", "/a"}};
  EXPECT_EQ(story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kServer, 102, 139, http}}),
            model::PushResult::kBusy);
  story.out.is_busy = false;
  story.At(20'000);  // the SDK never came back
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  for (const Seen& s : spans) EXPECT_NE(s.span.trace_id, Trace_(3));
}

TEST_F(MergeEdge, RetryWithOtherIdsAfterBusyIsAdoptedAsIfNothingHadBeen) {
  Story story;
  model::Span call = story.Exchange(Role::kClient, Story::Process(30, "curl"), 100);
  model::Span request = story.Exchange(Role::kServer, shop, 101);
  Story::Connect(call, &request);
  for (const auto& s : {call, request}) story.Open(s);
  story.Finish(request, 140), story.Finish(call, 141);
  const Attributes http = {{"http.method", "GET"}, {"http.target", "/a"}};
  story.out.is_busy = true;
  for (uint8_t trace : {3, 4}) {
    const auto result =
        story.Export(shop, {{Trace_(trace), Span_(3), {}, SpanKind::kServer, 102, 139, http}});
    EXPECT_EQ(result == model::PushResult::kBusy, trace == 3);
    story.out.is_busy = false;
  }
  story.At(20'000);
  auto spans = story.Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].span.parent_id, spans[1].span.span_id);
  EXPECT_EQ(spans[1].span.trace_id, Trace_(4));
}

TEST(MergeSpanFacts, PathsAreEqualWithAndWithoutPercentEncoding) {
  EXPECT_TRUE(SamePath("/a%20b", "/a b"));
  EXPECT_TRUE(SamePath("/a%2fb", "/a%2Fb"));
  EXPECT_FALSE(SamePath("/a%2", "/a"));
  EXPECT_FALSE(SamePath("/a", "/ab"));
  EXPECT_TRUE(SamePath("/%zz", "/%zz"));
}

// Case F30 and rule "every length against what is left": damaged bytes give no facts and no crash.
TEST(MergeSpanFacts, AnyPrefixOfASpanIsRead) {
  base::ByteBuffer bytes;
  otlp::Writer w(bytes);
  otlp::WriteAttribute(w, otlp::field::kAttribute, "http.url", "http://[::1]:8080?x");
  otlp::WriteAttribute(w, otlp::field::kAttribute, "net.peer.port", int64_t{99'999});
  for (size_t n = 0; n <= bytes.size(); ++n) {
    std::vector<uint8_t> copy(bytes.data(), bytes.data() + n);
    ReadSpanFacts(copy);
  }
  const SpanFacts facts = ReadSpanFacts(bytes.view());
  EXPECT_EQ(facts.path, "/");
  EXPECT_EQ(facts.server_port, 8080);
  EXPECT_EQ(facts.peer_port, 0);
}

// gRPC in the old and the new convention; the view's method is the path.
TEST_F(MergeEdge, CallIsMergedByItsFullMethod) {
  struct Case {
    Attributes attributes;
    bool is_merged;
  };
  for (const Case& c :
       {Case{{{"rpc.system", "grpc"}, {"rpc.service", "shop.Cart"}, {"rpc.method", "Get"}}, true},
        Case{{{"rpc.system.name", "grpc"}, {"rpc.method", "shop.Cart/Get"}}, true},
        Case{{{"rpc.system.name", "grpc"}, {"rpc.method", "shop.Cart/Put"}}, false},
        Case{{{"rpc.system", "grpc"}, {"rpc.service", "Cart"}, {"rpc.method", "Get"}}, false},
        Case{{{"rpc.system", "dubbo"}, {"rpc.method", "shop.Cart/Get"}}, false}}) {
    for (Role role : {Role::kServer, Role::kClient}) {
      Story story;
      model::Span call = story.Exchange(role, shop, 100);
      call.method = "POST";
      call.target = "/shop.Cart/Get";
      call.stream_id = 1;
      story.Saw(call, 150);
      const bool is_client = role == Role::kClient;
      story.Export(shop, {{Trace_(3),
                           Span_(3),
                           {},
                           is_client ? SpanKind::kClient : SpanKind::kServer,
                           is_client ? 99u : 101u,
                           is_client ? 151u : 149u,
                           c.attributes}});
      story.At(20'000);
      EXPECT_EQ(story.Spans().size(), c.is_merged ? 1u : 2u) << c.attributes.back().second;
    }
  }
}

// The index by method and path skips what cannot be meant, also when it is encoded differently.
TEST_F(MergeEdge, OneAmongManyIsFoundByItsPath) {
  Story story;
  for (int i = 0; i < 200; ++i) {
    model::Span request = story.Exchange(Role::kServer, shop, 100);
    request.target = i == 7 ? "/the%20one" : "/other/" + std::to_string(i);
    story.Saw(request, 150);
  }
  const Attributes http = {{"http.request.method", "get"}, {"url.path", "/the one"}};
  story.Export(shop, {{Trace_(3), Span_(3), {}, SpanKind::kServer, 101, 149, http}});
  EXPECT_EQ(story.Count("weft_merge_edge_total"), 1);
  story.At(20'000);
  EXPECT_EQ(story.Spans().size(), 200u);
}

}  // namespace
}  // namespace weft::merge
