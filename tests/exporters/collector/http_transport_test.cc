// The exporter over OTLP/HTTP, against the agent's own listener, and the bearer token of a file.
#include "exporters/collector/wire/http_transport.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "exporters/collector/open.h"
#include "exporters/collector/scripted_peer.h"
#include "exporters/collector/wire/bearer_token.h"
#include "net/event_loop.h"
#include "net/listener.h"

namespace weft::exporters::collector {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A collector that answers as `answer` says and keeps what it took.
struct HttpPeer {
  explicit HttpPeer(net::EventLoop& loop) : credit(64 << 20) {
    net::ListenerOptions options;
    options.endpoint = "127.0.0.1:0";
    auto opened = net::Listener::Open(
        loop, options, credit, [this](net::Request&& request, net::Responder responder) {
          paths.push_back(request.path);
          authorization = request.Header("authorization");
          host = request.Header("host");
          type = request.Header("content-type");
          net::Response response = answer ? answer(request) : net::Response{};
          if (response.status == 200) {
            if (request.path == "/v1/traces")
              for (uint64_t id : SpanIds(request.body.view())) ids.insert(id);
            if (response.content_type.empty()) response.content_type = "application/x-protobuf";
          }
          responder.Send(std::move(response));
        });
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) listener = *std::move(opened);
  }
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(listener->port()); }

  base::ByteCredit credit;
  std::unique_ptr<net::Listener> listener;
  std::function<net::Response(const net::Request&)> answer;
  std::vector<std::string> paths;
  std::string authorization, type, host;
  std::multiset<uint64_t> ids;
};

struct Agent {
  Agent(net::EventLoop& l, Options options) : loop(l) {
    options.protocol = "http";
    options.flush_milliseconds = 5;
    auto opened = Open(loop, std::move(options), {row, metrics, clock});
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) exporter = *std::move(opened);
  }
  bool Settle() {
    bool settled = false;
    auto poll = loop.RunEvery(milliseconds(5), [&] {
      if (!exporter->idle()) return;
      settled = true;
      loop.Stop();
    });
    auto limit = loop.RunAfter(seconds(20), [&] { loop.Stop(); });
    loop.Run();
    loop.Cancel(poll);
    loop.Cancel(limit);
    return settled;
  }

  net::EventLoop& loop;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  base::SystemClock clock;
  std::unique_ptr<Collector> exporter;
};

TEST(CollectorOverHttp, EverySpanArrivesOnceCompressedOrNot) {
  for (const char* compression : {"none", "gzip", "zstd"}) {
    net::EventLoop loop;
    HttpPeer peer(loop);
    Agent agent(loop, {.endpoint = peer.endpoint(), .compression = compression});
    for (uint64_t i = 0; i < 10; ++i) (void)agent.exporter->Push(MakeSpans(1 + 500 * i, 500, 400));
    ASSERT_TRUE(agent.Settle()) << compression;
    EXPECT_EQ(peer.ids.size(), 5000u);
    EXPECT_EQ(std::set<uint64_t>(peer.ids.begin(), peer.ids.end()).size(), 5000u);
    EXPECT_EQ(peer.paths[0], "/v1/traces");
    EXPECT_EQ(peer.type, "application/x-protobuf");
    EXPECT_EQ(agent.row.out(), 5000u);
  }
}

TEST(CollectorOverHttp, EachSignalHasItsPathBehindTheEndpointsOwn) {
  net::EventLoop loop;
  HttpPeer peer(loop);
  Agent agent(loop, {.endpoint = peer.endpoint() + "/otlp", .logs_path = "/my/logs"});
  for (auto signal : {model::Signal::kMetrics, model::Signal::kLogs, model::Signal::kProfiles}) {
    model::OtlpBatch batch;
    base::ByteBuffer bytes;
    bytes.Append(Bytes(1, "x"));
    batch.bytes = base::Share(std::move(bytes));
    batch.signal = signal;
    batch.items = 1;
    (void)agent.exporter->Push(std::move(batch));
  }
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(
      std::set<std::string>(peer.paths.begin(), peer.paths.end()),
      (std::set<std::string>{"/otlp/v1/metrics", "/otlp/my/logs", "/otlp/v1development/profiles"}));
}

TEST(CollectorOverHttp, F6_UnavailableIsRepeatedUntilTaken) {
  net::EventLoop loop;
  HttpPeer peer(loop);
  int refusals = 2;
  peer.answer = [&](const net::Request&) {
    net::Response response;
    if (refusals-- > 0) response.status = 503;
    return response;
  };
  Agent agent(loop, {.endpoint = peer.endpoint()});
  (void)agent.exporter->Push(MakeSpans(1, 50));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(peer.ids.size(), 50u);
  EXPECT_EQ(agent.row.out(), 50u);
}

TEST(CollectorOverHttp, F12_TooLargeIsHalvedUntilItFits) {
  net::EventLoop loop;
  HttpPeer peer(loop);
  peer.answer = [&](const net::Request& request) {
    net::Response response;
    if (request.body.size() > 50'000) response.status = 413;
    return response;
  };
  Agent agent(loop, {.endpoint = peer.endpoint()});
  (void)agent.exporter->Push(MakeSpans(1, 1000, 300));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(peer.ids.size(), 1000u);
  EXPECT_EQ(agent.row.lost_total(), 0u);
}

TEST(CollectorOverHttp, F11_APageOfSomeProxyIsNoSuccess) {
  net::EventLoop loop;
  HttpPeer peer(loop);
  peer.answer = [&](const net::Request&) {
    net::Response response;
    response.content_type = "text/html";
    response.body = "<html>welcome</html>";
    return response;
  };
  Agent agent(loop, {.endpoint = peer.endpoint()});
  (void)agent.exporter->Push(MakeSpans(1, 3));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(agent.row.lost_total(), 3u);
}

TEST(CollectorOverHttp, F11_AnAnswerThatIsTooLargeIsCountedAndNotAskedForAgain) {
  net::EventLoop loop;
  HttpPeer peer(loop);
  peer.answer = [&](const net::Request&) {
    net::Response response;
    response.body.assign((4 << 20) + 1, '\0');
    return response;
  };
  Agent agent(loop, {.endpoint = peer.endpoint()});
  (void)agent.exporter->Push(MakeSpans(1, 3));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(peer.paths.size(), 1u);
  EXPECT_EQ(agent.row.lost_total(), 3u);
}

TEST(CollectorOverHttp, F9_ARotatedTokenIsUsedAtOnce) {
  const std::string path = (std::filesystem::temp_directory_path() / "weft_token_XXXXXX").string() +
                           std::to_string(::getpid());
  std::ofstream(path) << "old\n";
  net::EventLoop loop;
  HttpPeer peer(loop);
  peer.answer = [&](const net::Request& request) {
    net::Response response;
    if (request.Header("authorization") != "Bearer new") {
      response.status = 401;
      std::ofstream(path) << "new\n";
    }
    return response;
  };
  Agent agent(loop, {.endpoint = peer.endpoint(), .bearer_token_file = path});
  (void)agent.exporter->Push(MakeSpans(1, 3));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(peer.authorization, "Bearer new");
  EXPECT_EQ(agent.row.out(), 3u);
  std::filesystem::remove(path);
}

TEST(BearerToken, AFileWithoutATokenKeepsTheLastOne) {
  const std::string path = (std::filesystem::temp_directory_path() / "weft_token_").string() +
                           std::to_string(::getpid());
  ScriptedPeer peer;
  std::ofstream(path) << "  abc \n";
  auto transport = WithBearerToken(std::make_unique<ScriptedTransport>(peer), path, peer.clock);
  EXPECT_EQ(peer.headers["authorization"], "Bearer abc");
  for (const char* useless : {"", "\n", "two words\n", "a\tb\n"}) {
    std::ofstream(path) << useless;
    peer.clock.Advance(11'000'000'000);
    transport->Call(model::Signal::kTraces, {}, "", [](CallReply&&) {});
    EXPECT_EQ(peer.headers["authorization"], "Bearer abc");
  }
  std::ofstream(path) << "def";
  peer.clock.Advance(11'000'000'000);
  transport->Call(model::Signal::kTraces, {}, "", [](CallReply&&) {});
  EXPECT_EQ(peer.headers["authorization"], "Bearer def");
  std::filesystem::remove(path);
}

// A pipe that nobody writes to would stop the data thread for ever, a device fill the memory.
TEST(BearerToken, OnlyARegularFileOfModestSizeIsRead) {
  const std::string path = (std::filesystem::temp_directory_path() / "weft_token_pipe_").string() +
                           std::to_string(::getpid());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(ReadToken(path), "");
  std::filesystem::remove(path);
  EXPECT_EQ(ReadToken("/dev/zero"), "");
  EXPECT_EQ(ReadToken("/"), "");
  std::ofstream(path) << std::string(16 << 10, 'a') << "\nsecond line";
  EXPECT_EQ(ReadToken(path).size(), 16u << 10);
  std::ofstream(path) << std::string((16 << 10) + 1, 'a') << "\n";
  EXPECT_EQ(ReadToken(path), "");
  std::filesystem::remove(path);
}

TEST(CollectorOpen, F13_TlsFilesWithoutTlsAreRefused) {
  net::EventLoop loop;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  base::SystemClock clock;
  EXPECT_FALSE(
      Open(loop, {.endpoint = "h:1", .tls_ca_file = "ca.pem"}, {row, metrics, clock}).ok());
  EXPECT_FALSE(
      Open(loop, {.endpoint = "https://h:1", .tls_cert_file = "c"}, {row, metrics, clock}).ok());
  EXPECT_FALSE(Open(loop, {}, {row, metrics, clock}).ok());
  EXPECT_TRUE(
      Open(loop, {.endpoint = "https+dns://h:1", .tls_ca_file = "ca.pem"}, {row, metrics, clock})
          .ok());
  // A slip in the scheme must not send in plaintext.
  for (const char* endpoint : {"htps://h:1", "HTTPS://h:1", "tls://h:1", "http+dns://h:1"})
    EXPECT_FALSE(Open(loop, {.endpoint = endpoint}, {row, metrics, clock}).ok()) << endpoint;
}

TEST(CollectorOpen, F14_ANameBehindDnsIsResolvedIntoItsAddresses) {
  net::EventLoop loop;
  HttpPeer peer(loop);
  const std::string name = "localhost:" + std::to_string(peer.listener->port());
  Agent agent(loop, {.endpoints = {"dns://" + name}});
  (void)agent.exporter->Push(MakeSpans(1, 3));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(peer.ids.size(), 3u);
  // What routes by name is to find it.
  EXPECT_EQ(peer.host, name);
}

}  // namespace
}  // namespace weft::exporters::collector
