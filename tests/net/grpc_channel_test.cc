// GrpcChannel against gRPC C++ as a server, against our own Listener, and against peers that
// misbehave.
#include "net/grpc_channel.h"

#include <gmock/gmock.h>

#include <condition_variable>

#include "grpc_peer.h"
#include "harness.h"

namespace weft::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

base::Gathered Pieces(const std::string& text, size_t piece_bytes) {
  auto owner = std::make_shared<const std::string>(text);
  base::Gathered out;
  base::ByteView all = base::AsBytes(*owner);
  for (size_t at = 0; at < all.size(); at += piece_bytes) {
    out.Add(all.subspan(at, std::min(piece_bytes, all.size() - at)));
  }
  out.owners.push_back(owner);
  return out;
}

// A channel on a loop thread, called from the test's thread.
class Client {
 public:
  explicit Client(GrpcChannel::Options options) {
    options.backoff_min = milliseconds(10);
    thread.Do([&] { channel = std::make_unique<GrpcChannel>(thread.loop, options); });
  }
  ~Client() {
    thread.Do([&] { channel.reset(); });
  }

  std::future<GrpcReply> Start(base::Gathered payload, std::string encoding = "") {
    auto promise = std::make_shared<std::promise<GrpcReply>>();
    thread.loop.Post(
        [this, promise, encoding, payload = std::make_shared<base::Gathered>(std::move(payload))] {
          channel->Call("/test.Service/Method", std::move(*payload), encoding,
                        [promise](GrpcReply&& reply) { promise->set_value(std::move(reply)); });
        });
    return promise->get_future();
  }
  GrpcReply Call(const std::string& text, std::string encoding = "") {
    return Start(Pieces(text, 700), encoding).get();
  }

  LoopThread thread;
  std::unique_ptr<GrpcChannel> channel;
};

grpc::Status EchoHandler(grpc::GenericCallbackServerContext*, const std::string& request,
                         std::string* reply) {
  *reply = request;
  return grpc::Status::OK;
}

TEST(GrpcChannel, EchoesSmallAndLargeMessagesThroughGrpcCpp) {
  GrpcServer server([](auto*, const std::string& request, std::string* reply) {
    *reply = std::to_string(std::hash<std::string>()(request));
    return grpc::Status::OK;
  });
  Client client({.endpoint = server.endpoint()});
  for (size_t size : {0, 1, 16384, 65535, 3 << 20, 20 << 20}) {
    std::string text(size, 'q');
    for (size_t i = 0; i < size; i += 1013) text[i] = static_cast<char>('a' + i % 23);
    GrpcReply reply = client.Call(text);
    ASSERT_EQ(reply.status, 0) << reply.message;
    EXPECT_EQ(TextOf(reply.body), std::to_string(std::hash<std::string>()(text))) << size;
  }
}

TEST(GrpcChannel, ItsAuthorityIsTheEndpointUnlessAnotherNameIsGiven) {
  GrpcServer server([](auto* context, const std::string&, std::string* reply) {
    *reply = context->host();
    return grpc::Status::OK;
  });
  Client plain({.endpoint = server.endpoint()});
  EXPECT_EQ(TextOf(plain.Call("x").body), server.endpoint());
  Client named({.endpoint = server.endpoint(), .authority = "collector.example:4317"});
  EXPECT_EQ(TextOf(named.Call("x").body), "collector.example:4317");
}

TEST(GrpcChannel, SendsCompressedMessagesAsTheyAre) {
  GrpcServer server(EchoHandler);
  Client client({.endpoint = server.endpoint()});
  GrpcReply reply = client.Call(Deflated(base::Compression::kGzip, "plain text"), "gzip");
  ASSERT_EQ(reply.status, 0) << reply.message;
  EXPECT_EQ(TextOf(reply.body), "plain text");
}

TEST(GrpcChannel, ReportsStatusMessageAndRetryDelay) {
  GrpcServer server([](auto*, const std::string&, std::string*) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "später\n",
                        RetryInfoDetails(14, "", milliseconds(2500)));
  });
  Client client({.endpoint = server.endpoint()});
  GrpcReply reply = client.Call("x");
  EXPECT_EQ(reply.status, 14);
  EXPECT_EQ(reply.message, "später\n");
  EXPECT_FALSE(reply.transport_error);
  EXPECT_EQ(reply.retry_delay, milliseconds(2500));
}

// Case F11.
TEST(GrpcChannel, ReplyOverTheLimitIsUnreadable) {
  GrpcServer server([](auto*, const std::string&, std::string* reply) {
    reply->assign(5 << 20, 'x');
    return grpc::Status::OK;
  });
  Client client({.endpoint = server.endpoint()});
  GrpcReply reply = client.Call("x");
  EXPECT_TRUE(reply.unreadable);
  EXPECT_FALSE(reply.transport_error);
  EXPECT_EQ(reply.status, 8);
}

TEST(GrpcChannel, ManyCallsGoInOrderWithinTheLimit) {
  std::atomic<int> inside{0}, most{0};
  GrpcServer server([&](auto*, const std::string& request, std::string* reply) {
    int now = ++inside;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    *reply = request;
    --inside;
    return grpc::Status::OK;
  });
  Client client({.endpoint = server.endpoint(), .max_in_flight = 3});
  std::vector<std::future<GrpcReply>> replies;
  for (int i = 0; i < 200; ++i) replies.push_back(client.Start(Pieces(std::to_string(i), 1)));
  for (int i = 0; i < 200; ++i) EXPECT_EQ(TextOf(replies[i].get().body), std::to_string(i));
  EXPECT_LE(most, 3);
}

TEST(GrpcChannel, ConnectionRefusedIsATransportError) {
  Client client({.endpoint = "127.0.0.1:1"});
  GrpcReply reply = client.Call("x");
  EXPECT_EQ(reply.status, 14);
  EXPECT_TRUE(reply.transport_error);
  EXPECT_TRUE(reply.unprocessed);
}

// Case F14.
TEST(GrpcChannel, UnknownNameIsATransportError) {
  Client client({.endpoint = "no-such-host.invalid:4317"});
  GrpcReply reply = client.Call("x");
  EXPECT_TRUE(reply.transport_error);
  EXPECT_THAT(reply.message, HasSubstr("no-such-host"));
}

TEST(GrpcChannel, SilentServerEndsTheCallAtItsTimeout) {
  std::vector<Responder> kept;
  Server server({}, 1 << 20,
                [&](Request&&, Responder responder) { kept.push_back(std::move(responder)); });
  Client client({.endpoint = server.endpoint(), .timeout = milliseconds(80)});
  GrpcReply reply = client.Call("x");
  EXPECT_EQ(reply.status, 4);
  EXPECT_FALSE(reply.transport_error);
  server.thread.Do([&] { kept.clear(); });
}

// Its payload is stuck in the socket, a part of the reply has come, it has expired: the stream
// holds it still when the channel ends. (Memory that is freed too early is seen by the asan
// preset.)
TEST(GrpcChannel, ACallThatIsHeldByItsStreamMayOutliveItsChannel) {
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(bind(listening, reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(listen(listening, 8), 0);
  getsockname(listening, reinterpret_cast<sockaddr*>(&at), &size);
  {
    Client client({.endpoint = "127.0.0.1:" + std::to_string(ntohs(at.sin_port)),
                   .timeout = milliseconds(200)});
    int fd = accept(listening, nullptr, nullptr);
    // SETTINGS and WINDOW_UPDATE: as much as the client likes.
    const char windows[] =
        "\0\0\6\4\0\0\0\0\0"
        "\0\4\x7f\xff\xff\xff"
        "\0\0\4\x8\0\0\0\0\0"
        "\x7f\xff\0\0";
    ASSERT_EQ(send(fd, windows, sizeof windows - 1, 0), ssize_t{sizeof windows - 1});
    std::future<GrpcReply> reply = client.Start(Pieces(std::string(30 << 20, 'q'), 1 << 20));
    std::vector<char> some(256 << 10);
    ASSERT_EQ(recv(fd, some.data(), some.size(), MSG_WAITALL), static_cast<ssize_t>(some.size()));
    // :status 200 and the beginning of a message.
    const char part[] =
        "\0\0\1\1\4\0\0\0\1\x88"
        "\0\0\x8\0\0\0\0\0\1"
        "\0\0\0\0\x64"
        "abc";
    ASSERT_EQ(send(fd, part, sizeof part - 1, 0), ssize_t{sizeof part - 1});
    EXPECT_EQ(reply.get().status, 4);
    client.thread.Do([&] { client.channel.reset(); });
    client.thread.Do([] {});
    close(fd);
  }
  close(listening);
}

// Case F4: a peer that is connected but says nothing any more.
TEST(GrpcChannel, DeadConnectionIsFoundByPing) {
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(bind(listening, reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(listen(listening, 8), 0);
  getsockname(listening, reinterpret_cast<sockaddr*>(&at), &size);
  Client client({.endpoint = "127.0.0.1:" + std::to_string(ntohs(at.sin_port)),
                 .ping_interval = milliseconds(40),
                 .ping_timeout = milliseconds(80)});
  int fd = accept(listening, nullptr, nullptr);
  const char settings[] = "\0\0\0\4\0\0\0\0\0";
  ASSERT_EQ(send(fd, settings, 9, 0), 9);
  GrpcReply reply = client.Call("x");
  EXPECT_EQ(reply.status, 14);
  EXPECT_TRUE(reply.transport_error);
  close(fd);
  close(listening);
}

// Case F5: killed mid-request, then back on the same port.
TEST(GrpcChannel, ReconnectsAfterTheServerCameBack) {
  auto server = std::make_unique<Server>();
  ListenerOptions options;
  uint16_t port = server->port();
  Client client({.endpoint = server->endpoint()});
  EXPECT_EQ(TextOf(client.Call("one").body), "one");
  server.reset();
  GrpcReply lost = client.Call("two");
  EXPECT_TRUE(lost.transport_error);
  GrpcServer again(EchoHandler, port);
  ASSERT_EQ(again.port(), port);
  GrpcReply reply = client.Call("three");
  for (int i = 0; i < 20 && reply.transport_error; ++i) reply = client.Call("three");
  EXPECT_EQ(TextOf(reply.body), "three");
}

// Case F15: GOAWAY while calls are running: none is lost, later ones go to a new connection.
TEST(GrpcChannel, GoAwayLosesNothing) {
  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  int entered = 0;
  auto slow =
      std::make_unique<GrpcServer>([&](auto*, const std::string& request, std::string* reply) {
        std::unique_lock lock(mutex);
        ++entered;
        changed.notify_all();
        changed.wait(lock, [&] { return open; });
        *reply = request;
        return grpc::Status::OK;
      });
  int port = slow->port();
  Client client({.endpoint = slow->endpoint()});
  auto running = client.Start(Pieces("running", 3));
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return entered == 1; });
  }
  std::thread stopping([&] { slow->Stop(std::chrono::seconds(5)); });
  {
    std::unique_lock lock(mutex);
    open = true;
    changed.notify_all();
  }
  GrpcReply reply = running.get();
  EXPECT_EQ(TextOf(reply.body), "running") << reply.message;
  stopping.join();
  GrpcServer next(EchoHandler, port);
  reply = client.Call("later");
  for (int i = 0; i < 20 && reply.transport_error; ++i) reply = client.Call("later");
  EXPECT_EQ(TextOf(reply.body), "later");
}

// A Listener that closes says GOAWAY; a call that it refuses is sent again on a new connection.
TEST(GrpcChannel, RefusedCallsAreSentAgainOnANewConnection) {
  std::promise<Responder> taken;
  bool first = true;
  Service service = [&](Request&& request, Responder responder) {
    if (std::exchange(first, false)) return taken.set_value(std::move(responder));
    Server::Echo()(std::move(request), std::move(responder));
  };
  Server server({}, 1 << 20, service);
  Client client({.endpoint = server.endpoint()});
  auto one = client.Start(Pieces("one", 3));
  Responder responder = taken.get_future().get();
  ListenerOptions options;
  options.endpoint = server.endpoint();
  std::unique_ptr<Listener> second;
  server.thread.Do([&] {
    server.listener->Close();
    auto opened = Listener::Open(server.thread.loop, options, server.credit, Server::Echo());
    ASSERT_TRUE(opened.ok()) << opened.status();
    second = std::move(*opened);
  });
  EXPECT_EQ(TextOf(client.Call("two").body), "two");
  server.thread.Do([&] {
    Response response;
    response.body = "late";
    responder.Send(std::move(response));
  });
  EXPECT_EQ(TextOf(one.get().body), "late");
  server.thread.Do([&] { second.reset(); });
}

TEST(GrpcChannel, MayBeDestroyedInsideDone) {
  Server server;
  Client client({.endpoint = server.endpoint()});
  std::promise<int> done;
  client.thread.Do([&] {
    for (int i = 0; i < 3; ++i) {
      client.channel->Call("/a/b", Pieces("x", 1), "", [&, i](GrpcReply&& reply) {
        client.channel.reset();
        if (i == 0) done.set_value(reply.status);
      });
    }
  });
  EXPECT_EQ(done.get_future().get(), 0);
}

TEST(GrpcChannel, OurTwoSidesCarryGzipAndZstdToEachOther) {
  Server server;
  Client client({.endpoint = server.endpoint()});
  std::string text(3 << 20, 't');
  EXPECT_TRUE(TextOf(client.Call(text).body) == text);
  EXPECT_EQ(TextOf(client.Call(Deflated(base::Compression::kZstd, "zz"), "zstd").body), "zz");
  GrpcReply reply = client.Call("not gzip", "gzip");
  EXPECT_EQ(reply.status, 3);
  reply = client.Call("x", "br");
  EXPECT_EQ(reply.status, 12);
}

}  // namespace
}  // namespace weft::net
