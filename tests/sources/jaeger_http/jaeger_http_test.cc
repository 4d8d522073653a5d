#include "sources/jaeger_http/jaeger_http.h"

#include <gtest/gtest.h>

#include "protocols/jaeger/datagram.h"
#include "sources/http_exchange.h"

namespace weft::sources::jaeger_http {
namespace {

namespace jaeger = protocols::jaeger;

// The Batch without the call around it: behind the head (21 bytes) and the argument's field, before
// the stop of the arguments.
std::string Batch(int spans) {
  jaeger::TestBatch batch;
  batch.spans.assign(static_cast<size_t>(spans), jaeger::TestSpan{});
  const std::string call = jaeger::MakeDatagram(jaeger::Encoding::kBinary, batch);
  return call.substr(24, call.size() - 25);
}

class JaegerHttp : public ::testing::Test {
 protected:
  void Open(net::Service other_paths = {}) {
    Options options;
    options.endpoint = "127.0.0.1:0";
    receiver_ = std::make_unique<Receiver>(
        options,
        Deps{{world_.loop, world_.credit, world_.clock, world_.ledger, world_.metrics, nullptr, {}},
             std::move(other_paths)},
        world_.sink);
    const base::Status started = receiver_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  HttpAnswer Post(const std::string& type, const std::string& body) {
    return world_.Http(receiver_->port(),
                       "POST /api/traces?format=jaeger.thrift HTTP/1.1\r\nContent-Type: " + type,
                       body);
  }
  TestWorld world_;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(JaegerHttp, ABatchIsTakenUnderBothContentTypes) {
  Open();
  const HttpAnswer answer = Post("application/x-thrift", Batch(2));
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(Post("application/vnd.apache.thrift.binary; charset=x", Batch(1)).status, 202);
  EXPECT_EQ(world_.sink.spans, 3u);
  EXPECT_EQ(world_.Value("otelcol_receiver_accepted_spans_total",
                         {{"receiver", "jaeger"}, {"transport", "collector_http"}}),
            3);
}

// The Node client sends chunks.
TEST_F(JaegerHttp, ChunkedBodiesAreTaken) {
  Open();
  const std::string batch = Batch(1);
  char size[16];
  std::snprintf(size, sizeof size, "%zx", batch.size());
  HttpAnswer answer;
  world_.Serve([&] {
    // Exchange adds a Content-Length, so that the head ends early here and the rest is the body.
    const std::string head =
        "POST /api/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: "
        "application/x-thrift\r\nTransfer-Encoding: chunked\r\n\r\n" +
        std::string(size) + "\r\n" + batch + "\r\n0\r\n\r\n";
    answer = Exchange(receiver_->port(), head);
  });
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(world_.sink.spans, 1u);
}

TEST_F(JaegerHttp, WhatIsBadIsRefusedForGoodAndWhatFindsNoRoomForNow) {
  Open();
  EXPECT_EQ(Post("application/json", "{}").status, 400);
  EXPECT_EQ(Post("application/x-thrift", Batch(1).substr(0, 20)).status, 400);
  EXPECT_EQ(world_.Http(receiver_->port(), "GET /api/traces HTTP/1.1").status, 405);
  EXPECT_EQ(world_.Http(receiver_->port(), "POST /elsewhere HTTP/1.1").status, 404);
  world_.sink.is_busy = true;
  const HttpAnswer busy = Post("application/x-thrift", Batch(1));
  EXPECT_EQ(busy.status, 503);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
  EXPECT_EQ(world_.credit.used(), 0u);
}

TEST_F(JaegerHttp, OtherPathsGoToWhoServesThem) {
  Open([](net::Request&& request, net::Responder responder) {
    net::Response response;
    response.body = request.path + "?" + request.query;
    responder.Send(std::move(response));
  });
  EXPECT_EQ(world_.Http(receiver_->port(), "GET /api/sampling?service=x HTTP/1.1").body,
            "/api/sampling?service=x");
}

}  // namespace
}  // namespace weft::sources::jaeger_http
