// Faults that belong to one request or to one destination, and what the others must not notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "exporters/collector/scripted_peer.h"

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using std::chrono::milliseconds;
using std::chrono::seconds;

bool Holds(const OpenCall& call, uint64_t span) {
  const auto ids = SpanIds(call.payload.view());
  return std::find(ids.begin(), ids.end(), span) != ids.end();
}

void Refuse(ScriptedPeer& peer, size_t index, int http_status, seconds retry_after) {
  CallReply reply;
  reply.http_status = http_status;
  reply.retry_delay = retry_after;
  peer.Answer(index, std::move(reply));
}

TEST(Faults, EveryCompressedRequestInFlightIsSentPlainToAPeerWithoutTheCompression) {
  Bench bench({.compression = "zstd", .max_batch_bytes = 4096});
  for (uint64_t i = 0; i < 8; ++i) (void)bench.Push(MakeSpans(1 + 20 * i, 20, 160));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 8u);
  for (const OpenCall& call : bench.peer.calls) ASSERT_EQ(call.encoding, "zstd");
  for (int i = 0; i < 8; ++i) bench.peer.Fail(12, "unknown grpc-encoding");
  for (int i = 0; i < 20; ++i) {
    for (const OpenCall& call : bench.peer.calls) EXPECT_EQ(call.encoding, "");
    while (!bench.peer.calls.empty()) bench.peer.Succeed();
    bench.peer.Advance(milliseconds(100));
  }
  EXPECT_EQ(bench.row.out(), 160u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
}

TEST(Faults, ADrainToAPeerWithoutOurCompressionLosesNothing) {
  Bench bench({.compression = "gzip"});
  (void)bench.Push(MakeSpans(1, 10));
  bench.exporter->Drain(seconds(5), [] {});
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Fail(12, "unknown grpc-encoding");
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].encoding, "");
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 10u);
}

TEST(Faults, APlainRequestThatIsNotUnderstoodIsFinal) {
  Bench bench({.compression = "zstd"});
  (void)bench.Push(MakeSpans(1, 10));
  bench.peer.Advance(seconds(1));
  bench.peer.Fail(12);
  bench.peer.Fail(12);
  EXPECT_TRUE(bench.peer.calls.empty());
  EXPECT_EQ(bench.Lost("unimplemented"), 10u);
}

// A collector that dies of one span: with it all that is in flight is lost.
TEST(Faults, ARequestThatKillsItsPeerIsFoundAndTheOthersGoOn) {
  constexpr uint64_t kPoison = 7;
  Bench bench({.max_batch_bytes = 4096});
  std::set<uint64_t> delivered;
  uint64_t next = 1, crashes = 0, late_crashes = 0;
  for (int step = 0; step < 1200; ++step) {
    ASSERT_EQ(bench.Push(MakeSpans(next, 20, 160)), PushResult::kTaken);
    next += 20;
    bench.peer.Advance(milliseconds(100));
    while (!bench.peer.calls.empty()) {
      const bool dies = std::any_of(bench.peer.calls.begin(), bench.peer.calls.end(),
                                    [](const OpenCall& call) { return Holds(call, kPoison); });
      if (dies) {
        ++crashes;
        late_crashes += step > 600;
        while (!bench.peer.calls.empty()) bench.peer.Break();
        continue;
      }
      for (uint64_t id : SpanIds(bench.peer.calls[0].payload.view())) delivered.insert(id);
      bench.peer.Succeed();
    }
  }
  bench.peer.Advance(seconds(1));
  EXPECT_GE(delivered.size() + 200, next);
  for (uint64_t id = 1; id < 1000; ++id)
    EXPECT_EQ(delivered.count(id), id == kPoison ? 0u : 1u) << id;
  EXPECT_LT(crashes, 30u);
  EXPECT_LE(late_crashes, 3u);
  // It is kept, not lost.
  EXPECT_EQ(bench.row.lost_total(), 0u);
  EXPECT_TRUE(bench.row.Balanced());
}

// One request that always fails in the same way, first alone, then with others behind it.
TEST(Faults, ARequestThatAlwaysFailsDoesNotStallTheLaneWhateverTheAnswer) {
  for (int status : {-1, 4, 7, 14}) {
    Bench bench;
    std::set<uint64_t> delivered;
    const auto answer = [&] {
      for (size_t c = 0; c < bench.peer.calls.size();) {
        if (!Holds(bench.peer.calls[c], 1)) {
          for (uint64_t id : SpanIds(bench.peer.calls[c].payload.view())) delivered.insert(id);
          bench.peer.Succeed(c);
        } else if (status < 0) {
          bench.peer.Break(c);
        } else {
          bench.peer.Fail(status, "", c);
        }
      }
    };
    (void)bench.Push(MakeSpans(1, 1));
    for (int i = 0; i < 30; ++i) {
      bench.peer.Advance(seconds(10));
      answer();
    }
    for (uint64_t i = 2; i < 600; ++i) {
      (void)bench.Push(MakeSpans(i, 1));
      bench.peer.Advance(seconds(1));
      answer();
    }
    EXPECT_GE(delivered.size(), 590u) << "status " << status;
    EXPECT_EQ(bench.row.lost_total(), 0u);
    EXPECT_TRUE(bench.row.Balanced());
    // The peer has been mended: nothing was given up.
    for (int i = 0; i < 700 && !bench.exporter->idle(); ++i) {
      bench.peer.Advance(seconds(1));
      while (!bench.peer.calls.empty()) bench.peer.Succeed();
    }
    EXPECT_TRUE(bench.exporter->idle()) << "status " << status;
    EXPECT_EQ(bench.row.out(), 599u);
    EXPECT_EQ(bench.exporter->held_bytes(), 0u);
  }
}

TEST(Faults, ARequestThatIsTooMuchForItsPeerIsSentInParts) {
  Bench bench;
  std::set<uint64_t> delivered;
  uint64_t next = 1001;
  (void)bench.Push(MakeSpans(1, 400, 1000));
  for (int step = 0; step < 600 && delivered.count(400) == 0; ++step) {
    bench.peer.Advance(seconds(1));
    (void)bench.Push(MakeSpans(next++, 1));
    for (size_t c = 0; c < bench.peer.calls.size();) {
      if (bench.peer.calls[c].payload.size() > 100'000) {
        bench.peer.Break(c);
        continue;
      }
      for (uint64_t id : SpanIds(bench.peer.calls[c].payload.view())) delivered.insert(id);
      bench.peer.Succeed(c);
    }
  }
  for (uint64_t id = 1; id <= 400; ++id) ASSERT_EQ(delivered.count(id), 1u) << id;
  EXPECT_EQ(bench.row.lost_total(), 0u);
}

TEST(Faults, APoisonSpanThatIsMetWhileDrainingCostsNoOther) {
  Bench bench;
  (void)bench.Push(MakeSpans(1, 64));
  bool done = false;
  bench.exporter->Drain(seconds(5), [&] { done = true; });
  while (!bench.peer.calls.empty()) {
    if (Holds(bench.peer.calls[0], 17))
      bench.peer.Fail(3);
    else
      bench.peer.Succeed();
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(bench.Lost("invalid_argument"), 1u);
  EXPECT_EQ(bench.row.out(), 63u);
}

TEST(Faults, TheRetryAfterOfOneDestinationHoldsUpNoRequestThatAnotherCanTake) {
  Bench bench({.max_batch_bytes = 4096}, {"a:1", "b:1", "c:1"});
  uint64_t asked = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    (void)bench.Push(MakeSpans(1 + 20 * i, 20, 160));
    bench.peer.Advance(milliseconds(100));
    while (!bench.peer.calls.empty()) {
      if (bench.peer.calls[0].peer == "b:1") {
        ++asked;
        Refuse(bench.peer, 0, 503, seconds(3600));
      } else {
        bench.peer.Succeed();
      }
    }
  }
  bench.peer.Advance(seconds(1));
  while (!bench.peer.calls.empty()) bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 2000u);
  EXPECT_EQ(asked, 1u);
  // When its time has come it is asked again.
  bench.peer.Advance(seconds(3601));
  for (uint64_t i = 100; i < 110; ++i) (void)bench.Push(MakeSpans(1 + 20 * i, 20, 160));
  bench.peer.Advance(seconds(1));
  EXPECT_TRUE(std::any_of(bench.peer.calls.begin(), bench.peer.calls.end(),
                          [](const OpenCall& call) { return call.peer == "b:1"; }));
}

TEST(Faults, ALimitThatThePeerHadForAWhileIsForgotten) {
  Bench bench({.max_batch_bytes = 1 << 20});
  uint64_t next = 1, largest = 0;
  const auto run = [&](int rounds, uint64_t limit) {
    largest = 0;
    for (int i = 0; i < rounds; ++i) {
      for (int k = 0; k < 5; ++k) {
        (void)bench.Push(MakeSpans(next, 500, 400));
        next += 500;
      }
      bench.peer.Advance(seconds(1));
      while (!bench.peer.calls.empty()) {
        const uint64_t size = bench.peer.calls[0].payload.size();
        if (size > limit) {
          bench.peer.Fail(8, "message too large");
          continue;
        }
        largest = std::max(largest, size);
        bench.peer.Succeed();
      }
    }
  };
  run(3, 200'000);
  EXPECT_LE(largest, 200'000u);
  // Tried now and then only.
  const uint64_t before = bench.peer.total_calls;
  run(1, UINT64_MAX);
  EXPECT_LE(largest, 200'000u);
  EXPECT_GT(bench.peer.total_calls, before + 5);
  run(300, UINT64_MAX);
  EXPECT_GT(largest, 800'000u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
}

TEST(Faults, ABatchNearlyAsLargeAsTheQueueGetsInWhileSmallOnesCome) {
  Bench bench({.max_batch_bytes = 16 << 10, .queue_bytes = 256 << 10});
  uint64_t next = 1;
  bool taken = false;
  for (int i = 0; i < 200 && !taken; ++i) {
    // More than the collector takes.
    for (int k = 0; k < 40; ++k)
      if (bench.Push(MakeSpans(next, 10, 400)) == PushResult::kTaken) next += 10;
    taken = bench.Push(MakeSpans(1'000'000, 450, 500)) == PushResult::kTaken;
    EXPECT_LE(bench.exporter->held_bytes(), (256u << 10) * 3 / 2);
    bench.peer.Advance(milliseconds(50));
    for (int k = 0; k < 4 && !bench.peer.calls.empty(); ++k) bench.peer.Succeed();
  }
  EXPECT_TRUE(taken);
}

}  // namespace
}  // namespace weft::exporters::collector
