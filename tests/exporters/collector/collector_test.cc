#include "exporters/collector/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/inflate.h"
#include "exporters/collector/scripted_peer.h"

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using model::ReceiptLevel;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

model::ReceiptRef GiveReceipt(model::OtlpBatch* batch, base::ByteCredit* credit = nullptr) {
  batch->receipt = std::make_shared<model::Receipt>(credit, batch->size_bytes());
  return batch->receipt;
}

// Every span in its own batch, all of them in one request.
void PushSingly(Bench& bench, uint64_t first, size_t count) {
  for (uint64_t i = first; i < first + count; ++i)
    ASSERT_EQ(bench.Push(MakeSpans(i, 1)), PushResult::kTaken);
}

TEST(Collector, SmallBatchesTravelTogetherAfterTheFlushTime) {
  Bench bench;
  PushSingly(bench, 1, 3);
  bench.peer.Advance(milliseconds(199));
  EXPECT_TRUE(bench.peer.calls.empty());
  bench.peer.Advance(milliseconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_THAT(SpanIds(bench.peer.calls[0].payload.view()), ElementsAre(1, 2, 3));
}

TEST(Collector, WhatIsAwaitedGathersOnlyWhileSomethingIsInFlight) {
  Bench bench;
  const auto push = [&](uint64_t id, ReceiptLevel wish) {
    auto batch = MakeSpans(id, 1);
    batch.receipt = std::make_shared<model::Receipt>(nullptr, 0, model::ReceiptWish{wish, "otlp"});
    ASSERT_EQ(bench.Push(std::move(batch)), PushResult::kTaken);
  };
  push(1, ReceiptLevel::kTaken);
  EXPECT_TRUE(bench.peer.calls.empty());
  push(2, ReceiptLevel::kDelivered);
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  push(3, ReceiptLevel::kDelivered);
  push(4, ReceiptLevel::kDurable);
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_THAT(SpanIds(bench.peer.calls[0].payload.view()), ElementsAre(1, 2));
  bench.peer.Succeed();
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_THAT(SpanIds(bench.peer.calls[0].payload.view()), ElementsAre(3, 4));
  bench.peer.Succeed();
  push(5, ReceiptLevel::kTaken);
  EXPECT_TRUE(bench.peer.calls.empty());
}

TEST(Collector, AFullRequestDoesNotWaitForTheFlushTime) {
  Bench bench({.max_batch_bytes = 10'000});
  for (uint64_t i = 0; i < 4; ++i) (void)bench.Push(MakeSpans(1 + i * 10, 10, 300));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_LE(bench.peer.calls[0].payload.size(), 10'000u);
  EXPECT_EQ(SpanIds(bench.peer.calls[0].payload.view()).size(), 20u);
}

TEST(Collector, ReceiptsAreDeliveredOnlyByTheAnswer) {
  Bench bench;
  base::ByteCredit credit(1 << 20);
  auto batch = MakeSpans(1, 2);
  ASSERT_TRUE(credit.Take(batch.size_bytes()));
  auto receipt = GiveReceipt(&batch, &credit);
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  EXPECT_EQ(receipt->level(), ReceiptLevel::kPending);
  bench.peer.Succeed();
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
  receipt.reset();
  EXPECT_EQ(credit.used(), 0u);
  EXPECT_EQ(bench.row.out(), 2u);
  EXPECT_EQ(bench.row.held(), 0);
  EXPECT_EQ(bench.exporter->held_bytes(), 0u);
  EXPECT_EQ(bench.MetricValue("otelcol_exporter_sent_spans_total"), 2);
}

TEST(Collector, F12_ABatchOverTheLimitIsSplitBeforeSending) {
  Bench bench({.max_batch_bytes = 20'000, .max_in_flight = 100});
  auto batch = MakeSpans(1, 1000, 100);
  auto receipt = GiveReceipt(&batch);
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  std::multiset<uint64_t> ids;
  while (!bench.peer.calls.empty()) {
    EXPECT_LE(bench.peer.calls[0].payload.size(), 20'000u);
    for (uint64_t id : SpanIds(bench.peer.calls[0].payload.view())) ids.insert(id);
    EXPECT_EQ(receipt->level(), ReceiptLevel::kPending);
    bench.peer.Succeed();
  }
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(std::set<uint64_t>(ids.begin(), ids.end()).size(), 1000u);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
  EXPECT_EQ(bench.row.out(), 1000u);
}

TEST(Collector, F12_WhatThePeerFindsTooLargeIsHalvedUntilItFits) {
  constexpr size_t kLimit = 70'000;
  Bench bench;
  (void)bench.Push(MakeSpans(1, 2000, 200));
  bench.peer.Advance(seconds(1));
  std::set<uint64_t> ids;
  while (!bench.peer.calls.empty()) {
    if (bench.peer.calls[0].payload.size() > kLimit) {
      bench.peer.Fail(8, "grpc: received message larger than max");
      continue;
    }
    for (uint64_t id : SpanIds(bench.peer.calls[0].payload.view()))
      EXPECT_TRUE(ids.insert(id).second);
    bench.peer.Succeed();
  }
  EXPECT_EQ(ids.size(), 2000u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
  // The lesson lasts: the next requests are small from the start.
  uint64_t before = bench.peer.total_calls;
  (void)bench.Push(MakeSpans(5000, 1000, 200));
  bench.peer.Advance(seconds(1));
  ASSERT_GT(bench.peer.total_calls, before);
  for (const OpenCall& call : bench.peer.calls) EXPECT_LT(call.payload.size(), 150'000u);
}

TEST(Collector, F12_ASingleSpanOverThePeersLimitIsTheOnlyOneLost) {
  Bench bench;
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 20; ++i)
    spans.push_back({.span = i, .name = std::string(i == 13 ? 50'000 : 10, 'x')});
  (void)bench.Push(MakeBatch("svc", spans));
  bench.peer.Advance(seconds(1));
  while (!bench.peer.calls.empty()) {
    if (bench.peer.calls[0].payload.size() > 40'000)
      bench.peer.Fail(8, "message too large");
    else
      bench.peer.Succeed();
  }
  EXPECT_EQ(bench.Lost("too_large"), 1u);
  EXPECT_EQ(bench.row.out(), 19u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, InFlightRequestsAreLimited) {
  Bench bench({.max_batch_bytes = 4096, .max_in_flight = 3});
  for (uint64_t i = 0; i < 10; ++i) (void)bench.Push(MakeSpans(1 + 20 * i, 20, 200));
  bench.peer.Advance(seconds(1));
  EXPECT_EQ(bench.peer.calls.size(), 3u);
  while (!bench.peer.calls.empty()) bench.peer.Succeed();
  EXPECT_EQ(bench.peer.most_open, 3u);
  EXPECT_TRUE(bench.exporter->idle());
}

TEST(Collector, FullQueueSaysBusyAndLeavesTheBatch) {
  Bench bench({.queue_bytes = 64 << 10});
  uint64_t taken = 0;
  auto batch = MakeSpans(1, 10, 500);
  while (bench.Push(std::move(batch)) == PushResult::kTaken) {
    ++taken;
    batch = MakeSpans(1 + 10 * taken, 10, 500);
  }
  ASSERT_GT(taken, 5u);
  EXPECT_EQ(batch.spans.size(), 10u);
  EXPECT_EQ(SpanIds(batch.bytes->view())[0], 1 + 10 * taken);
  EXPECT_LE(bench.exporter->held_bytes(), 64u << 10);
  EXPECT_EQ(bench.row.in(), 10 * taken);
  bench.peer.Advance(seconds(1));
  while (!bench.peer.calls.empty()) bench.peer.Succeed();
  EXPECT_EQ(bench.Push(std::move(batch)), PushResult::kTaken);
}

TEST(Collector, ABatchLargerThanTheQueueIsTakenWhenTheQueueIsEmpty) {
  Bench bench({.queue_bytes = 64 << 10});
  EXPECT_EQ(bench.Push(MakeSpans(1, 500, 500)), PushResult::kTaken);
  EXPECT_EQ(bench.Push(MakeSpans(501, 1)), PushResult::kBusy);
}

TEST(Collector, TinyBatchesAreChargedForTheirBookkeepingToo) {
  Bench bench({.queue_bytes = 64 << 10});
  uint64_t taken = 0;
  while (taken < 10'000 && bench.Push(MakeSpans(1 + taken, 1)) == PushResult::kTaken) ++taken;
  EXPECT_LT(taken, 130u);
}

TEST(Collector, F6_RetryableAnswersAreRepeatedWithTheSameBytesUntilDelivered) {
  Bench bench;
  PushSingly(bench, 1, 2);
  bench.peer.Advance(seconds(1));
  std::string first(base::AsText(bench.peer.calls[0].payload.view()));
  for (int status : {14, 4, 10, 1, 11, 15, 14, 14, 14, 14, 14, 14}) {
    ASSERT_EQ(bench.peer.calls.size(), 1u);
    EXPECT_EQ(base::AsText(bench.peer.calls[0].payload.view()), first);
    bench.peer.Fail(status);
    EXPECT_TRUE(bench.peer.calls.empty()) << "no retry without a pause";
    bench.peer.Advance(seconds(30));
  }
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 2u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
}

TEST(Collector, BackoffGrowsFromFractionsOfASecondToHalfAMinute) {
  Bench bench;
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  std::vector<std::chrono::nanoseconds> pauses;
  for (int i = 0; i < 12; ++i) {
    bench.peer.Fail(14);
    auto from = bench.peer.now;
    while (bench.peer.calls.empty()) bench.peer.Advance(milliseconds(10));
    pauses.push_back(bench.peer.now - from);
  }
  EXPECT_GE(pauses.front(), milliseconds(100));
  EXPECT_LE(pauses.front(), milliseconds(210));
  EXPECT_GE(pauses.back(), seconds(15));
  EXPECT_LE(pauses.back(), seconds(31));
}

TEST(Collector, F7_RetryInfoIsAFloorOfThePause) {
  Bench bench;
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  CallReply reply;
  reply.status = 8;
  reply.retry_delay = seconds(5);
  bench.peer.Answer(0, std::move(reply));
  bench.peer.Advance(milliseconds(4999));
  EXPECT_TRUE(bench.peer.calls.empty());
  bench.peer.Advance(milliseconds(1001));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 1u);
}

TEST(Collector, F7_ExhaustedWithoutRetryInfoIsCountedAsRejectedWhenConfiguredSo) {
  Bench bench({.retry_exhausted = false});
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  bench.peer.Fail(8, "rate limit");
  EXPECT_EQ(bench.Lost("resource_exhausted"), 1u);
  EXPECT_TRUE(bench.exporter->idle());
}

TEST(Collector, F7_ExhaustedWithoutRetryInfoIsKeptByDefault) {
  Bench bench;
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  bench.peer.Fail(8, "rate limit");
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 1u);
}

TEST(Collector, F8_OnePoisonSpanCostsNoOther) {
  Bench bench;
  for (uint64_t b = 0; b < 8; ++b) (void)bench.Push(MakeSpans(1 + 64 * b, 64));
  bench.peer.Advance(seconds(1));
  while (!bench.peer.calls.empty()) {
    auto ids = SpanIds(bench.peer.calls[0].payload.view());
    if (std::count(ids.begin(), ids.end(), 300) > 0)
      bench.peer.Fail(3, "span 300 is bad");
    else
      bench.peer.Succeed();
  }
  EXPECT_EQ(bench.Lost("invalid_argument"), 1u);
  EXPECT_EQ(bench.row.out(), 511u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, F8_APeerThatRejectsEverythingIsNotAskedForEverySpan) {
  Bench bench;
  (void)bench.Push(MakeSpans(1, 5000));
  bench.peer.Advance(seconds(1));
  while (!bench.peer.calls.empty()) bench.peer.Fail(3);
  EXPECT_EQ(bench.Lost("invalid_argument"), 5000u);
  EXPECT_LT(bench.peer.total_calls, 100u);
}

TEST(Collector, F9_RefusedCredentialsKeepEverythingAndRaiseTheAlarm) {
  Bench bench;
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  bench.peer.Fail(16, "token expired");
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_credentials_refused"), 1);
  // Others wait behind it instead of asking too.
  PushSingly(bench, 2, 5);
  bench.peer.Advance(seconds(14));
  EXPECT_TRUE(bench.peer.calls.empty());
  bench.peer.Advance(seconds(30));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Succeed();
  while (!bench.peer.calls.empty()) bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 6u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_credentials_refused"), 0);
}

TEST(Collector, F10_PartialSuccessIsCountedAndNotRetried) {
  Bench bench;
  auto batch = MakeSpans(1, 10);
  auto receipt = GiveReceipt(&batch);
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  CallReply reply;
  reply.body.Append(Bytes(1, Number(1, 4) + Bytes(2, "no")));
  bench.peer.Answer(0, std::move(reply));
  bench.peer.Advance(seconds(60));
  EXPECT_EQ(bench.peer.total_calls, 1u);
  EXPECT_EQ(bench.Lost("partial_success"), 4u);
  EXPECT_EQ(bench.row.out(), 6u);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
}

TEST(Collector, F10_MoreRejectedThanSentIsNoMoreThanSent) {
  Bench bench;
  (void)bench.Push(MakeSpans(1, 3));
  bench.peer.Advance(seconds(1));
  CallReply reply;
  reply.body.Append(Bytes(1, Number(1, 1'000'000)));
  bench.peer.Answer(0, std::move(reply));
  EXPECT_EQ(bench.Lost("partial_success"), 3u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, F1_ACollectorThatIsDownIsProbedByOneRequestAtATime) {
  Bench bench({.max_batch_bytes = 4096});
  for (uint64_t i = 0; i < 40; ++i) (void)bench.Push(MakeSpans(1 + 20 * i, 20, 200));
  while (!bench.peer.calls.empty()) bench.peer.Break();
  bench.peer.most_open = 0;
  for (int i = 0; i < 200; ++i) {
    bench.peer.Advance(milliseconds(100));
    while (!bench.peer.calls.empty()) bench.peer.Break();
  }
  EXPECT_EQ(bench.peer.most_open, 1u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reachable"), 0);
  // It comes back: everything goes out without waiting for each request's own timer.
  bench.peer.Advance(seconds(2));
  ASSERT_FALSE(bench.peer.calls.empty());
  while (!bench.peer.calls.empty()) bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 800u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reachable"), 1);
}

TEST(Collector, OneRequestThatFailsAgainAndAgainHoldsUpNoOther) {
  Bench bench;
  (void)bench.Push(MakeSpans(1, 1));
  bench.peer.Advance(seconds(1));
  for (uint64_t i = 2; i < 30; ++i) {
    for (size_t c = 0; c < bench.peer.calls.size();) {
      if (SpanIds(bench.peer.calls[c].payload.view())[0] == 1)
        bench.peer.Fail(14, "", c);
      else
        bench.peer.Succeed(c);
    }
    (void)bench.Push(MakeSpans(i, 1));
    bench.peer.Advance(seconds(1));
  }
  EXPECT_GE(bench.row.out(), 26u);
}

TEST(Collector, CompressedRequestsInflateToTheSameSpans) {
  for (std::string name : {"gzip", "zstd"}) {
    Bench bench({.compression = name});
    (void)bench.Push(MakeSpans(1, 100));
    bench.peer.Advance(seconds(1));
    ASSERT_EQ(bench.peer.calls.size(), 1u);
    EXPECT_EQ(bench.peer.calls[0].encoding, name);
    base::Compression compression;
    ASSERT_TRUE(base::CompressionFromName(name, &compression));
    base::ByteBuffer out;
    base::ByteCredit credit(1 << 20);
    uint64_t charged = 0;
    ASSERT_EQ(base::Inflate(compression, bench.peer.calls[0].payload.view(), 1 << 20, &credit, &out,
                            &charged),
              base::InflateStatus::kDone);
    EXPECT_EQ(SpanIds(out.view()).size(), 100u);
    bench.peer.Succeed();
  }
}

TEST(Collector, APeerWithoutOurCompressionGetsPlainRequests) {
  Bench bench({.compression = "zstd"});
  (void)bench.Push(MakeSpans(1, 2));
  bench.peer.Advance(seconds(1));
  bench.peer.Fail(12, "Decompressor is not installed for grpc-encoding \"zstd\"");
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].encoding, "");
  EXPECT_THAT(SpanIds(bench.peer.calls[0].payload.view()), ElementsAre(1, 2));
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 2u);
}

TEST(Collector, DroppedSpansOfAnEditedBatchStayHere) {
  Bench bench;
  auto batch = MakeSpans(1, 3);
  batch.spans[1].dropped = true;
  batch.edited = true;
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  EXPECT_THAT(SpanIds(bench.peer.calls[0].payload.view()), ElementsAre(1, 3));
  EXPECT_EQ(bench.row.in(), 2u);
}

TEST(Collector, ABatchWithoutSpansMakesNoRequest) {
  Bench bench;
  auto batch = MakeSpans(1, 1);
  auto receipt = GiveReceipt(&batch);
  batch.spans[0].dropped = true;
  batch.edited = true;
  EXPECT_EQ(bench.Push(std::move(batch)), PushResult::kTaken);
  bench.peer.Advance(seconds(1));
  EXPECT_EQ(bench.peer.total_calls, 0u);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
}

TEST(Collector, DrainSendsAtOnceAndEndsWithTheLastAnswer) {
  Bench bench;
  PushSingly(bench, 1, 3);
  bool done = false;
  bench.exporter->Drain(seconds(5), [&] { done = true; });
  EXPECT_EQ(bench.Push(MakeSpans(9, 1)), PushResult::kBusy);
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_FALSE(done);
  bench.peer.Succeed();
  EXPECT_TRUE(done);
  EXPECT_EQ(bench.row.out(), 3u);
}

TEST(Collector, DrainOfAnIdleExporterEndsAtOnce) {
  Bench bench;
  bool done = false;
  bench.exporter->Drain(seconds(5), [&] { done = true; });
  EXPECT_TRUE(done);
  EXPECT_TRUE(bench.peer.timers.empty());
}

TEST(Collector, DrainGivesUpAtItsDeadlineAndCountsWhatRemains) {
  Bench bench({.max_batch_bytes = 4096, .max_in_flight = 2});
  auto batch = MakeSpans(1, 100, 200);
  auto receipt = GiveReceipt(&batch);
  (void)bench.Push(std::move(batch));
  bool done = false;
  bench.exporter->Drain(seconds(5), [&] { done = true; });
  bench.peer.Succeed();
  for (int i = 0; i < 10; ++i) {
    while (!bench.peer.calls.empty()) bench.peer.Break();
    bench.peer.Advance(milliseconds(500));
  }
  EXPECT_TRUE(done);
  EXPECT_GT(bench.row.out(), 0u);
  EXPECT_EQ(bench.Lost("shutdown"), 100 - bench.row.out());
  EXPECT_EQ(bench.row.held(), 0);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kFailed);
  EXPECT_EQ(bench.exporter->held_bytes(), 0u);
}

TEST(Collector, AnAnswerAfterTheDrainDeadlineChangesNothing) {
  Bench bench;
  (void)bench.Push(MakeSpans(1, 2));
  bench.exporter->Drain(seconds(5), [] {});
  bench.peer.Advance(seconds(6));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Succeed();
  EXPECT_EQ(bench.Lost("shutdown"), 2u);
  EXPECT_EQ(bench.row.out(), 0u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, DrainAsksMoreOftenThanTheBackoffOfALongOutage) {
  Bench bench;
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  for (int i = 0; i < 12; ++i) {
    bench.peer.Fail(14);
    bench.peer.Advance(seconds(31));
  }
  bool done = false;
  bench.exporter->Drain(seconds(3), [&] { done = true; });
  bench.peer.Fail(14);
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Succeed();
  EXPECT_TRUE(done);
  EXPECT_EQ(bench.row.out(), 1u);
}

TEST(Collector, ThatThePeerIsBackEndsTheLongWaitOfAllRequests) {
  Bench bench;
  for (uint64_t i = 1; i <= 3; ++i) {
    PushSingly(bench, i, 1);
    bench.peer.Advance(milliseconds(200));
  }
  ASSERT_EQ(bench.peer.calls.size(), 3u);
  while (!bench.peer.calls.empty()) bench.peer.Fail(16);
  while (bench.peer.calls.empty()) bench.peer.Advance(milliseconds(10));
  while (!bench.peer.calls.empty()) bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 3u);
}

TEST(Collector, AnswersAfterTheEndAreHarmless) {
  Bench bench;
  (void)bench.Push(MakeSpans(1, 2));
  bench.peer.Advance(seconds(1));
  bench.exporter.reset();
  EXPECT_EQ(bench.Lost("shutdown"), 2u);
  bench.peer.Succeed();
  bench.peer.Advance(seconds(60));
  EXPECT_TRUE(bench.row.Balanced());
}

// Whatever the peer does, every span is delivered, rejected or held, and at the end delivered or
// rejected; nothing is delivered after it was delivered.
TEST(Collector, TheLedgerBalancesUnderRandomFailures) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    std::minstd_rand random(seed);
    Bench bench({.max_batch_bytes = 5000, .queue_bytes = 64 << 10, .max_in_flight = 4});
    std::set<uint64_t> delivered;
    uint64_t next = 1, refused_parts = 0;
    auto answer = [&](bool kind) {
      size_t index = random() % bench.peer.calls.size();
      auto ids = SpanIds(bench.peer.calls[index].payload.view());
      uint32_t dice = kind ? 0 : random() % 10;
      if (dice <= 4) {
        for (uint64_t id : ids) EXPECT_TRUE(delivered.insert(id).second) << "seed " << seed;
        bench.peer.Succeed(index);
      } else if (dice == 5) {
        bench.peer.Break(index);
      } else if (dice == 6) {
        bench.peer.Fail(14, "", index);
      } else if (dice == 7) {
        bench.peer.Fail(8, ids.size() > 3 ? "too large" : "", index);
      } else if (dice == 8) {
        bench.peer.Fail(3, "", index);
      } else {
        CallReply reply;
        reply.body.Append(Bytes(1, Number(1, 1)));
        ++refused_parts;
        for (uint64_t id : ids) EXPECT_TRUE(delivered.insert(id).second);
        bench.peer.Answer(index, std::move(reply));
      }
      EXPECT_TRUE(bench.row.Balanced()) << "seed " << seed;
    };
    for (int step = 0; step < 300; ++step) {
      size_t count = 1 + random() % 12;
      if (bench.Push(MakeSpans(next, count, random() % 300)) == PushResult::kTaken) next += count;
      if (random() % 3 == 0) bench.peer.Advance(milliseconds(random() % 400));
      if (!bench.peer.calls.empty() && random() % 2 == 0) answer(false);
    }
    for (int i = 0; i < 1000 && !bench.exporter->idle(); ++i) {
      bench.peer.Advance(seconds(1));
      while (!bench.peer.calls.empty()) answer(true);
    }
    EXPECT_TRUE(bench.exporter->idle());
    EXPECT_EQ(bench.row.in(), next - 1);
    EXPECT_EQ(bench.row.held(), 0);
    EXPECT_EQ(bench.exporter->held_bytes(), 0u);
    EXPECT_EQ(bench.row.out() + refused_parts, delivered.size());
    EXPECT_EQ(bench.row.out() + bench.row.lost_total(), next - 1);
  }
}

model::OtlpBatch Opaque(model::Signal signal, std::string_view bytes, uint64_t items) {
  model::OtlpBatch batch;
  base::ByteBuffer buffer;
  buffer.Append(bytes);
  batch.bytes = base::Share(std::move(buffer));
  batch.signal = signal;
  batch.items = items;
  return batch;
}

// A resource that no request may carry: its spans are given up after a few requests, not one by
// one.
TEST(Collector, F12_SpansUnderAnEnvelopeThatIsTooLargeAreGivenUpTogether) {
  Bench bench;
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 1000; ++i) spans.push_back({.trace = 7, .span = i});
  (void)bench.Push(MakeBatch(std::string(300'000, 's'), spans));
  (void)bench.Push(MakeSpans(2001, 50));
  bench.peer.Advance(seconds(1));
  uint64_t bytes = 0;
  while (!bench.peer.calls.empty()) {
    bytes += bench.peer.calls[0].payload.size();
    if (bench.peer.calls[0].payload.size() > 200'000)
      bench.peer.Fail(8, "message too large");
    else
      bench.peer.Succeed();
  }
  EXPECT_EQ(bench.Lost("too_large"), 1000u);
  EXPECT_EQ(bench.row.out(), 50u);
  EXPECT_LT(bench.peer.total_calls, 12u);
  EXPECT_LT(bytes, 3'000'000u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, F12_ALimitJustAboveTheEnvelopeStillGetsEverySpan) {
  Bench bench;
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 60; ++i)
    spans.push_back({.trace = 7, .span = i, .name = std::string(1000, 'n')});
  (void)bench.Push(MakeBatch(std::string(100'000, 's'), spans));
  bench.peer.Advance(seconds(1));
  std::set<uint64_t> ids;
  while (!bench.peer.calls.empty()) {
    if (bench.peer.calls[0].payload.size() > 103'500) {
      bench.peer.Fail(8, "message too large");
      continue;
    }
    for (uint64_t id : SpanIds(bench.peer.calls[0].payload.view()))
      EXPECT_TRUE(ids.insert(id).second);
    bench.peer.Succeed();
  }
  EXPECT_EQ(ids.size(), 60u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
}

TEST(Collector, SignalsTravelBesideOneAnotherAndNeverMixed) {
  Bench bench;
  const std::string metrics = Bytes(1, "metrics"), logs = Bytes(1, "logs");
  for (uint64_t i = 0; i < 3; ++i) {
    (void)bench.Push(MakeSpans(1 + i, 1));
    (void)bench.Push(Opaque(model::Signal::kMetrics, metrics, 7));
    (void)bench.Push(Opaque(model::Signal::kLogs, logs, 2));
    (void)bench.Push(Opaque(model::Signal::kProfiles, Bytes(1, "p"), 1));
  }
  bench.peer.Advance(seconds(1));
  std::multiset<std::pair<model::Signal, std::string>> got;
  while (!bench.peer.calls.empty()) {
    got.emplace(bench.peer.calls[0].signal, base::AsText(bench.peer.calls[0].payload.view()));
    bench.peer.Succeed();
  }
  EXPECT_EQ(got.count({model::Signal::kMetrics, metrics + metrics + metrics}), 1u);
  EXPECT_EQ(got.count({model::Signal::kLogs, logs + logs + logs}), 1u);
  EXPECT_EQ(got.count({model::Signal::kProfiles, Bytes(1, "p")}), 3u);
  EXPECT_EQ(got.size(), 6u);
  EXPECT_EQ(bench.row.out(), 3u + 21u + 6u + 3u);
  EXPECT_EQ(bench.MetricValue("otelcol_exporter_sent_spans_total"), 3);
  EXPECT_EQ(bench.MetricValue("otelcol_exporter_sent_metric_points_total"), 21);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, F12_OpaqueSignalsThatAreTooLargeAreCutOrCounted) {
  Bench bench;
  (void)bench.Push(Opaque(model::Signal::kLogs,
                          Bytes(1, std::string(500, 'a')) + Bytes(1, std::string(5'000, 'b')), 11));
  bench.peer.Advance(seconds(1));
  while (!bench.peer.calls.empty()) {
    if (bench.peer.calls[0].payload.size() > 1'000)
      bench.peer.Fail(8, "message too large");
    else
      bench.peer.Succeed();
  }
  EXPECT_EQ(bench.row.out(), 1u);
  EXPECT_EQ(bench.Lost("too_large"), 10u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Collector, F9_CredentialsThatChangedMeanwhileAreTriedAtOnce) {
  Bench bench;
  PushSingly(bench, 1, 1);
  bench.peer.Advance(seconds(1));
  CallReply reply;
  reply.status = 16;
  reply.credentials_changed = true;
  bench.peer.Answer(0, std::move(reply));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 1u);
}

TEST(Collector, F8_ThePoisonSpanIsQuarantinedWithItsBytes) {
  ScriptedPeer peer;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  std::vector<uint64_t> quarantined;
  Deps deps{row, metrics, peer.clock};
  deps.quarantine = [&](model::Signal, std::string_view reason, const base::Gathered& bytes) {
    EXPECT_EQ(reason, "invalid_argument");
    for (uint64_t id : SpanIds(protocols::otlp::Flatten(bytes).view())) quarantined.push_back(id);
  };
  Collector exporter({}, deps, std::make_unique<ScriptedTransport>(peer),
                     std::make_unique<ScriptedTimers>(peer));
  (void)exporter.Push(MakeSpans(1, 64));
  peer.Advance(seconds(1));
  while (!peer.calls.empty()) {
    auto ids = SpanIds(peer.calls[0].payload.view());
    if (std::count(ids.begin(), ids.end(), 17) > 0)
      peer.Fail(3);
    else
      peer.Succeed();
  }
  EXPECT_THAT(quarantined, ElementsAre(17));
  EXPECT_EQ(row.out(), 63u);
}

TEST(Collector, WhatIsKeptAtTheEndIsOutAndNotShed) {
  ScriptedPeer peer;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  std::vector<uint64_t> offered;
  Deps deps{row, metrics, peer.clock};
  deps.keep = [&](model::Signal, const base::Gathered& bytes, uint64_t items,
                  const model::ReceiptRef& receipt) {
    for (uint64_t id : SpanIds(protocols::otlp::Flatten(bytes).view())) offered.push_back(id);
    EXPECT_EQ(items, 2u);
    return receipt == nullptr;
  };
  Collector exporter({}, deps, std::make_unique<ScriptedTransport>(peer),
                     std::make_unique<ScriptedTimers>(peer));
  (void)exporter.Push(MakeSpans(1, 2));
  peer.Advance(seconds(1));
  ASSERT_EQ(peer.calls.size(), 1u);  // in flight
  auto batch = MakeSpans(3, 2);
  auto receipt = GiveReceipt(&batch);
  (void)exporter.Push(std::move(batch));
  exporter.Drain(seconds(5), [] {});
  peer.Advance(seconds(6));
  EXPECT_THAT(offered, testing::UnorderedElementsAre(1, 2, 3, 4));
  EXPECT_EQ(row.out(), 2u);
  EXPECT_EQ(row.lost_total(), 2u);
  EXPECT_TRUE(row.Balanced());
  EXPECT_EQ(receipt->level(), ReceiptLevel::kFailed);
}

// A node of a cluster that turns requests away, while the flow is a third of what it could take.
TEST(Collector, F6_APeerThatRefusesMostRequestsStillKeepsUpWithTheFlow) {
  Bench bench(
      {.max_batch_bytes = 16 << 10, .queue_bytes = 3 << 20, .max_in_flight_bytes = 1 << 17});
  std::minstd_rand random(7);
  uint64_t next = 1, refused = 0, busy = 0;
  for (int millisecond = 0; millisecond < 20'000; ++millisecond) {
    if (bench.Push(MakeSpans(next, 10, 200)) == PushResult::kBusy) ++busy;
    next += 10;
    bench.peer.Advance(milliseconds(1));
    if (millisecond % 5 != 0) continue;
    for (size_t open = bench.peer.calls.size(); open > 0; --open) {
      if (random() % 10 < 6) {
        bench.peer.Fail(14);
        ++refused;
      } else {
        bench.peer.Succeed();
      }
    }
  }
  EXPECT_GT(refused, 1000u);
  EXPECT_EQ(busy, 0u);
  EXPECT_LT(bench.exporter->held_bytes(), 3u << 20);
}

TEST(Collector, F6_APeerThatRefusesEverythingIsSoonAskedByOneRequestAtATime) {
  Bench bench({.max_batch_bytes = 4096});
  uint64_t next = 1;
  for (int millisecond = 0; millisecond < 5'000; ++millisecond) {
    (void)bench.Push(MakeSpans(next, 20, 200));
    next += 20;
    bench.peer.Advance(milliseconds(1));
    if (millisecond == 1000) bench.peer.most_open = 0, bench.peer.total_calls = 0;
    while (!bench.peer.calls.empty()) bench.peer.Fail(14);
  }
  EXPECT_LE(bench.peer.most_open, 1u);
  EXPECT_LE(bench.peer.total_calls, 10u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reachable"), 0);
}

TEST(Collector, F3_ASlowPeerGetsLessAtATime) {
  Bench bench({.max_batch_bytes = 4096, .max_in_flight_bytes = 64 << 10});
  uint64_t next = 1;
  size_t at_first = 0, least = SIZE_MAX;
  for (int round = 0; round < 60; ++round) {
    while (bench.exporter->held_bytes() < 300'000) {
      (void)bench.Push(MakeSpans(next, 20, 100));
      next += 20;
    }
    if (round == 0) at_first = bench.peer.calls.size();
    least = std::min(least, bench.peer.calls.size());
    bench.peer.Advance(round < 3 ? milliseconds(2) : seconds(5));
    for (size_t open = bench.peer.calls.size(); open > 0; --open) bench.peer.Succeed();
  }
  EXPECT_GE(at_first, 6u);
  EXPECT_EQ(least, 1u);
}

}  // namespace
}  // namespace weft::exporters::collector
