// HttpChannel against our own Listener, and against raw servers that misbehave.
#include "net/http_channel.h"

#include <gmock/gmock.h>

#include <atomic>

#include "base/metrics.h"
#include "harness.h"
#include "raw_server.h"

namespace weft::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class Client {
 public:
  explicit Client(HttpChannel::Options options) {
    options.backoff_min = milliseconds(10);
    thread.Do([&] { channel = std::make_unique<HttpChannel>(thread.loop, options); });
  }
  ~Client() {
    thread.Do([&] { channel.reset(); });
  }
  std::future<HttpPostReply> Start(const std::string& path, const std::string& body,
                                   const std::string& encoding = "") {
    auto promise = std::make_shared<std::promise<HttpPostReply>>();
    auto owner = std::make_shared<const std::string>(body);
    thread.loop.Post([=, this] {
      base::Gathered payload;
      base::ByteView all = base::AsBytes(*owner);
      for (size_t at = 0; at < all.size(); at += 700) {
        payload.Add(all.subspan(at, std::min<size_t>(700, all.size() - at)));
      }
      payload.owners.push_back(owner);
      channel->Post(path, std::move(payload), "application/x-protobuf", encoding,
                    [promise](HttpPostReply&& reply) { promise->set_value(std::move(reply)); });
    });
    return promise->get_future();
  }
  HttpPostReply Post(const std::string& path, const std::string& body,
                     const std::string& encoding = "") {
    return Start(path, body, encoding).get();
  }

  LoopThread thread;
  std::unique_ptr<HttpChannel> channel;
};

TEST(HttpChannel, EchoesSmallAndLargeBodies) {
  Server server;
  Client client({.endpoint = "http://" + server.endpoint()});
  for (size_t size : {0, 1, 700, 100'000, 5 << 20}) {
    std::string body(size, 'b');
    HttpPostReply reply = client.Post("/v1/traces", body);
    EXPECT_EQ(reply.status, 200) << size;
    EXPECT_EQ(reply.unreadable, size > 4 << 20) << size;
    if (size == 0) {
      EXPECT_EQ(TextOf(reply.body), "POST /v1/traces?");
    } else if (!reply.unreadable) {
      EXPECT_EQ(TextOf(reply.body), body);
      EXPECT_EQ(reply.content_type, "text/plain");
    }
  }
}

TEST(HttpChannel, SendsBasePathHeadersAndEncoding) {
  std::promise<Request> seen;
  Server server({}, 1 << 20, [&](Request&& request, Responder responder) {
    request.charge.Return();
    seen.set_value(std::move(request));
    responder.Send({});
  });
  Client client({.endpoint = "http://" + server.endpoint() + "/base/",
                 .headers = {{"x-scope-orgid", "one\r\nevil: 1"}, {"authorization", "old"}}});
  client.thread.Do([&] { client.channel->SetHeader("authorization", "Bearer new"); });
  EXPECT_EQ(client.Post("/v1/traces", Deflated(base::Compression::kGzip, "hello"), "gzip").status,
            200);
  Request request = seen.get_future().get();
  EXPECT_EQ(request.path, "/base/v1/traces");
  EXPECT_EQ(TextOf(request.body), "hello");
  EXPECT_EQ(request.Header("content-type"), "application/x-protobuf");
  EXPECT_EQ(request.Header("authorization"), "Bearer new");
  EXPECT_EQ(request.Header("x-scope-orgid"), "one  evil: 1") << "no line of its own";
  EXPECT_EQ(request.Header("evil"), "");
}

TEST(HttpChannel, ConnectionsAreKeptAndNotMoreThanAllowed) {
  base::MetricRegistry metrics;
  ListenerOptions options;
  options.metrics = &metrics;
  Server server(options);
  Client client({.endpoint = server.endpoint(), .max_in_flight = 3});
  for (int round = 0; round < 5; ++round) {
    std::vector<std::future<HttpPostReply>> replies;
    for (int i = 0; i < 40; ++i) replies.push_back(client.Start("/", "b" + std::to_string(i)));
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(TextOf(replies[static_cast<size_t>(i)].get().body), "b" + std::to_string(i));
    }
  }
  int64_t accepted = metrics
                         .Get(base::MetricKind::kCounter, "weft_net_accepted_connections_total", "",
                              {{"listener", "listener"}})
                         .value();
  EXPECT_GE(accepted, 1);
  EXPECT_LE(accepted, 3);
}

TEST(HttpChannel, AConnectionThatTheServerLeavesGetsNoFurtherRequest) {
  Server server;
  Client client({.endpoint = server.endpoint(), .headers = {{"connection", "close"}}});
  std::promise<bool> last;
  std::function<void(int)> post = [&](int left) {
    client.channel->Post("/", {}, "text/plain", "", [&, left](HttpPostReply&& reply) {
      if (left > 0 && !reply.transport_error) return post(left - 1);
      last.set_value(!reply.transport_error);
    });
  };
  client.thread.Do([&] { post(10); });
  EXPECT_TRUE(last.get_future().get());
}

// Case F6.
TEST(HttpChannel, ReadsRetryAfterAsSecondsAndAsADate) {
  std::atomic<int> calls = 0;
  Server server({}, 1 << 20, [&](Request&&, Responder responder) {
    Response response;
    response.status = 503;
    char date[64];
    std::time_t at = std::time(nullptr) + 90;
    std::tm parts;
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&at, &parts));
    int call = calls++;
    if (call < 3) response.headers = {{"retry-after", call == 0 ? "7" : call == 1 ? date : "soon"}};
    responder.Send(std::move(response));
  });
  Client client({.endpoint = server.endpoint()});
  EXPECT_EQ(client.Post("/", "x").retry_after, milliseconds(7000));
  auto from_date = client.Post("/", "x").retry_after;
  ASSERT_TRUE(from_date.has_value());
  EXPECT_GE(*from_date, milliseconds(80'000));
  EXPECT_LE(*from_date, milliseconds(90'000));
  EXPECT_EQ(client.Post("/", "x").retry_after, std::nullopt);
  HttpPostReply last = client.Post("/", "x");
  EXPECT_EQ(last.status, 503);
  EXPECT_FALSE(last.transport_error);
}

TEST(HttpChannel, RefusedUnknownAndSilentAreTransportErrors) {
  Client refused({.endpoint = "http://127.0.0.1:1"});
  HttpPostReply reply = refused.Post("/", "x");
  EXPECT_TRUE(reply.transport_error);
  EXPECT_TRUE(reply.unprocessed);
  EXPECT_THAT(reply.message, HasSubstr("127.0.0.1:1"));
  Client unknown({.endpoint = "http://no-such-host.invalid:4318"});
  EXPECT_TRUE(unknown.Post("/", "x").transport_error);
  Client malformed({.endpoint = "http://[::1"});
  EXPECT_TRUE(malformed.Post("/", "x").transport_error);
  RawServer silent([](RawServer::Peer& peer) { peer.ReadUntil("never"); });
  Client waiting({.endpoint = silent.endpoint(), .timeout = milliseconds(60)});
  reply = waiting.Post("/", "x");
  EXPECT_TRUE(reply.transport_error);
  EXPECT_FALSE(reply.unprocessed);
  EXPECT_EQ(reply.message, "no answer in time");
}

// Case F5.
TEST(HttpChannel, LostConnectionIsToldAndTheNextRequestConnectsAgain) {
  std::atomic<int> connections = 0;
  RawServer server([&](RawServer::Peer& peer) {
    if (++connections == 1) {
      peer.ReadUntil("\r\n\r\n");
      return;
    }
    peer.ReadUntil("ok?");
    peer.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n");
  });
  Client client({.endpoint = server.endpoint()});
  EXPECT_TRUE(client.Post("/", "lost").transport_error);
  HttpPostReply reply = client.Post("/", "ok?");
  EXPECT_EQ(reply.status, 200) << reply.message;
  EXPECT_EQ(TextOf(reply.body), "yes");
}

// A server may close a connection whenever nothing is under way.
TEST(HttpChannel, ConnectionClosedWhileIdleIsNotUsed) {
  std::atomic<int> connections = 0;
  RawServer server([&](RawServer::Peer& peer) {
    ++connections;
    peer.ReadUntil("body");
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  Client client({.endpoint = server.endpoint()});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client.Post("/", "body").status, 200);
    server.WaitForClosed(i + 1);
    client.thread.Do([] {});
    client.thread.Do([] {});
  }
  EXPECT_EQ(connections, 3);
}

// Case F11.
TEST(HttpChannel, ReplyAtTheLimitIsTakenAndOneByteMoreIsUnreadable) {
  Server server;
  Client client({.endpoint = server.endpoint(), .max_reply_bytes = 5000});
  EXPECT_EQ(client.Post("/", std::string(5000, 'x')).status, 200);
  HttpPostReply reply = client.Post("/", std::string(5001, 'x'));
  EXPECT_FALSE(reply.transport_error);
  EXPECT_TRUE(reply.unreadable);
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.body.empty());
  EXPECT_THAT(reply.message, HasSubstr("body limit"));
}

TEST(HttpChannel, TheStatusAndRetryAfterOfADamagedReplyAreKnown) {
  RawServer server([&](RawServer::Peer& peer) {
    peer.ReadUntil("body");
    peer.Send("HTTP/1.1 503 x\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  });
  Client client({.endpoint = server.endpoint()});
  HttpPostReply reply = client.Post("/", "body");
  EXPECT_FALSE(reply.transport_error);
  EXPECT_TRUE(reply.unreadable);
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.retry_after, std::chrono::seconds(3));
}

TEST(HttpChannel, CutRepliesAndBrokenHeadsAreTransportErrors) {
  for (std::string_view reply :
       {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "HTTP/9.9 abc\r\n\r\n"}) {
    RawServer server([&](RawServer::Peer& peer) {
      peer.ReadUntil("body");
      peer.Send(reply);
    });
    Client client({.endpoint = server.endpoint(), .max_reply_bytes = 1000});
    EXPECT_TRUE(client.Post("/", "body").transport_error) << reply;
  }
}

TEST(HttpChannel, ReplySplitAtEveryByteIsTheSame) {
  const std::string head =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n"
      "Content-Type: a/b\r\n";
  for (const std::string& text :
       {head + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        head + "Content-Length: 5\r\n\r\nabcde"}) {
    RawServer server([&](RawServer::Peer& peer) {
      for (size_t cut = 1; cut < text.size(); ++cut) {
        if (!peer.ReadUntil("body")) return;
        peer.Send(std::string_view(text).substr(0, cut));
        std::this_thread::sleep_for(std::chrono::microseconds(500));
        peer.Send(std::string_view(text).substr(cut));
      }
    });
    Client client({.endpoint = server.endpoint()});
    for (size_t cut = 1; cut < text.size(); ++cut) {
      HttpPostReply reply = client.Post("/", "body");
      ASSERT_EQ(reply.status, 429) << cut << reply.message;
      ASSERT_EQ(TextOf(reply.body), "abcde") << cut << reply.message;
      ASSERT_EQ(reply.retry_after, milliseconds(3000));
    }
  }
}

TEST(HttpChannel, MayBeDestroyedInsideDone) {
  Server server;
  LoopThread thread;
  std::unique_ptr<HttpChannel> channel;
  std::promise<void> done;
  thread.Do([&] {
    channel = std::make_unique<HttpChannel>(thread.loop,
                                            HttpChannel::Options{.endpoint = server.endpoint()});
    for (int i = 0; i < 3; ++i) {
      channel->Post("/", {}, "a/b", "", [&](HttpPostReply&&) {
        ASSERT_NE(channel, nullptr) << "called after destruction";
        channel.reset();
        done.set_value();
      });
    }
  });
  done.get_future().wait();
  thread.Do([] {});
}

}  // namespace
}  // namespace weft::net
