#include "sources/zipkin/zipkin.h"

#include <gtest/gtest.h>

#include "base/inflate.h"
#include "sources/http_exchange.h"

namespace weft::sources::zipkin {
namespace {

constexpr char kSpan2[] = R"([{"traceId":"5982fe77008310cc","id":"67fae42571535f60","name":"n"}])";
constexpr char kSpan1[] =
    R"([{"traceId":"5982fe77008310cc","id":"67fae42571535f60","annotations":[{"timestamp":5,)"
    R"("value":"sr"}]}])";

class ZipkinReceiver : public ::testing::Test {
 protected:
  void SetUp() override {
    Options options;
    options.endpoint = "127.0.0.1:0";
    receiver_ =
        std::make_unique<Receiver>(options,
                                   otlp::Deps{world_.loop, world_.credit, world_.clock,
                                              world_.ledger, world_.metrics, nullptr, nullptr},
                                   world_.sink);
    const base::Status started = receiver_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  HttpAnswer Post(const std::string& path, const std::string& headers, const std::string& body) {
    return world_.Http(receiver_->port(), "POST " + path + " HTTP/1.1" + headers, body);
  }
  TestWorld world_;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(ZipkinReceiver, Version2JsonIsTakenWith202AndAnEmptyBody) {
  const HttpAnswer answer = Post("/api/v2/spans", "\r\nContent-Type: application/json", kSpan2);
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "");
  ASSERT_EQ(world_.sink.spans, 1u);
  EXPECT_EQ(world_.sink.batches[0].spans[0].trace_id.Hex(), "00000000000000005982fe77008310cc");
  EXPECT_EQ(world_.Value("otelcol_receiver_accepted_spans_total",
                         {{"receiver", "zipkin"}, {"transport", "http_v2_json"}}),
            1);
}

TEST_F(ZipkinReceiver, ThePathAndTheContentTypeGiveTheFormat) {
  EXPECT_EQ(Post("/api/v1/spans", "", kSpan1).status, 202);
  EXPECT_EQ(world_.sink.batches.at(0).spans.at(0).kind, model::SpanKind::kServer);
  EXPECT_EQ(Post("/any/path", "", kSpan2).status, 202);  // as the Collector's receiver has it
  const std::string proto("\x0a\x06\x0a\x01\x01\x1a\x01\x01", 8);
  EXPECT_EQ(Post("/api/v2/spans", "\r\nContent-Type: application/x-protobuf", proto).status, 202);
  const std::string thrift(
      "\x0c\0\0\0\x01\x0a\0\x01\0\0\0\0\0\0\0\x01\x0a\0\x04\0\0\0\0\0\0\0\x01\0", 28);
  EXPECT_EQ(Post("/api/v1/spans", "\r\nContent-Type: application/x-thrift", thrift).status, 202);
  EXPECT_EQ(world_.sink.spans, 4u);
}

TEST_F(ZipkinReceiver, CompressedBodiesAreTaken) {
  base::ByteBuffer zipped;
  ASSERT_TRUE(base::Deflate(base::Compression::kGzip, base::AsBytes(kSpan2), &zipped).ok());
  EXPECT_EQ(
      Post("/api/v2/spans", "\r\nContent-Encoding: gzip", std::string(base::AsText(zipped.view())))
          .status,
      202);
  EXPECT_EQ(world_.sink.spans, 1u);
}

TEST_F(ZipkinReceiver, WhatIsBadIsRefusedForGoodAndWhatFindsNoRoomForNow) {
  const HttpAnswer bad = Post("/api/v2/spans", "", "{}");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.body, "not a JSON array of spans\n");
  world_.sink.is_busy = true;
  const HttpAnswer busy = Post("/api/v2/spans", "", kSpan2);
  EXPECT_EQ(busy.status, 503);
  EXPECT_NE(busy.head.find("etry-"), std::string::npos);
  EXPECT_EQ(world_.Http(receiver_->port(), "GET /api/v2/spans HTTP/1.1").status, 405);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
  EXPECT_EQ(world_.credit.used(), 0u);
}

// F39
TEST_F(ZipkinReceiver, SpansWithoutIdsAreCountedAndTheOthersTaken) {
  EXPECT_EQ(Post("/api/v2/spans", "", R"([{"id":"1"},{"traceId":"1","id":"1"}])").status, 202);
  EXPECT_EQ(world_.sink.spans, 1u);
  EXPECT_EQ(world_.Value("otelcol_receiver_refused_spans_total",
                         {{"receiver", "zipkin"}, {"transport", "http_v2_json"}}),
            1);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
}

TEST_F(ZipkinReceiver, CreditIsThatOfTheOtlpBytesUntilTheBatchIsGone) {
  Post("/api/v2/spans", "", kSpan2);
  EXPECT_EQ(world_.credit.used(), world_.sink.batches.at(0).bytes->size());
  world_.sink.batches.clear();
  EXPECT_EQ(world_.credit.used(), 0u);
}

TEST_F(ZipkinReceiver, APortOfAnotherProgramIsAnErrorThatSaysWhatToDo) {
  Options options;
  options.endpoint = "127.0.0.1:" + std::to_string(receiver_->port());
  Receiver second(options,
                  otlp::Deps{world_.loop, world_.credit, world_.clock, world_.ledger,
                             world_.metrics, nullptr, nullptr},
                  world_.sink);
  const std::string text(second.Start().message());
  EXPECT_NE(text.find("receivers.zipkin"), std::string::npos) << text;
  EXPECT_NE(text.find(options.endpoint), std::string::npos) << text;
  EXPECT_NE(text.find("another program"), std::string::npos) << text;
}

}  // namespace
}  // namespace weft::sources::zipkin
