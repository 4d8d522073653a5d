// Several destinations: who gets what, and what becomes of it when one is dead.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "exporters/collector/scripted_peer.h"

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using model::ReceiptLevel;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::vector<std::string> kThree = {"a:4317", "b:4317", "c:4317"};

// `count` spans, each of a trace of its own.
model::OtlpBatch MakeTraces(uint64_t first, size_t count) {
  std::vector<TestSpan> spans;
  for (uint64_t i = first; i < first + count; ++i)
    spans.push_back({.trace = i * 0x9E3779B97F4A7C15ull, .span = i, .name = "abcdefgh"});
  return MakeBatch("svc", spans);
}

// Answers every call: those to `dead` break, the others succeed. Says who got which span.
struct Answers {
  std::map<std::string, std::set<uint64_t>> by_peer;
  std::set<uint64_t> all;

  void Answer(ScriptedPeer& peer, const std::set<std::string>& dead) {
    while (!peer.calls.empty()) {
      if (dead.count(peer.calls[0].peer) > 0) {
        peer.Break();
        continue;
      }
      for (uint64_t id : SpanIds(peer.calls[0].payload.view())) {
        EXPECT_TRUE(all.insert(id).second) << "span " << id << " came twice";
        by_peer[peer.calls[0].peer].insert(id);
      }
      peer.Succeed();
    }
  }
};

TEST(RoundRobin, TheDestinationsTakeTurns) {
  Bench bench({.max_batch_bytes = 4096}, kThree);
  Answers answers;
  for (uint64_t i = 0; i < 30; ++i) (void)bench.Push(MakeSpans(1 + 20 * i, 20, 200));
  bench.peer.Advance(seconds(1));
  answers.Answer(bench.peer, {});
  EXPECT_EQ(answers.all.size(), 600u);
  for (const std::string& name : kThree) EXPECT_GE(answers.by_peer[name].size(), 180u) << name;
}

TEST(RoundRobin, F14_OneDeadOfThreeCostsTheOthersNothing) {
  Bench bench({.max_batch_bytes = 4096}, kThree);
  Answers answers;
  uint64_t calls_to_dead = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    ASSERT_EQ(bench.Push(MakeSpans(1 + 20 * i, 20, 200)), PushResult::kTaken);
    bench.peer.Advance(milliseconds(10));
    for (const OpenCall& call : bench.peer.calls) calls_to_dead += call.peer == "b:4317";
    answers.Answer(bench.peer, {"b:4317"});
  }
  bench.peer.Advance(seconds(1));
  answers.Answer(bench.peer, {"b:4317"});
  EXPECT_EQ(answers.all.size(), 6000u);
  EXPECT_EQ(bench.row.out(), 6000u);
  // It is asked about once a second, each time with one request that then goes elsewhere.
  EXPECT_LE(calls_to_dead, 12u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reachable"), 2);
  // It comes back and takes its share again.
  bench.peer.Advance(seconds(2));
  for (uint64_t i = 0; i < 60; ++i) (void)bench.Push(MakeSpans(10'001 + 20 * i, 20, 200));
  bench.peer.Advance(seconds(1));
  answers.Answer(bench.peer, {});
  EXPECT_GT(answers.by_peer["b:4317"].size(), 100u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reachable"), 3);
}

TEST(RoundRobin, ADestinationThatRefusesOurCredentialsLeavesItsShareToTheOthers) {
  Bench bench({.max_batch_bytes = 4096, .max_in_flight = 1}, {"a:1", "b:1"});
  (void)bench.Push(MakeSpans(1, 20, 100));
  (void)bench.Push(MakeSpans(21, 20, 100));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 2u);
  CallReply refused;
  refused.status = 16;
  bench.peer.Answer(0, std::move(refused));
  bench.peer.Succeed();
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].peer, "b:1");
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 40u);
}

TEST(RoundRobin, ADestinationThatLeavesIsWaitedForAndAskedNoMore) {
  Bench bench({.max_batch_bytes = 4096, .max_in_flight = 1}, {"a:1", "b:1"});
  (void)bench.Push(MakeSpans(1, 20, 200));
  (void)bench.Push(MakeSpans(21, 20, 200));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 2u);
  bench.Name({"b:1", "c:1"});
  for (size_t i = 0; i < 2; ++i)
    if (bench.peer.calls[i].peer == "a:1") {
      bench.peer.Break(i);
      break;
    }
  Answers answers;
  bench.peer.Advance(seconds(1));
  answers.Answer(bench.peer, {});
  EXPECT_EQ(answers.all.size(), 40u);
  EXPECT_EQ(answers.by_peer.count("a:1"), 0u);
}

TEST(ByTrace, AllSpansOfATraceGoToOneDestination) {
  Bench bench({.load_balancing = "trace_id"}, kThree);
  std::map<uint64_t, uint64_t> trace_of;
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 600; ++i) {
    trace_of[i] = i % 60;
    spans.push_back({.trace = 1 + (i % 60) * 0x12345678901ull, .span = i});
  }
  (void)bench.Push(MakeBatch("svc", spans));
  bench.peer.Advance(seconds(1));
  Answers answers;
  answers.Answer(bench.peer, {});
  EXPECT_EQ(answers.all.size(), 600u);
  std::map<uint64_t, std::string> owner;
  for (const auto& [name, ids] : answers.by_peer)
    for (uint64_t id : ids) {
      auto [at, fresh] = owner.emplace(trace_of[id], name);
      EXPECT_EQ(at->second, name) << "trace " << trace_of[id];
    }
  for (const std::string& name : kThree) EXPECT_GT(answers.by_peer[name].size(), 0u) << name;
}

TEST(ByTrace, AReceiptIsDeliveredWhenTheLastDestinationHasItsPart) {
  Bench bench({.load_balancing = "trace_id"}, kThree);
  auto batch = MakeTraces(1, 100);
  auto receipt = batch.receipt = std::make_shared<model::Receipt>(nullptr, 0);
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 3u);
  bench.peer.Succeed();
  bench.peer.Succeed();
  EXPECT_NE(receipt->level(), ReceiptLevel::kDelivered);
  bench.peer.Succeed();
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
}

TEST(ByTrace, TheTracesOfADeadDestinationGoToTheLivingAfterTheGraceAndComeBack) {
  Bench bench({.load_balancing = "trace_id", .reassign_seconds = 15}, kThree);
  Answers answers;
  (void)bench.Push(MakeTraces(1, 300));
  bench.peer.Advance(seconds(1));
  answers.Answer(bench.peer, {"b:4317"});
  const size_t before = answers.all.size();
  EXPECT_LT(before, 300u);
  EXPECT_GT(before, 100u);
  // Within the grace they wait for their owner.
  for (int i = 0; i < 100; ++i) {
    bench.peer.Advance(milliseconds(100));
    answers.Answer(bench.peer, {"b:4317"});
  }
  EXPECT_EQ(answers.all.size(), before);
  for (int i = 0; i < 100; ++i) {
    bench.peer.Advance(milliseconds(100));
    answers.Answer(bench.peer, {"b:4317"});
  }
  EXPECT_EQ(answers.all.size(), 300u);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reassigned_spans_total"), 300 - before);
  // An empty request finds that it is back.
  EXPECT_EQ(answers.by_peer.count("b:4317"), 0u);
  for (int i = 0; i < 30; ++i) {
    bench.peer.Advance(milliseconds(100));
    answers.Answer(bench.peer, {});
  }
  (void)bench.Push(MakeTraces(1001, 300));
  bench.peer.Advance(seconds(1));
  answers.Answer(bench.peer, {});
  EXPECT_GT(answers.by_peer["b:4317"].size(), 40u);
  EXPECT_EQ(answers.all.size(), 600u);
  EXPECT_EQ(bench.exporter->held_bytes(), 0u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(ByTrace, ADestinationThatLeavesGivesItsQueueToTheOthers) {
  Bench bench({.load_balancing = "trace_id", .max_batch_bytes = 4096, .max_in_flight = 1}, kThree);
  for (uint64_t i = 0; i < 40; ++i) (void)bench.Push(MakeTraces(1 + 50 * i, 50));
  bench.peer.Advance(seconds(1));
  bench.Name({"a:4317", "c:4317"});
  Answers answers;
  for (int i = 0; i < 50; ++i) {
    answers.Answer(bench.peer, {"b:4317"});
    bench.peer.Advance(milliseconds(200));
  }
  EXPECT_EQ(answers.all.size(), 2000u);
  EXPECT_TRUE(bench.exporter->idle());
  EXPECT_EQ(bench.exporter->held_bytes(), 0u);
}

TEST(ByTrace, WhatComesBeforeTheFirstAddressWaitsForIt) {
  Bench bench({.load_balancing = "trace_id"}, {});
  (void)bench.Push(MakeTraces(1, 100));
  bench.peer.Advance(seconds(5));
  EXPECT_TRUE(bench.peer.calls.empty());
  bench.Name(kThree);
  bench.peer.Advance(seconds(1));
  Answers answers;
  answers.Answer(bench.peer, {});
  EXPECT_EQ(answers.all.size(), 100u);
  EXPECT_EQ(answers.by_peer.size(), 3u);
}

TEST(ByTrace, WithNobodyAliveEverythingIsKept) {
  Bench bench({.load_balancing = "trace_id", .reassign_seconds = 1}, kThree);
  (void)bench.Push(MakeTraces(1, 100));
  Answers answers;
  for (int i = 0; i < 100; ++i) {
    bench.peer.Advance(milliseconds(100));
    answers.Answer(bench.peer, {"a:4317", "b:4317", "c:4317"});
  }
  EXPECT_EQ(bench.row.held(), 100);
  for (int i = 0; i < 30; ++i) {
    bench.peer.Advance(milliseconds(100));
    answers.Answer(bench.peer, {});
  }
  EXPECT_EQ(answers.all.size(), 100u);
}

// A flow that fills a third of the queue within the grace of a destination that takes nothing, or
// less than its share. `seconds_alive` of 30 it answers.
struct Flow {
  enum Kind { kBroken, kSilent, kSlow };
  uint64_t busy = 0, pushed = 0, late = 0;
  Answers answers;

  void Run(Bench& bench, Kind kind) {
    std::map<uint64_t, std::chrono::nanoseconds> silent_since;
    for (int step = 0; step < 3000; ++step) {  // 30 s
      bool taken = bench.Push(MakeTraces(1 + 30ull * pushed, 30)) == PushResult::kTaken;
      taken ? ++pushed : ++busy;
      bench.peer.Advance(milliseconds(10));
      int slow_ones = step % 20 == 0 ? 1 : 0;
      for (size_t c = 0; c < bench.peer.calls.size();) {
        const bool sick = bench.peer.calls[c].peer == "b:4317";
        if (sick && kind == kBroken) {
          bench.peer.Break(c);
        } else if (sick && (kind == kSilent || slow_ones-- <= 0)) {
          ++c;
        } else {
          for (uint64_t id : SpanIds(bench.peer.calls[c].payload.view())) {
            EXPECT_TRUE(answers.all.insert(id).second);
            answers.by_peer[bench.peer.calls[c].peer].insert(id);
          }
          bench.peer.Succeed(c);
        }
      }
    }
  }
};

// 30 spans in 10 ms are some 200 KB/s; a third of it fills the queue in about 4 s.
const Options kTightQueue = {.load_balancing = "trace_id",
                             .max_batch_bytes = 4096,
                             .queue_bytes = 256 << 10,
                             .max_in_flight_bytes = 64 << 10};

TEST(ByTrace, F14_OneDeadOfThreeCostsTheOthersUnderOnePercent) {
  for (auto kind : {Flow::kBroken, Flow::kSilent, Flow::kSlow}) {
    Bench bench(kTightQueue, kThree);
    Flow flow;
    flow.Run(bench, kind);
    EXPECT_LT(flow.busy, 30u) << kind;
    // All but what was sent or queued for the sick one has come to the living.
    EXPECT_GT(flow.answers.all.size(), 30 * flow.pushed * 85 / 100) << kind;
    // Nothing is lost, and it gets its traces back.
    for (int i = 0; i < 300; ++i) {
      bench.peer.Advance(milliseconds(100));
      flow.answers.Answer(bench.peer, {});
    }
    EXPECT_TRUE(bench.exporter->idle()) << kind;
    EXPECT_EQ(flow.answers.all.size(), 30 * flow.pushed);
    EXPECT_EQ(bench.exporter->held_bytes(), 0u);
    EXPECT_TRUE(bench.row.Balanced());
    const size_t before = flow.answers.by_peer["b:4317"].size();
    (void)bench.Push(MakeTraces(100'000'000, 300));
    bench.peer.Advance(seconds(1));
    flow.answers.Answer(bench.peer, {});
    EXPECT_GT(flow.answers.by_peer["b:4317"].size(), before + 40) << kind;
  }
}

TEST(ByTrace, WhenAllAreTooSlowEachKeepsItsTracesAndTheQueueSaysBusy) {
  Bench bench(kTightQueue, kThree);
  uint64_t pushed = 0, busy = 0;
  for (int step = 0; step < 3000; ++step) {
    bench.Push(MakeTraces(1 + 30 * pushed, 30)) == PushResult::kTaken ? ++pushed : ++busy;
    bench.peer.Advance(milliseconds(10));
    if (step % 20 != 0) continue;
    std::set<std::string> answered;
    for (size_t c = 0; c < bench.peer.calls.size();) {
      if (!answered.insert(bench.peer.calls[c].peer).second)
        ++c;
      else
        bench.peer.Succeed(c);
    }
  }
  EXPECT_GT(busy, 1000u);
  EXPECT_LE(bench.exporter->held_bytes(), 264u << 10);
  EXPECT_EQ(bench.MetricValue("weft_exporter_collector_reassigned_spans_total"), 0);
}

// Destinations die, come back, leave and join while spans come in: nothing is lost or doubled.
TEST(ByTrace, TheLedgerBalancesWhileTheRingChanges) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::minstd_rand random(seed);
    const std::vector<std::string> names = {"a:1", "b:1", "c:1", "d:1"};
    Bench bench({.load_balancing = random() % 2 ? "trace_id" : "round_robin",
                 .max_batch_bytes = 4096,
                 .max_in_flight = 2,
                 .reassign_seconds = 1},
                names);
    Answers answers;
    uint64_t next = 1;
    std::set<std::string> dead;
    for (int step = 0; step < 300; ++step) {
      if (random() % 10 == 0) dead = {names[random() % 4], names[random() % 4]};
      if (random() % 15 == 0) {
        std::vector<std::string> some;
        for (const std::string& name : names)
          if (random() % 2) some.push_back(name);
        bench.Name(some);
      }
      const size_t count = 1 + random() % 30;
      if (bench.Push(MakeTraces(next, count)) == PushResult::kTaken) next += count;
      bench.peer.Advance(milliseconds(random() % 300));
      if (random() % 3) answers.Answer(bench.peer, dead);
      EXPECT_TRUE(bench.row.Balanced());
    }
    bench.Name(names);
    for (int i = 0; i < 600 && !bench.exporter->idle(); ++i) {
      bench.peer.Advance(milliseconds(100));
      answers.Answer(bench.peer, {});
    }
    EXPECT_TRUE(bench.exporter->idle()) << "seed " << seed;
    EXPECT_EQ(answers.all.size(), next - 1) << "seed " << seed;
    EXPECT_EQ(bench.row.out(), next - 1);
    EXPECT_EQ(bench.exporter->held_bytes(), 0u);
  }
}

}  // namespace
}  // namespace weft::exporters::collector
