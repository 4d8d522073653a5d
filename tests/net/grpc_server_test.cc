// The Listener's HTTP/2 and gRPC side, against gRPC C++ as a client and against raw frames.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <nghttp2/nghttp2.h>

#include "base/metrics.h"
#include "grpc_peer.h"
#include "harness.h"
#include "net/http/connection.h"
#include "net/http/grpc_framing.h"

namespace weft::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string out;
  for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
  return out.append(payload);
}

std::string Literal(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  for (std::string_view text : {name, value}) {
    out.push_back(static_cast<char>(text.size()));
    out.append(text);
  }
  return out;
}

std::string GrpcHead(uint32_t stream, uint8_t flags = 4, std::string_view extra = "") {
  return Frame(1, flags, stream,
               Literal(":method", "POST") + Literal(":scheme", "http") + Literal(":path", "/a/b") +
                   Literal(":authority", "x") + Literal("content-type", "application/grpc") +
                   std::string(extra));
}

// A head without a field: nine bytes for a stream.
std::string EmptyHead(uint32_t stream) { return Frame(1, 4, stream, ""); }

// What `make` says for so many streams of a client, the first of which is `first`.
template <typename Make>
std::string ForStreams(uint32_t first, uint32_t count, Make&& make) {
  std::string out;
  for (uint32_t i = 0; i < count; ++i) out += make(first + 2 * i);
  return out;
}

// A raw HTTP/2 client that reads frames; headers come out as "name: value\n", DATA as it is.
class RawHttp2 {
 public:
  explicit RawHttp2(uint16_t port) : client(port) {
    nghttp2_hd_inflate_new(&inflater_);
    client.Send(std::string(kPreface) + Frame(4, 0, 0, ""));
    Read(4);
    client.Send(Frame(4, 1, 0, ""));
  }
  ~RawHttp2() { nghttp2_hd_inflate_del(inflater_); }

  // Up to and including the first frame with END_STREAM.
  std::string ReadResponse() {
    std::string out;
    while (Read(-1, &out) >= 0 && !ended_) {
    }
    return out;
  }
  // Like ReadResponse, opening both windows again for each DATA frame; the bytes of DATA.
  size_t ReadResponseWithUpdates(uint32_t stream) {
    size_t all = 0;
    do {
      std::string data;
      int type = Read(-1, &data);
      if (type < 0) break;
      if (type != 0 || data.empty()) continue;
      all += data.size();
      client.Send(WindowUpdate(0, data.size()) + WindowUpdate(stream, data.size()));
    } while (!ended_);
    return all;
  }
  // Opens both windows by a byte and waits for that byte; how often before the server had enough.
  int ReadByCrumbs(uint32_t stream, int most) {
    std::string text;
    while (std::count(text.begin(), text.end(), 'x') < 65535) {  // the first window
      if (Read(-1, &text) < 0) return -1;
    }
    for (int i = 0; i < most; ++i) {
      client.Send(WindowUpdate(0, 1) + WindowUpdate(stream, 1));
      if (Read(0) < 0) return i;
    }
    return most;
  }
  static std::string WindowUpdate(uint32_t stream, size_t by) {
    std::string payload;
    for (int shift : {24, 16, 8, 0}) payload.push_back(static_cast<char>(by >> shift));
    return Frame(8, 0, stream, payload);
  }
  RawClient client;

 private:
  // Reads frames until one of type `until` (-1: one frame); its type, or -2 at the end.
  int Read(int until, std::string* text = nullptr) {
    for (;;) {
      std::string head = client.ReadSize(9, 9);
      if (head.size() < 9) return -2;
      auto byte = [&](size_t i) { return static_cast<uint8_t>(head[i]); };
      size_t size = size_t{byte(0)} << 16 | size_t{byte(1)} << 8 | byte(2);
      std::string payload = client.ReadSize(size, size);
      if (byte(3) == 1) payload = Inflate(payload);
      if (text != nullptr && byte(3) <= 1) *text += payload;
      ended_ = byte(3) <= 1 && (byte(4) & 1) != 0;
      if (until < 0 || byte(3) == until) return byte(3);
    }
  }
  std::string Inflate(const std::string& block) {
    std::string out;
    auto in = reinterpret_cast<uint8_t*>(const_cast<char*>(block.data()));
    size_t left = block.size();
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
      nghttp2_nv nv;
      ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, in, left, 1);
      if (n < 0) break;
      in += n, left -= static_cast<size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0) continue;
      out.append(reinterpret_cast<char*>(nv.name), nv.namelen).append(": ");
      out.append(reinterpret_cast<char*>(nv.value), nv.valuelen).append("\n");
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return out;
  }

  nghttp2_hd_inflater* inflater_ = nullptr;
  bool ended_ = false;
};

TEST(GrpcServer, EchoesSmallAndLargeMessages) {
  Server server;
  GrpcClient client(server.endpoint());
  for (size_t size : {0, 1, 11, 16384, 65536, 3 << 20, 20 << 20}) {
    std::string reply, request(size, 'a');
    for (size_t i = 0; i < size; i += 1009) request[i] = static_cast<char>('b' + i % 20);
    grpc::Status status = client.Call(request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(reply == request) << size;
  }
}

TEST(GrpcServer, InflatesGzipAndDeflate) {
  Server server;
  GrpcClient client(server.endpoint());
  for (auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    std::string reply, request(300'000, 'z');
    grpc::Status status = client.Call(request, &reply, algorithm);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(reply == request);
  }
}

TEST(GrpcServer, ErrorsCarryMessageAndDetails) {
  Server server({}, 1 << 20, [](Request&& request, Responder responder) {
    EXPECT_TRUE(request.is_grpc);
    EXPECT_EQ(request.path, "/test.Service/Method");
    EXPECT_TRUE(request.peer.IsLoopback());
    Response response;
    response.grpc_status = kGrpcUnavailable;
    response.grpc_message = "voll: 100 % – später\n";
    response.grpc_status_details = RetryInfoDetails(14, "busy", std::chrono::seconds(2));
    responder.Send(std::move(response));
  });
  GrpcClient client(server.endpoint());
  std::string reply;
  grpc::Status status = client.Call("x", &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "voll: 100 % – später\n");
  EXPECT_EQ(FindRetryDelay(base::AsBytes(status.error_details())), std::chrono::seconds(2));
}

TEST(GrpcServer, AnswersMayComeLaterAndOutOfOrder) {
  std::vector<Responder> waiting;
  Server server({}, 1 << 20, [&](Request&& request, Responder responder) {
    waiting.push_back(std::move(responder));
    if (waiting.size() < 3) return;
    for (size_t i = waiting.size(); i-- > 0;) {
      Response response;
      response.body = "to " + std::to_string(i);
      waiting[i].Send(std::move(response));
    }
    (void)request;
  });
  GrpcClient client(server.endpoint());
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      std::string reply;
      if (client.Call("x", &reply).ok() && reply.starts_with("to ")) ++good;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 3);
}

TEST(GrpcServer, DroppedResponderIsInternal) {
  Server server({}, 1 << 20, [](Request&&, Responder) {});
  GrpcClient client(server.endpoint());
  std::string reply;
  EXPECT_EQ(client.Call("x", &reply).error_code(), grpc::StatusCode::INTERNAL);
}

// Case F32.
TEST(GrpcServer, TooLargeIsResourceExhaustedAndNotRetryable) {
  ListenerOptions options;
  options.max_body_bytes = 1000;
  Server server(options);
  GrpcClient client(server.endpoint());
  std::string reply;
  grpc::Status status = client.Call(std::string(4 << 20, 'a'), &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_details(), "");
  EXPECT_TRUE(client.Call(std::string(1000, 'a'), &reply).ok());
}

TEST(GrpcServer, NoCreditIsUnavailableWithRetryInfo) {
  Server server({}, 1000);
  GrpcClient client(server.endpoint());
  std::string reply;
  grpc::Status status = client.Call(std::string(100'000, 'a'), &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(FindRetryDelay(base::AsBytes(status.error_details())), std::chrono::seconds(1));
  EXPECT_TRUE(client.Call("small", &reply).ok());
}

TEST(GrpcServer, ChargeGoesWithTheRequest) {
  std::optional<Request> kept;
  Server server({}, 1 << 20, [&](Request&& request, Responder responder) {
    kept = std::move(request);
    responder.Send({});
  });
  GrpcClient client(server.endpoint());
  std::string reply;
  EXPECT_TRUE(client.Call(std::string(5000, 'a'), &reply).ok());
  server.thread.Do([&] {
    EXPECT_EQ(server.credit.used(), 5000u);
    EXPECT_EQ(kept->charge.bytes(), 5000u);
    kept.reset();
    EXPECT_EQ(server.credit.used(), 0u);
  });
}

// Case F31.
TEST(GrpcServer, GzipBombIsRefusedInBoundedMemory) {
  ListenerOptions options;
  options.max_body_bytes = 16 << 20;
  Server server(options);
  std::string bomb = Deflated(base::Compression::kGzip, std::string(size_t{128} << 20, '\0'));
  auto prefix = GrpcPrefix(true, static_cast<uint32_t>(bomb.size()));
  std::string message(prefix.begin(), prefix.end());
  message += bomb;
  std::string sent = GrpcHead(1, 4, Literal("grpc-encoding", "gzip"));
  for (size_t at = 0; at < message.size(); at += 16000) {
    bool last = at + 16000 >= message.size();
    sent += Frame(0, last ? 1 : 0, 1, std::string_view(message).substr(at, 16000));
  }
  long before = ResetPeakRssKb();
  RawHttp2 http2(server.port());
  http2.client.Send(sent);
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("grpc-status: 8\n"));
  EXPECT_LT(PeakRssKb() - before, 48 << 10);
}

TEST(GrpcServer, PrefaceMayArriveByteByByte) {
  Server server;
  RawClient client(server.port());
  std::string sent = std::string(kPreface) + Frame(4, 0, 0, "") + GrpcHead(1) +
                     Frame(0, 9, 1, std::string("\2\0\0\0\0\3abc\0\0", 11));  // padded DATA
  for (char c : sent) {
    client.Send(std::string_view(&c, 1));
    server.thread.Do([] {});
  }
  EXPECT_THAT(client.ReadUntil("abc"), HasSubstr("abc"));
}

TEST(GrpcServer, TruncatedAndRepeatedMessagesHaveTheirStatus) {
  Server server;
  RawHttp2 http2(server.port());
  http2.client.Send(GrpcHead(1) + Frame(0, 1, 1, std::string("\0\0\0\0\5abc", 8)));
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("grpc-status: 3\n"));
  http2.client.Send(GrpcHead(3) + Frame(0, 1, 3, std::string("\0\0\0\0\1a\0\0\0\0\1b", 12)));
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("grpc-status: 12\n"));
  http2.client.Send(GrpcHead(5, 5));  // END_STREAM without a message
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("grpc-status: 3\n"));
  http2.client.Send(GrpcHead(7) + Frame(0, 1, 7, std::string("\0\0\0\0\1a", 6)));
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("grpc-status: 0\n"));
}

TEST(GrpcServer, OtherHttp2RequestsAreOrdinaryHttp) {
  Server server;
  RawClient client(server.port());
  client.Send(std::string(kPreface) + Frame(4, 0, 0, "") +
              Frame(1, 5, 1,
                    Literal(":method", "GET") + Literal(":scheme", "http") +
                        Literal(":path", "/p?q=1") + Literal(":authority", "x")));
  EXPECT_THAT(client.ReadUntil("GET /p?q=1"), HasSubstr("GET /p?q=1"));
}

int64_t ClosedFor(base::MetricRegistry& metrics, const std::string& reason) {
  return metrics
      .Get(base::MetricKind::kCounter, "weft_net_abusive_connections_total", "",
           {{"listener", "listener"}, {"reason", reason}})
      .value();
}

// Case F35. Each of these must cost the client its connection.
TEST(GrpcServer, FloodsCloseTheConnection) {
  base::MetricRegistry metrics;
  ListenerOptions options;
  options.metrics = &metrics;
  Server server(options);
  auto repeat = [](std::string_view one, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += one;
    return out;
  };
  for (const auto& [name, reason, flood] : {
           std::tuple("ping", "frame_flood", repeat(Frame(6, 0, 0, "12345678"), 3000)),
           std::tuple("settings", "frame_flood", repeat(Frame(4, 0, 0, ""), 3000)),
           std::tuple("empty data", "frame_flood", GrpcHead(1) + repeat(Frame(0, 0, 1, ""), 3000)),
           std::tuple("continuation", "header_flood",
                      GrpcHead(1, 0) + repeat(Frame(9, 0, 1, Literal("a", "b")), 3000)),
           std::tuple("rapid reset", "rapid_reset", std::string()),
           std::tuple(
               "huge header list", "header_flood",
               GrpcHead(1, 0) + repeat(Frame(9, 0, 1, Literal("a", std::string(120, 'x'))), 600)),
           std::tuple("window update", "frame_flood",
                      repeat(Frame(8, 0, 0, std::string("\0\0\0\1", 4)), 3000)),
           // Our SETTINGS are never acknowledged, so that nghttp2 alone refuses what is too much.
           std::tuple("streams over the limit", "frame_flood",
                      ForStreams(1, 128, [](uint32_t id) { return GrpcHead(id); }) +
                          ForStreams(257, 3000, [](uint32_t id) { return EmptyHead(id); })),
       }) {
    const int64_t before = ClosedFor(metrics, reason);
    RawClient client(server.port());
    client.Send(std::string(kPreface) + Frame(4, 0, 0, ""));
    if (std::string_view(name) == "rapid reset") {
      for (uint32_t id = 1; id < 6000; id += 2) {
        if (!client.Send(GrpcHead(id) + Frame(3, 0, id, std::string("\0\0\0\x08", 4)))) break;
      }
    } else {
      client.Send(flood);
    }
    EXPECT_TRUE(client.WaitClosed()) << name;
    EXPECT_EQ(ClosedFor(metrics, reason), before + 1) << name;
  }
  // An honest client is served all the while.
  GrpcClient honest(server.endpoint());
  std::string reply;
  EXPECT_TRUE(honest.Call("x", &reply).ok());
}

std::string GetHead(uint32_t stream = 1) {
  return Frame(1, 5, stream,
               Literal(":method", "GET") + Literal(":scheme", "http") + Literal(":path", "/") +
                   Literal(":authority", "x"));
}

Service AnswerOf(size_t size) {
  return [size](Request&&, Responder responder) {
    Response response;
    response.body.assign(size, 'x');
    responder.Send(std::move(response));
  };
}

TEST(GrpcServer, WindowUpdatesForALargeResponseAreNoFlood) {
  constexpr size_t kSize = 48 << 20;
  Server server({}, 1 << 20, AnswerOf(kSize));
  RawHttp2 http2(server.port());
  http2.client.Send(GetHead());
  EXPECT_EQ(http2.ReadResponseWithUpdates(1), kSize);
}

TEST(GrpcServer, WindowsOpenedByAByteAtATimeAreAFlood) {
  Server server({}, 1 << 20, AnswerOf(1 << 20));
  RawHttp2 http2(server.port());
  http2.client.Send(GetHead());
  int crumbs = http2.ReadByCrumbs(1, 3000);
  EXPECT_GT(crumbs, 100);
  EXPECT_LT(crumbs, 3000);
}

// Heads and bodies that nghttp2 itself answers with RST_STREAM. Whether they are called a flood of
// frames or of resets depends on how they arrive.
TEST(GrpcServer, StreamsThatMakeUsResetThemCloseTheConnection) {
  for (bool is_malformed : {true, false}) {
    base::MetricRegistry metrics;
    ListenerOptions options;
    options.metrics = &metrics;
    Server server(options);
    RawClient client(server.port());
    client.Send(std::string(kPreface) + Frame(4, 0, 0, ""));
    for (uint32_t id = 1; id < 6000; id += 2) {
      const std::string request =
          is_malformed ? GrpcHead(id, 5, Literal("connection", "keep-alive"))
                       : GrpcHead(id, 4, Literal("content-length", "0")) + Frame(0, 0, id, "x");
      if (!client.Send(request)) break;
    }
    EXPECT_TRUE(client.WaitClosed()) << is_malformed;
    EXPECT_EQ(ClosedFor(metrics, "frame_flood") + ClosedFor(metrics, "rapid_reset"), 1);
  }
}

// Frames that bring a request make up for some that do not; what is owed to a client that does not
// read is bounded all the same.
TEST(GrpcServer, WhatIsOwedToAClientThatDoesNotReadIsBounded) {
  base::MetricRegistry metrics;
  ListenerOptions options;
  options.metrics = &metrics;
  size_t size = 64 << 20;
  std::promise<void> served[10];
  size_t requests = 0;
  Server server(options, 1 << 20, [&](Request&&, Responder responder) {
    Response response;
    if (requests < std::size(served)) served[requests++].set_value();
    response.body.assign(std::exchange(size, 1), 'x');
    responder.Send(std::move(response));
  });
  RawClient client(server.port());
  // Windows as large as they can be, so that the answer stands in the way of all others.
  client.Send(std::string(kPreface) + Frame(4, 0, 0, std::string("\0\4\x7f\xff\xff\xff", 6)) +
              RawHttp2::WindowUpdate(0, 0x7fff0000 - 65535) + GetHead());
  // Each further request fills what we hold of that answer, until the kernel takes no more.
  for (uint32_t id = 1; std::promise<void> & one : served) {
    one.get_future().wait();
    server.thread.Do([] {});
    if (id < 19) client.Send(GetHead(id += 2));
  }
  std::string ping;
  for (int i = 0; i < 8; ++i) ping += Frame(6, 0, 0, "12345678");
  client.Send(ForStreams(21, 100, [&](uint32_t id) { return ping + GetHead(id); }) +
              ForStreams(221, 18, [](uint32_t id) { return GrpcHead(id); }) +
              ForStreams(257, 600, [](uint32_t id) { return EmptyHead(id); }));
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (ClosedFor(metrics, "frame_flood") == 0 && std::chrono::steady_clock::now() < until) {
    server.thread.Do([] {});
  }
  EXPECT_EQ(ClosedFor(metrics, "frame_flood"), 1);
}

// Fewer than what a client may have sent before it has seen our SETTINGS.
TEST(GrpcServer, AFewStreamsOverTheLimitAreRefusedOnly) {
  std::vector<Responder> waiting;
  Server server({}, 1 << 20,
                [&](Request&&, Responder responder) { waiting.push_back(std::move(responder)); });
  RawClient client(server.port());
  client.Send(std::string(kPreface) + Frame(4, 0, 0, "") +
              ForStreams(1, 300, [](uint32_t id) { return GetHead(id); }) +
              Frame(6, 0, 0, "all here"));
  EXPECT_THAT(client.ReadUntil("all here"), HasSubstr("all here"));
  server.thread.Do([&] {
    EXPECT_EQ(waiting.size(), 128u);
    for (Responder& responder : waiting) {
      Response response;
      response.body = "served";
      responder.Send(std::move(response));
    }
  });
  EXPECT_THAT(client.ReadUntil("served"), HasSubstr("served"));
}

// Case F33.
TEST(StuckOutput, IsWhatLeavesSlowerThanTheLeastSpeed) {
  ListenerOptions options;
  options.body_timeout = std::chrono::seconds(30);
  options.min_body_bytes_per_second = 500;
  StuckOutput stuck;
  Deadline now{std::chrono::hours(1)};
  auto check = [&](uint64_t unsent, uint64_t sent) {
    now += std::chrono::seconds(20);
    return stuck.Check(unsent, sent, now, options);
  };
  EXPECT_FALSE(check(1000, 0));
  EXPECT_FALSE(check(900, 15'000));  // the least speed
  EXPECT_FALSE(check(2000, 15'100));
  EXPECT_FALSE(check(0, 17'100));  // all of it
  EXPECT_FALSE(check(1000, 17'100));
  EXPECT_FALSE(check(999, 17'101));
  EXPECT_TRUE(check(1500, 17'102));  // a byte now and then, and more of ours
}

// Case F33.
TEST(GrpcServer, SlowHeadBodyAndIdleConnectionsAreEnded) {
  ListenerOptions options;
  options.header_timeout = options.body_timeout = options.idle_timeout = milliseconds(60);
  Server server(options);
  RawClient preface(server.port()), head(server.port()), idle(server.port());
  RawHttp2 body(server.port());
  preface.Send(kPreface.substr(0, 10));
  head.Send(std::string(kPreface) + Frame(4, 0, 0, "") + GrpcHead(1, 0));
  body.client.Send(GrpcHead(1) + Frame(0, 0, 1, std::string("\0\0\0\0\5ab", 7)));
  idle.Send(std::string(kPreface) + Frame(4, 0, 0, ""));
  EXPECT_TRUE(preface.WaitClosed());
  EXPECT_TRUE(head.WaitClosed());
  EXPECT_THAT(body.ReadResponse(), HasSubstr("grpc-status: 4\n"));
  EXPECT_TRUE(idle.WaitClosed());
}

// A head that is refused is over: what is served meanwhile has no deadline of a head.
TEST(GrpcServer, RefusedHeadLeavesTheConnectionAlone) {
  std::optional<Responder> waiting;
  ListenerOptions options;
  options.header_timeout = milliseconds(60);
  Server server(options, 1 << 20,
                [&](Request&&, Responder responder) { waiting.emplace(std::move(responder)); });
  RawHttp2 http2(server.port()), late(server.port());
  http2.client.Send(GetHead() + GrpcHead(3, 5, Literal("connection", "keep-alive")));
  // Made after the head was refused, so that its deadline comes later.
  late.client.Send(GrpcHead(1, 0));
  EXPECT_TRUE(late.client.WaitClosed());
  server.thread.Do([&] {
    ASSERT_TRUE(waiting.has_value());
    Response response;
    response.body = "still here";
    waiting->Send(std::move(response));
  });
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("still here"));
}

// Case F35: one entry of the table, named again and again by one byte each.
TEST(GrpcServer, HpackBombClosesTheConnectionInBoundedTime) {
  base::MetricRegistry metrics;
  ListenerOptions options;
  options.metrics = &metrics;
  Server server(options);
  RawClient client(server.port());
  std::string value(3800, 'v');
  // A literal with incremental indexing; its value's length as a varint with a 7-bit prefix.
  std::string entry = "\x40\x01x\x7f";
  for (size_t left = value.size() - 127;; left >>= 7) {
    entry.push_back(static_cast<char>((left & 0x7f) | (left >= 0x80 ? 0x80 : 0)));
    if (left < 0x80) break;
  }
  client.Send(std::string(kPreface) + Frame(4, 0, 0, "") +
              GrpcHead(1, 4, entry + value + std::string(10'000, '\xbe')));
  EXPECT_TRUE(client.WaitClosed());
  EXPECT_EQ(metrics
                .Get(base::MetricKind::kCounter, "weft_net_abusive_connections_total", "",
                     {{"listener", "listener"}, {"reason", "header_flood"}})
                .value(),
            1);
}

// Cases F33, F35: a window of nothing, so that answers pile up.
TEST(GrpcServer, StalledWindowEndsTheConnectionWithItsReason) {
  ListenerOptions options;
  options.body_timeout = milliseconds(60);
  Server server(options, 1 << 20, AnswerOf(1000));
  RawClient client(server.port());
  // SETTINGS_INITIAL_WINDOW_SIZE 0, then a request.
  client.Send(std::string(kPreface) + Frame(4, 0, 0, std::string("\0\4\0\0\0\0", 6)) + GetHead());
  std::string all = client.ReadToEnd();
  // The last frame is a GOAWAY with ENHANCE_YOUR_CALM (11).
  ASSERT_GE(all.size(), 17u);
  EXPECT_EQ(all.substr(all.size() - 14, 1), "\7");
  EXPECT_EQ(all.back(), 11);
}

// Case F33: within the deadline, but by drops.
TEST(GrpcServer, BodyByDropsEndsBeforeItsDeadline) {
  ListenerOptions options;
  options.body_timeout = milliseconds(400);
  options.header_timeout = milliseconds(40);  // how often deadlines are looked at
  options.min_body_bytes_per_second = 1 << 20;
  base::MetricRegistry metrics;
  options.metrics = &metrics;
  Server server(options);
  RawHttp2 body(server.port());
  auto start = std::chrono::steady_clock::now();
  body.client.Send(GrpcHead(1) + Frame(0, 0, 1, std::string("\0\0\0\0\5ab", 7)));
  EXPECT_THAT(body.ReadResponse(), HasSubstr("grpc-status: 4\n"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(390));
  EXPECT_EQ(metrics
                .Get(base::MetricKind::kCounter, "weft_net_refused_requests_total", "",
                     {{"listener", "listener"}, {"reason", "too_slow"}})
                .value(),
            1);
}

// A stream that waits while another of its connection sends is not slow.
TEST(GrpcServer, ConnectionThatDeliversIsNotSlow) {
  ListenerOptions options;
  options.body_timeout = milliseconds(400);
  options.header_timeout = milliseconds(40);
  options.min_body_bytes_per_second = 1000;
  Server server(options);
  RawHttp2 http2(server.port());
  http2.client.Send(GrpcHead(1) + Frame(0, 0, 1, std::string("\0\0\0\0\1", 5)) + GrpcHead(3) +
                    Frame(0, 0, 3, std::string("\0\0\0\x40\0", 5) + std::string(10'000, 'x')));
  std::this_thread::sleep_for(milliseconds(200));
  http2.client.Send(Frame(0, 1, 1, "y"));
  EXPECT_THAT(http2.ReadResponse(), HasSubstr("grpc-status: 0\n"));
}

// Case F34, F35: unfinished bodies of one peer leave half of the credit to others.
TEST(GrpcServer, UnfinishedBodiesOfOnePeerEndAtItsShare) {
  constexpr uint64_t kCredit = 1 << 20;
  Server server({}, kCredit);
  RawHttp2 hog(server.port());
  std::string block(16'000, 'x');
  std::string prefix("\0\0\1\0\0", 5);  // announces 64 KiB
  std::string flood;
  for (uint32_t id = 1; id < 2 * 60; id += 2) {
    flood += GrpcHead(id) + Frame(0, 0, id, prefix + block);
  }
  hog.client.Send(flood);
  EXPECT_THAT(hog.ReadResponse(), HasSubstr("grpc-status: 14\n"));
  server.thread.Do([] {});
  EXPECT_LE(server.credit.used(), kCredit / 2 + (64 << 10));
  GrpcClient honest(server.endpoint());
  std::string reply;
  EXPECT_TRUE(honest.Call(std::string(100'000, 'y'), &reply).ok());
}

TEST(GrpcServer, DeadPeerIsFoundByPing) {
  ListenerOptions options;
  options.header_timeout = milliseconds(40);
  options.ping_interval = options.ping_timeout = milliseconds(50);
  base::MetricRegistry metrics;
  options.metrics = &metrics;
  Server server(options);
  RawHttp2 silent(server.port());
  EXPECT_TRUE(silent.client.WaitClosed());
  EXPECT_EQ(metrics
                .Get(base::MetricKind::kCounter, "weft_net_dead_connections_total", "",
                     {{"listener", "listener"}})
                .value(),
            1);
}

// Case F15, the server's side: calls go on while connections are told to move.
TEST(GrpcServer, OldConnectionsMoveWithoutLosingACall) {
  ListenerOptions options;
  options.header_timeout = milliseconds(40);
  options.max_connection_age = milliseconds(50);
  base::MetricRegistry metrics;
  options.metrics = &metrics;
  Server server(options);
  GrpcClient client(server.endpoint());
  base::Metric& aged = metrics.Get(base::MetricKind::kCounter, "weft_net_aged_connections_total",
                                   "", {{"listener", "listener"}});
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  int calls = 0;
  while (aged.value() < 2 && std::chrono::steady_clock::now() < until) {
    std::string reply;
    grpc::Status status = client.Call("x", &reply);
    ASSERT_TRUE(status.ok()) << status.error_message() << " after " << calls;
    ++calls;
  }
  EXPECT_GE(aged.value(), 2);
}

// Case F34: out of descriptors, then some come back.
TEST(GrpcServer, AcceptsAgainAfterDescriptorsRanOut) {
  Server server;
  rlimit old;
  getrlimit(RLIMIT_NOFILE, &old);
  std::vector<int> hoard;
  RawClient before(server.port());
  int probe = open("/dev/null", O_RDONLY);
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(probe) + 40;
  setrlimit(RLIMIT_NOFILE, &tight);
  close(probe);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int fd = open("/dev/null", O_RDONLY); fd >= 0; fd = open("/dev/null", O_RDONLY)) {
    hoard.push_back(fd);
  }
  ASSERT_FALSE(hoard.empty());
  close(hoard.back());
  hoard.pop_back();
  RawClient refused(server.port());
  EXPECT_TRUE(refused.WaitClosed());
  for (int fd : hoard) close(fd);
  setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_GE(server.listener->refused_connections(), 1u);
  auto start = std::chrono::steady_clock::now();
  RawClient after(server.port());
  after.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(after.ReadUntil("GET /x"), HasSubstr("200 OK"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

}  // namespace
}  // namespace weft::net
