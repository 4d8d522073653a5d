#include "sources/jaeger_grpc/jaeger_grpc.h"

#include <gtest/gtest.h>

#include <random>

#include "net/grpc_channel.h"
#include "protocols/otlp/write.h"
#include "sources/http_exchange.h"

namespace weft::sources::jaeger_grpc {
namespace {

constexpr char kPostSpans[] = "/jaeger.api_v2.CollectorService/PostSpans";

// A PostSpansRequest.
std::string Batch(int spans) {
  base::ByteBuffer bytes;
  protocols::otlp::Writer w(bytes);
  const size_t batch = w.Begin(1);
  for (int i = 0; i < spans; ++i) {
    const size_t span = w.Begin(1);
    w.Text(1, std::string(15, '\0') + '\1');
    w.Text(2, std::string(7, '\0') + static_cast<char>(i % 100 + 1));
    w.Text(3, "op");
    w.End(span);
  }
  w.End(batch);
  return std::string(base::AsText(bytes.view()));
}

class JaegerGrpc : public ::testing::Test {
 protected:
  void Open(net::Service other_methods = {}) {
    Options options;
    options.endpoint = "127.0.0.1:0";
    receiver_ = std::make_unique<Receiver>(
        options,
        Deps{{world_.loop, world_.credit, world_.clock, world_.ledger, world_.metrics, nullptr, {}},
             std::move(other_methods)},
        world_.sink);
    const base::Status started = receiver_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  net::GrpcReply Call(const std::string& path, const std::string& message) {
    net::GrpcReply result;
    net::GrpcChannel::Options options;
    options.endpoint = "127.0.0.1:" + std::to_string(receiver_->port());
    net::GrpcChannel channel(world_.loop, options);
    base::Gathered payload;
    payload.Add(base::AsBytes(message));
    channel.Call(path, std::move(payload), "", [&](net::GrpcReply&& reply) {
      result = std::move(reply);
      world_.loop.Stop();
    });
    world_.loop.Run();
    return result;
  }
  TestWorld world_;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(JaegerGrpc, PostSpansIsTakenWithAnEmptyAnswer) {
  Open();
  const net::GrpcReply reply = Call(kPostSpans, Batch(3));
  EXPECT_EQ(reply.status, 0) << reply.message;
  EXPECT_TRUE(reply.body.empty());
  EXPECT_EQ(world_.sink.spans, 3u);
  EXPECT_EQ(world_.Value("otelcol_receiver_accepted_spans_total",
                         {{"receiver", "jaeger"}, {"transport", "grpc"}}),
            3);
}

TEST_F(JaegerGrpc, WhatIsBadIsRefusedForGoodAndWhatFindsNoRoomForNow) {
  Open();
  EXPECT_EQ(Call(kPostSpans, Batch(3).substr(0, 30)).status, 3);
  EXPECT_EQ(Call("/jaeger.api_v2.CollectorService/Other", "").status, 12);
  EXPECT_EQ(world_.Http(receiver_->port(), "POST /api/traces HTTP/1.1").status, 404);
  world_.sink.is_busy = true;
  const net::GrpcReply busy = Call(kPostSpans, Batch(1));
  EXPECT_EQ(busy.status, 14);
  ASSERT_TRUE(busy.retry_delay.has_value());
  EXPECT_EQ(*busy.retry_delay, otlp::Intake::kShortestRetry);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
  EXPECT_EQ(world_.credit.used(), 0u);
}

TEST_F(JaegerGrpc, OtherMethodsGoToWhoServesThem) {
  Open([](net::Request&& request, net::Responder responder) {
    net::Response response;
    response.body = request.path;
    responder.Send(std::move(response));
  });
  EXPECT_EQ(
      base::AsText(Call("/jaeger.api_v2.SamplingManager/GetSamplingStrategy", "").body.view()),
      "/jaeger.api_v2.SamplingManager/GetSamplingStrategy");
}

TEST_F(JaegerGrpc, UnderLoadWithAMoodySinkEverySpanIsAccounted) {
  Open();
  std::mt19937 random(7);
  constexpr int kCalls = 300;
  const std::string message = Batch(5);
  int taken = 0, busy = 0, open = kCalls;
  net::GrpcChannel::Options options;
  options.endpoint = "127.0.0.1:" + std::to_string(receiver_->port());
  options.max_in_flight = 16;
  net::GrpcChannel channel(world_.loop, options);
  for (int i = 0; i < kCalls; ++i) {
    base::Gathered payload;
    payload.Add(base::AsBytes(message));
    channel.Call(kPostSpans, std::move(payload), "", [&](net::GrpcReply&& reply) {
      taken += reply.status == 0;
      busy += reply.status == 14;
      world_.sink.is_busy = random() % 3 == 0;
      if (--open == 0) world_.loop.Stop();
    });
  }
  world_.loop.Run();
  EXPECT_EQ(taken + busy, kCalls);
  EXPECT_GT(busy, 0);
  EXPECT_EQ(world_.sink.spans, static_cast<uint64_t>(taken) * 5);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

}  // namespace
}  // namespace weft::sources::jaeger_grpc
