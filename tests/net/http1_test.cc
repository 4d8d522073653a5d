// HTTP/1.1 on a Listener, by raw sockets.
#include <gmock/gmock.h>

#include "base/metrics.h"
#include "harness.h"
#include "net/http_client.h"

namespace weft::net {
namespace {
using namespace std::string_literals;

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

std::string Post(std::string_view body, std::string_view extra = "") {
  return "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + std::string(extra) + "\r\n" + std::string(body);
}

TEST(Http1, GetAnswersAndKeepsTheConnection) {
  Server server;
  RawClient client(server.port());
  client.Send("GET /a/b?c=d HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("c=d"), StartsWith("HTTP/1.1 200 OK\r\n"));
  client.Send("GET /again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("GET /again?"));
}

TEST(Http1, SplitAtEveryByteGivesTheSameAnswer) {
  Server server;
  RawClient client(server.port());
  std::string request =
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n";
  for (size_t cut = 1; cut < request.size(); ++cut) {
    client.Send(request.substr(0, cut));
    // The server has read the first part when a posted task has run behind it.
    server.thread.Do([] {});
    client.Send(request.substr(cut));
    ASSERT_THAT(client.ReadUntil("hello world"), HasSubstr("content-length: 11\r\n")) << cut;
  }
}

TEST(Http1, PipelinedRequestsAreAnsweredInOrder) {
  Server server;
  RawClient client(server.port());
  std::string all;
  for (int i = 0; i < 50; ++i) all += Post("body-" + std::to_string(i) + ";");
  client.Send(all);
  std::string got = client.ReadUntil("body-49;");
  size_t from = 0;
  for (int i = 0; i < 50; ++i) {
    from = got.find("body-" + std::to_string(i) + ";", from);
    ASSERT_NE(from, std::string::npos) << i;
  }
}

TEST(Http1, PipelinedRequestsWaitForAnswersThatComeLater) {
  std::vector<Responder> waiting;
  std::promise<void> first;
  Server server({}, 1 << 20, [&](Request&&, Responder responder) {
    waiting.push_back(std::move(responder));
    if (waiting.size() == 1) first.set_value();
  });
  RawClient client(server.port());
  client.Send(Post("a") + Post("b"));
  first.get_future().wait();
  server.thread.Do([&] {
    ASSERT_EQ(waiting.size(), 1u) << "the second request must wait for the first answer";
    Response response;
    response.body = "first";
    waiting[0].Send(std::move(response));
    ASSERT_EQ(waiting.size(), 2u);
    response.body = "second";
    waiting[1].Send(std::move(response));
  });
  EXPECT_THAT(client.ReadUntil("second"), HasSubstr("first"));
}

TEST(Http1, DroppedResponderAnswers500) {
  Server server({}, 1 << 20, [](Request&&, Responder) {});
  RawClient client(server.port());
  client.Send(Post("x"));
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), StartsWith("HTTP/1.1 500"));
}

TEST(Http1, HeadHasLengthButNoBody) {
  Server server;
  RawClient client(server.port());
  client.Send("HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  std::string got = client.ReadToEnd();
  EXPECT_THAT(got, HasSubstr("content-length: 8\r\n"));
  EXPECT_TRUE(got.ends_with("\r\n\r\n"));
}

TEST(Http1, ExpectContinueIsAnsweredBeforeTheBody) {
  Server server;
  RawClient client(server.port());
  client.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ok");
  EXPECT_THAT(client.ReadUntil("\r\n\r\nok"), StartsWith("HTTP/1.1 200"));
}

// Case F36.
TEST(Http1, SmugglingIsRefusedAndTheConnectionClosed) {
  Server server;
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\n";
  for (std::string bad : {
           head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
           head + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
           head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
           head + "Content-Length: -1\r\n\r\n",
           head + "Content-Length: +3\r\n\r\nabc",
           head + "Content-Length: 3, 3\r\n\r\nabc",
           head + "Content-Length: 99999999999999999999\r\n\r\n",
           head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
           head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
           head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           head + "X: a\r\n folded\r\n\r\n",
           head + "X : a\r\n\r\n",
           head + "X\0Y: a\r\n\r\n"s,
           std::string("GET / HTTP/1.1\nHost: x\n\n"),
           std::string("GET / HTTP/1.1\rHost: x\r\n\r\n"),
           std::string("GET / HTTP/3.1\r\nHost: x\r\n\r\n"),
           std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
           head + "Transfer-Encoding: chunked\r\n\r\nZ\r\n",
       }) {
    RawClient client(server.port());
    client.Send(bad);
    EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 400 Bad Request\r\n")) << bad;
  }
}

TEST(Http1, HugeHeadIsRefusedWith431) {
  Server server;
  RawClient client(server.port());
  client.Send("GET / HTTP/1.1\r\nX: " + std::string(17 << 10, 'a'));
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 431"));
}

// Case F33: a chunk extension that never ends.
TEST(Http1, EndlessChunkExtensionIsRefused) {
  Server server;
  RawClient client(server.port());
  client.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x=");
  for (int i = 0; i < 64 && client.Send(std::string(1024, 'a')); ++i) {
  }
  EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 4"));
}

// Case F32.
TEST(Http1, BodyOverTheLimitIsRefusedBeforeItIsRead) {
  ListenerOptions options;
  options.max_body_bytes = 1000;
  Server server(options);
  RawClient announced(server.port());
  announced.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_THAT(announced.ReadToEnd(), StartsWith("HTTP/1.1 413"));
  RawClient chunked(server.port());
  chunked.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
               std::string(1001, 'a'));
  EXPECT_THAT(chunked.ReadToEnd(), StartsWith("HTTP/1.1 413"));
  RawClient exact(server.port());
  exact.Send(Post(std::string(1000, 'a')));
  EXPECT_THAT(exact.ReadUntil(std::string(1000, 'a')), StartsWith("HTTP/1.1 200"));
}

TEST(Http1, LargeBodyArrivesWhole) {
  Server server;
  RawClient client(server.port());
  std::string body(5 << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>('a' + i % 26);
  std::thread sender([&] { client.Send(Post(body)); });
  std::string got = client.ReadUntil("\r\n\r\n");
  got += client.ReadSize(got.find("\r\n\r\n") + 4 + body.size() - got.size());
  sender.join();
  EXPECT_TRUE(got.ends_with(body));
}

TEST(Http1, NoCreditIsAnsweredWith503AndRetryAfter) {
  Server server({}, 100);
  RawClient client(server.port());
  client.Send(Post(std::string(101, 'a')));
  std::string got = client.ReadToEnd();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(got, HasSubstr("retry-after: 1\r\n"));
}

TEST(Http1, CompressedBodiesAreInflated) {
  Server server;
  RawClient client(server.port());
  for (auto [name, kind] :
       {std::pair("gzip", base::Compression::kGzip), std::pair("zstd", base::Compression::kZstd)}) {
    std::string packed = Deflated(kind, "the body");
    client.Send(Post(packed, "Content-Encoding: " + std::string(name) + "\r\n"));
    EXPECT_THAT(client.ReadUntil("the body"), StartsWith("HTTP/1.1 200"));
  }
  client.Send(Post("not gzip", "Content-Encoding: gzip\r\n"));
  EXPECT_THAT(client.ReadUntil("damaged\n"), StartsWith("HTTP/1.1 400"));
  client.Send(Post("x", "Content-Encoding: br\r\n"));
  EXPECT_THAT(client.ReadUntil("supported\n"), StartsWith("HTTP/1.1 415"));
}

// Case F31.
TEST(Http1, GzipBombIsRefusedInBoundedMemory) {
  ListenerOptions options;
  options.max_body_bytes = 16 << 20;
  Server server(options);
  std::string bomb = Deflated(base::Compression::kGzip, std::string(size_t{128} << 20, '\0'));
  long before = ResetPeakRssKb();
  RawClient client(server.port());
  client.Send(Post(bomb, "Content-Encoding: gzip\r\n"));
  EXPECT_THAT(client.ReadUntil("limit\n"), StartsWith("HTTP/1.1 413"));
  EXPECT_LT(PeakRssKb() - before, 48 << 10);
}

// Case F33.
TEST(Http1, DeadlinesForHeadBodyAndIdleCloseTheConnection) {
  ListenerOptions options;
  options.header_timeout = options.body_timeout = options.idle_timeout = milliseconds(60);
  Server server(options);
  RawClient silent(server.port()), head(server.port()), body(server.port()), idle(server.port());
  head.Send("GET / HT");
  body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
  idle.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(silent.WaitClosed());
  EXPECT_THAT(head.ReadToEnd(), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(body.ReadToEnd(), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(idle.ReadToEnd(), StartsWith("HTTP/1.1 200"));
}

// Case F33: within the deadline, but by drops.
TEST(Http1, BodyByDropsEndsBeforeItsDeadline) {
  ListenerOptions options;
  options.body_timeout = milliseconds(400);
  options.header_timeout = milliseconds(40);  // how often deadlines are looked at
  options.min_body_bytes_per_second = 1 << 20;
  Server server(options);
  RawClient body(server.port());
  auto start = std::chrono::steady_clock::now();
  body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_THAT(body.ReadUntil("slowly"), StartsWith("HTTP/1.1 408"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(390));
}

// Case F31: every coding that is offered, and what is not.
TEST(Http1, EveryOfferedContentCodingIsInflated) {
  Server server;
  RawClient client(server.port());
  for (const auto& [name, coding] : {std::pair("deflate", base::Compression::kDeflate),
                                     std::pair("zstd", base::Compression::kZstd),
                                     std::pair("snappy", base::Compression::kSnappy),
                                     std::pair("lz4", base::Compression::kLz4)}) {
    std::string text = "inflated from " + std::string(name);
    client.Send(Post(Deflated(coding, text), "Content-Encoding: " + std::string(name) + "\r\n"));
    EXPECT_THAT(client.ReadUntil(text), HasSubstr(text));
  }
  client.Send(Post("x", "Content-Encoding: br\r\n"));
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("gzip, deflate, zstd, snappy, lz4"));
}

// Case F34.
TEST(Http1, ConnectionsBeyondTheCapAreClosedAtOnceAndCounted) {
  ListenerOptions options;
  options.max_connections = 2;
  Server server(options);
  auto first = std::make_unique<RawClient>(server.port());
  RawClient second(server.port());
  first->Send(Post("one"));
  second.Send(Post("two"));
  first->ReadUntil("one");
  second.ReadUntil("two");
  RawClient third(server.port());
  EXPECT_TRUE(third.WaitClosed());
  EXPECT_EQ(server.listener->refused_connections(), 1u);
  first.reset();
  for (int i = 0; i < 500 && server.listener->connections() > 1; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  RawClient fourth(server.port());
  fourth.Send(Post("four"));
  EXPECT_THAT(fourth.ReadUntil("four"), StartsWith("HTTP/1.1 200"));
}

// Answers that wait, as for a collector that is down.
class Http1Waiting : public testing::Test {
 protected:
  void Open(ListenerOptions options) {
    options.metrics = &metrics;
    server.emplace(options, 1 << 20, [&](Request&&, Responder responder) {
      waiting.push_back(std::move(responder));
      has_request.set_value();
    });
  }
  // False when it is still there after 5 s.
  bool ConnectionEnds() {
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (server->listener->connections() != 0) {
      if (std::chrono::steady_clock::now() > until) return false;
      server->thread.Do([] {});
    }
    return true;
  }
  void TearDown() override {
    server->thread.Do([&] { waiting.clear(); });
    server.reset();
  }

  base::MetricRegistry metrics;
  std::vector<Responder> waiting;
  std::promise<void> has_request;
  std::optional<Server> server;
};

TEST_F(Http1Waiting, ClientThatResetIsNotWaitedFor) {
  Open({});
  {
    RawClient client(server->port());
    client.Send(Post("x"));
    has_request.get_future().wait();
    client.ResetOnClose();
  }
  EXPECT_TRUE(ConnectionEnds());
}

TEST_F(Http1Waiting, ClientThatSentItsEndHasTheTimeOfAHead) {
  ListenerOptions options;
  options.header_timeout = milliseconds(60);
  Open(options);
  { RawClient(server->port()).Send(Post("x")); }
  has_request.get_future().wait();
  EXPECT_TRUE(ConnectionEnds());
}

TEST_F(Http1Waiting, ServiceThatDoesNotAnswerIsAnsweredFor) {
  ListenerOptions options;
  options.header_timeout = options.answer_timeout = milliseconds(60);
  Open(options);
  RawClient client(server->port());
  client.Send(Post("x"));
  std::string got = client.ReadToEnd();
  EXPECT_THAT(got, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(got, HasSubstr("retry-after: 1\r\n"));
  EXPECT_EQ(metrics
                .Get(base::MetricKind::kCounter, "weft_net_refused_requests_total", "",
                     {{"listener", "listener"}, {"reason", "no_answer"}})
                .value(),
            1);
  // Too late, and harmless.
  server->thread.Do([&] { waiting[0].Send({}); });
}

TEST(Http1, HalfClosedClientGetsItsAnswer) {
  std::optional<Responder> waiting;
  std::promise<void> has_request;
  Server server({}, 1 << 20, [&](Request&&, Responder responder) {
    waiting.emplace(std::move(responder));
    has_request.set_value();
  });
  RawClient client(server.port());
  client.Send(Post("x"));
  client.FinishSending();
  has_request.get_future().wait();
  server.thread.Do([&] {
    Response response;
    response.body = "late but here";
    waiting->Send(std::move(response));
  });
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("late but here"));
}

// More output than we hold, which the kernel takes at once: nothing is stuck, so nothing will tell
// us to go on.
TEST(Http1, PipelinedRequestsGoOnAfterOutputThatLeftAtOnce) {
  constexpr int kRequests = 60;
  Server server({}, 1 << 20, [](Request&&, Responder responder) {
    Response response;
    response.body.assign(40'000, 'x');
    responder.Send(std::move(response));
  });
  RawClient client(server.port());
  std::string all;
  for (int i = 0; i < kRequests; ++i) all += "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  client.Send(all);
  EXPECT_GE(client.ReadSize(kRequests * 40'000).size(), kRequests * 40'000u);
}

TEST(Http1, CloseLetsTheRunningRequestFinish) {
  std::promise<Responder> taken;
  Server server({}, 1 << 20,
                [&](Request&&, Responder responder) { taken.set_value(std::move(responder)); });
  RawClient idle(server.port()), busy(server.port());
  busy.Send(Post("x"));
  Responder responder = taken.get_future().get();
  server.thread.Do([&] { server.listener->Close(); });
  EXPECT_TRUE(idle.WaitClosed());
  EXPECT_FALSE(RawClient(server.port()).connected());
  server.thread.Do([&] {
    Response response;
    response.body = "done";
    responder.Send(std::move(response));
  });
  EXPECT_THAT(busy.ReadToEnd(), HasSubstr("connection: close\r\n\r\ndone"));
}

TEST(HttpGet, FetchesAndReportsFailures) {
  Server server;
  auto reply = HttpGet(server.endpoint(), "/x?y=z", milliseconds(2000));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->content_type, "text/plain");
  EXPECT_EQ(reply->body, "GET /x?y=z");
  EXPECT_FALSE(HttpGet("127.0.0.1:1", "/", milliseconds(200)).ok());
}

TEST(HttpGet, GivesUpAfterTheTimeout) {
  std::vector<Responder> kept;
  Server server({}, 1 << 20,
                [&](Request&&, Responder responder) { kept.push_back(std::move(responder)); });
  auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(HttpGet(server.endpoint(), "/", milliseconds(50)).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1000));
  server.thread.Do([&] { kept.clear(); });
}

}  // namespace
}  // namespace weft::net
