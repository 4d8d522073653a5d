#include "exporters/kafka/kafka.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "exporters/kafka/scripted_producer.h"
#include "exporters/otlp_request.h"

namespace weft::exporters::kafka {
namespace {

using model::PushResult;
using model::ReceiptLevel;

struct Bench {
  explicit Bench(Options options = {}) {
    exporter = std::make_unique<Kafka>(std::move(options), Deps{row, metrics, broker.clock},
                                       std::make_unique<ScriptedProducer>(broker));
  }
  void SettleAll(Delivery delivery) {
    while (!broker.open.empty()) broker.Report(0, delivery);
    exporter->Poll();
  }

  ScriptedBroker broker;
  base::LedgerRow row{"exporter kafka", "spans"};
  base::MetricRegistry metrics;
  std::unique_ptr<Kafka> exporter;
};

model::OtlpBatch TwoTraces() {
  return MakeBatch("svc",
                   {{.trace = 1, .span = 1}, {.trace = 2, .span = 2}, {.trace = 1, .span = 3}});
}

TEST(Kafka, ABatchBecomesAMessageForEachTraceKeyedByItsId) {
  Bench bench;
  ASSERT_EQ(bench.exporter->Push(TwoTraces()), PushResult::kTaken);
  ASSERT_EQ(bench.broker.open.size(), 2u);
  EXPECT_EQ(bench.broker.open[0].topic, "otlp_spans");
  EXPECT_EQ(bench.broker.open[0].key, MakeId<16>(1).Hex());
  EXPECT_THAT(SpanIds(base::AsBytes(bench.broker.open[0].payload)), ::testing::ElementsAre(1, 3));
  EXPECT_EQ(bench.broker.open[1].key, MakeId<16>(2).Hex());
  EXPECT_THAT(SpanIds(base::AsBytes(bench.broker.open[1].payload)), ::testing::ElementsAre(2));
}

// Every message repeats the resource: a large one with many traces must not multiply without end.
TEST(Kafka, ABatchThatUnfoldsBeyondTheQueueIsCutAndCounted) {
  for (const char* encoding : {"otlp_proto", "jaeger_proto"}) {
    Bench bench({.encoding = encoding, .queue_bytes = 1 << 20});
    std::vector<TestSpan> spans;
    for (uint64_t i = 1; i <= 1000; ++i) spans.push_back({.trace = i, .span = i});
    auto batch = MakeBatch(std::string(100'000, 's'), spans);
    auto receipt = batch.receipt = std::make_shared<model::Receipt>(nullptr, 0);
    ASSERT_EQ(bench.exporter->Push(std::move(batch)), PushResult::kTaken);
    EXPECT_GT(bench.broker.open.size(), 5u) << encoding;
    EXPECT_LT(bench.broker.open.size(), 20u) << encoding;
    bench.SettleAll(Delivery::kDelivered);
    EXPECT_EQ(receipt->failure(), model::ReceiptFailure::kRejected);
    EXPECT_EQ(bench.row.out() + bench.row.lost_total(), 1000u);
    EXPECT_TRUE(bench.row.Balanced());
  }
}

TEST(Kafka, AsManyTracesAsSpansAreNoWorkOfTheirSquare) {
  Bench bench;
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 100'000; ++i) spans.push_back({.trace = i, .span = i});
  ASSERT_EQ(bench.exporter->Push(MakeBatch("svc", spans)), PushResult::kTaken);
  EXPECT_EQ(bench.broker.open.size(), 100'000u);
}

TEST(Kafka, TheReceiptIsDeliveredByTheLastAcknowledgement) {
  Bench bench;
  auto batch = TwoTraces();
  auto receipt = batch.receipt = std::make_shared<model::Receipt>(nullptr, 0);
  (void)bench.exporter->Push(std::move(batch));
  bench.broker.Report(0, Delivery::kDelivered);
  bench.exporter->Poll();
  EXPECT_NE(receipt->level(), ReceiptLevel::kDelivered);
  EXPECT_EQ(bench.row.out(), 2u);
  bench.SettleAll(Delivery::kDelivered);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
  EXPECT_EQ(bench.row.out(), 3u);
  EXPECT_TRUE(bench.exporter->idle());
  EXPECT_EQ(bench.exporter->held_bytes(), 0u);
}

TEST(Kafka, AMessageRefusedForGoodIsCountedAndFailsTheReceipt) {
  Bench bench;
  auto batch = TwoTraces();
  auto receipt = batch.receipt = std::make_shared<model::Receipt>(nullptr, 0);
  (void)bench.exporter->Push(std::move(batch));
  bench.broker.Report(0, Delivery::kRefused);
  bench.SettleAll(Delivery::kDelivered);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kFailed);
  EXPECT_EQ(receipt->failure(), model::ReceiptFailure::kRejected);
  EXPECT_EQ(bench.row.out(), 1u);
  EXPECT_EQ(bench.row.lost_total(), 2u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Kafka, WhatTheBrokersDoNotTakeNowIsSentAgainAfterAPause) {
  Bench bench;
  (void)bench.exporter->Push(TwoTraces());
  bench.SettleAll(Delivery::kLater);
  bench.exporter->Poll();
  EXPECT_TRUE(bench.broker.open.empty());
  bench.broker.clock.Advance(1'000'000'001);
  bench.exporter->Poll();
  EXPECT_EQ(bench.broker.open.size(), 2u);
  bench.SettleAll(Delivery::kDelivered);
  EXPECT_EQ(bench.row.out(), 3u);
}

TEST(Kafka, WithoutRoomInTheLibraryMessagesWait) {
  Bench bench;
  bench.broker.room = 1;
  (void)bench.exporter->Push(TwoTraces());
  ASSERT_EQ(bench.broker.open.size(), 1u);
  bench.SettleAll(Delivery::kDelivered);
  ASSERT_EQ(bench.broker.open.size(), 1u);
  bench.SettleAll(Delivery::kDelivered);
  EXPECT_EQ(bench.row.out(), 3u);
}

TEST(Kafka, AFullQueueIsBusyOrShedsAsConfigured) {
  for (bool shed : {false, true}) {
    Bench bench({.queue_bytes = 64 << 10, .shed_when_full = shed});
    PushResult last = PushResult::kTaken;
    uint64_t pushed = 0;
    for (; pushed < 200 && last == PushResult::kTaken; ++pushed)
      last = bench.exporter->Push(MakeSpans(1 + pushed * 10, 10, 100));
    EXPECT_EQ(last, shed ? PushResult::kTaken : PushResult::kBusy);
    EXPECT_EQ(bench.row.lost_total() > 0, shed);
    EXPECT_LE(bench.exporter->held_bytes(), 80u << 10);
    EXPECT_TRUE(bench.row.Balanced());
  }
}

TEST(Kafka, ATraceOverTheMessageLimitGoesSpanBySpan) {
  Bench bench({.max_message_bytes = 4096});
  (void)bench.exporter->Push(MakeSpans(1, 20, 300));
  ASSERT_EQ(bench.broker.open.size(), 20u);
  std::set<uint64_t> ids;
  for (const auto& sent : bench.broker.open) {
    EXPECT_EQ(sent.key, MakeId<16>(7).Hex());
    ids.insert(SpanIds(base::AsBytes(sent.payload)).at(0));
  }
  EXPECT_EQ(ids.size(), 20u);
}

TEST(Kafka, JaegerEncodingIsOneSpanAMessage) {
  Bench bench({.topic = "jaeger-spans", .encoding = "jaeger_proto"});
  auto batch = TwoTraces();
  batch.spans[1].dropped = batch.edited = true;
  (void)bench.exporter->Push(std::move(batch));
  ASSERT_EQ(bench.broker.open.size(), 2u);
  EXPECT_EQ(bench.broker.open[0].key, "0000000000000001");
  EXPECT_EQ(bench.broker.open[0].payload.substr(0, 2), std::string("\x0a\x10", 2));
  bench.SettleAll(Delivery::kDelivered);
  EXPECT_EQ(bench.row.out(), 2u);
}

TEST(Kafka, OtherSignalsAreRejectedAndCounted) {
  Bench bench;
  model::OtlpBatch batch = MakeSpans(1, 1);
  batch.signal = model::Signal::kMetrics;
  batch.items = 5;
  EXPECT_EQ(bench.exporter->Push(std::move(batch)), PushResult::kTaken);
  EXPECT_EQ(bench.row.lost_total(), 5u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Kafka, DrainEndsAtItsDeadlineAndCountsWhatRemains) {
  Bench bench;
  (void)bench.exporter->Push(TwoTraces());
  bool done = false;
  bench.exporter->Drain(std::chrono::seconds(1), [&] { done = true; });
  EXPECT_EQ(bench.exporter->Push(TwoTraces()), PushResult::kBusy);
  bench.exporter->Poll();
  EXPECT_FALSE(done);
  bench.broker.clock.Advance(1'000'000'000);
  bench.exporter->Poll();
  EXPECT_TRUE(done);
  EXPECT_EQ(bench.row.lost_total(), 3u);
  EXPECT_EQ(bench.row.held(), 0);
}

}  // namespace
}  // namespace weft::exporters::kafka
