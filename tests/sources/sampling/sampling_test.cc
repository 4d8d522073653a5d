#include "sources/sampling/sampling.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "net/grpc_channel.h"
#include "net/listener.h"
#include "protocols/jaeger/sampling.h"
#include "sources/http_exchange.h"

namespace weft::sources::sampling {
namespace {

namespace jaeger = protocols::jaeger;
constexpr char kMethod[] = "/jaeger.api_v2.SamplingManager/GetSamplingStrategy";
constexpr char kHalf[] =
    R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.5}})";

class SamplingServer : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(::testing::TempDir()) /
            ("strategies_" + std::to_string(getpid()) + ".json");
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void Write(const std::string& text) { std::ofstream(path_, std::ios::trunc) << text; }
  base::Status Open(Options options = {}) {
    options.endpoint = "127.0.0.1:0";
    server_ = std::make_unique<Server>(
        options, otlp::Deps{world_.loop, world_.credit, world_.clock, world_.ledger, world_.metrics,
                            nullptr, nullptr});
    return server_->Start();
  }
  HttpAnswer Get(const std::string& target) {
    return world_.Http(server_->port(), "GET " + target + " HTTP/1.1");
  }
  // A collector that says 0.5 to everybody, after a moment; counts its calls.
  void OpenCollector() {
    auto opened = net::Listener::Open(
        world_.loop, {.endpoint = "127.0.0.1:0"}, world_.credit,
        [this](net::Request&& request, net::Responder responder) {
          ++calls_;
          net::Response response;
          std::string service;
          EXPECT_EQ(request.path, kMethod);
          EXPECT_TRUE(jaeger::ReadSamplingParameters(request.body.view(), &service));
          EXPECT_EQ(service, "shop 1");
          jaeger::SamplingStrategy strategy;
          strategy.rate = 0.5;
          base::ByteBuffer bytes;
          jaeger::AppendSamplingProto(strategy, &bytes);
          response.body = base::AsText(bytes.view());
          if (fails_) response.grpc_status = net::kGrpcUnavailable;
          auto later = std::make_shared<net::Responder>(std::move(responder));
          world_.loop.RunAfter(std::chrono::milliseconds(20),
                               [later, response]() mutable { later->Send(std::move(response)); });
        });
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    collector_ = std::move(*opened);
  }

  std::filesystem::path path_;
  TestWorld world_;
  std::unique_ptr<net::Listener> collector_;
  int calls_ = 0;
  bool fails_ = false;
  std::unique_ptr<Server> server_;
};

TEST_F(SamplingServer, WithoutAFileItIsOneInAThousand) {
  ASSERT_TRUE(Open().ok());
  const HttpAnswer answer = Get("/sampling?service=x");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.001}})");
  EXPECT_NE(answer.head.find("application/json"), std::string::npos);
  EXPECT_EQ(Get("/?service=x").body,
            R"({"strategyType":0,"probabilisticSampling":{"samplingRate":0.001}})");
  EXPECT_EQ(world_.Value("jaeger_agent_http_server_requests_total", {{"type", "sampling-legacy"}}),
            1);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

TEST_F(SamplingServer, ExactlyOneServiceMustBeNamed) {
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Get("/sampling").status, 400);
  EXPECT_EQ(Get("/sampling?service=").status, 400);
  EXPECT_EQ(Get("/sampling?service=a&service=b").status, 400);
  EXPECT_EQ(Get("/sampling?x=1&service=a").status, 200);
  EXPECT_EQ(Get("/elsewhere?service=a").status, 404);
  EXPECT_EQ(Get("/baggageRestrictions?service=a").status, 501);
  EXPECT_EQ(world_.Http(server_->port(), "POST /sampling?service=a HTTP/1.1").status, 405);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

TEST_F(SamplingServer, TheFileIsReadAgainWhenItChangesAndABadOneChangesNothing) {
  Options options;
  options.strategies_file = path_;
  EXPECT_FALSE(Open(options).ok());  // there is none
  Write("nonsense");
  const base::Status bad = Open(options);
  EXPECT_NE(std::string(bad.message()).find("receivers.sampling.strategies_file"),
            std::string::npos);
  Write(R"({"default_strategy":{"type":"probabilistic","param":0.5}})");
  options.reload_seconds = 1;
  ASSERT_TRUE(Open(options).ok());
  EXPECT_EQ(Get("/sampling?service=x").body, kHalf);
  const auto after_a_look = [this] {
    world_.loop.RunAfter(std::chrono::milliseconds(1'300), [this] { world_.loop.Stop(); });
    world_.loop.Run();
  };
  Write("{");
  after_a_look();
  EXPECT_EQ(Get("/sampling?service=x").body, kHalf);
  EXPECT_EQ(world_.Value("weft_sources_sampling_reload_failures_total", {}), 1);
  Write(R"({"service_strategies":[{"service":"x","type":"ratelimiting","param":3}]})");
  after_a_look();
  EXPECT_EQ(Get("/sampling?service=x").body,
            R"({"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":3}})");
}

TEST_F(SamplingServer, ACollectorIsAskedOnceForAllWhoWaitAndRemembered) {
  OpenCollector();
  Options options;
  options.collector_endpoint = "127.0.0.1:" + std::to_string(collector_->port());
  ASSERT_TRUE(Open(options).ok());
  std::string first, second;
  world_.Serve([&] {
    std::thread other([&] {
      second = Exchange(server_->port(), "GET /sampling?service=shop%201 HTTP/1.1").body;
    });
    first = Exchange(server_->port(), "GET /sampling?service=shop+1 HTTP/1.1").body;
    other.join();
  });
  EXPECT_EQ(first, kHalf);
  EXPECT_EQ(second, kHalf);
  EXPECT_EQ(Get("/sampling?service=shop+1").body, kHalf);
  EXPECT_EQ(calls_, 1);
  EXPECT_EQ(world_.Value("jaeger_agent_collector_proxy_total",
                         {{"result", "ok"}, {"endpoint", "sampling"}}),
            1);
  world_.clock.Advance(61'000'000'000);
  fails_ = true;  // what is remembered serves a while longer
  EXPECT_EQ(Get("/sampling?service=shop+1").body, kHalf);
  EXPECT_EQ(calls_, 2);
  world_.clock.Advance(300'000'000'000);
  EXPECT_EQ(Get("/sampling?service=shop+1").status, 500);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

// Both questions come in one segment: the second is read while the first is being answered.
TEST_F(SamplingServer, APipelinedQuestionSurvivesTheFailureOfTheOneBeforeIt) {
  OpenCollector();
  fails_ = true;
  Options options;
  options.collector_endpoint = "127.0.0.1:" + std::to_string(collector_->port());
  ASSERT_TRUE(Open(options).ok());
  const HttpAnswer both =
      Get("/sampling?service=shop+1 HTTP/1.1\r\nHost: x\r\n\r\nGET /sampling?service=shop+1");
  EXPECT_EQ(both.status, 500);
  const size_t second = both.body.find("HTTP/1.1 500");
  ASSERT_NE(second, std::string::npos) << both.body;
  EXPECT_NE(both.body.find("does not answer", second), std::string::npos) << both.body;
  world_.loop.RunAfter(std::chrono::milliseconds(100), [this] { world_.loop.Stop(); });
  world_.loop.Run();  // what the collector still has to say finds nobody
  EXPECT_EQ(calls_, 2);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

TEST_F(SamplingServer, ANameWithoutEndIsRefusedBeforeItIsRemembered) {
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(Get("/sampling?service=" + std::string(Server::kMaxNameBytes, 'x')).status, 200);
  EXPECT_EQ(Get("/sampling?service=" + std::string(Server::kMaxNameBytes + 1, 'x')).status, 400);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

TEST_F(SamplingServer, TheServiceForOtherPortsAnswersGrpc) {
  ASSERT_TRUE(Open().ok());
  auto port = net::Listener::Open(world_.loop, {.endpoint = "127.0.0.1:0"}, world_.credit,
                                  server_->service());
  ASSERT_TRUE(port.ok());
  net::GrpcChannel::Options options;
  options.endpoint = "127.0.0.1:" + std::to_string((*port)->port());
  net::GrpcChannel channel(world_.loop, options);
  base::ByteBuffer question;
  jaeger::AppendSamplingParameters("x", &question);
  base::Gathered payload;
  payload.Add(question.view());
  net::GrpcReply result;
  channel.Call(kMethod, std::move(payload), "", [&](net::GrpcReply&& reply) {
    result = std::move(reply);
    world_.loop.Stop();
  });
  world_.loop.Run();
  ASSERT_EQ(result.status, 0) << result.message;
  jaeger::SamplingStrategy strategy;
  ASSERT_TRUE(jaeger::ReadSamplingProto(result.body.view(), &strategy));
  EXPECT_EQ(strategy.rate, 0.001);
}

}  // namespace
}  // namespace weft::sources::sampling
