#include "exporters/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "exporters/otlp_request.h"
#include "exporters/sampling/threshold.h"
#include "protocols/otlp/gather.h"

namespace weft::exporters::sampling {
namespace {

using model::PushResult;

TEST(Threshold, ProbabilityAndThresholdAreTheTwoSidesOfOne) {
  EXPECT_EQ(ThresholdOf(1), 0u);
  EXPECT_EQ(ThresholdOf(2), 0u);
  EXPECT_EQ(ThresholdOf(0), kMaxThreshold);
  EXPECT_EQ(ThresholdOf(-1), kMaxThreshold);
  EXPECT_EQ(ThresholdOf(std::nan("")), kMaxThreshold);
  EXPECT_EQ(ThresholdOf(0.5), kMaxThreshold / 2);
  EXPECT_EQ(ThresholdOf(0.25), kMaxThreshold / 4 * 3);
  EXPECT_EQ(ThresholdOf(1e-30), kMaxThreshold - 1);
}

// The examples of the specification: th:8 is a half, th:c a quarter, th:0 everything.
TEST(Threshold, TracestateIsReadAndWrittenAsTheSpecificationSays) {
  EXPECT_EQ(ReadTraceState("ot=th:8").threshold, ThresholdOf(0.5));
  EXPECT_EQ(ReadTraceState("a=b, ot=th:c;rv:0123456789abcd ,c=d").threshold, ThresholdOf(0.25));
  EXPECT_EQ(ReadTraceState("ot=rv:0123456789abcd").randomness, 0x0123456789abcdu);
  EXPECT_EQ(ReadTraceState("ot=th:0").threshold, 0u);
  EXPECT_EQ(WithThreshold("", ThresholdOf(0.5)), "ot=th:8");
  EXPECT_EQ(WithThreshold("a=b,ot=th:4;rv:0123456789abcd,c=d", ThresholdOf(0.25)),
            "ot=th:c;rv:0123456789abcd,a=b,c=d");
}

TEST(Threshold, WhatIsNotATracestateIsNoThreshold) {
  for (const char* text : {"", "ot", "ot=", "ot=th:", "ot=th:xyz", "ot=th:123456789abcdef", "th:8",
                           "ot=rv:12", ",,,", "ot=th:8 8"}) {
    EXPECT_FALSE(ReadTraceState(text).threshold.has_value()) << text;
    EXPECT_FALSE(ReadTraceState(text).randomness.has_value()) << text;
  }
}

TEST(Threshold, ATracestateThatWouldBecomeTooLongStaysAsItWas) {
  const std::string full = "a=" + std::string(508, 'x');
  EXPECT_EQ(WithThreshold(full, ThresholdOf(0.5)), full);
}

// Keeps the ids of the spans that come, and may be busy.
class Behind final : public model::Sink<model::OtlpBatch> {
 public:
  PushResult Push(model::OtlpBatch&& batch) override {
    if (busy) return PushResult::kBusy;
    last = protocols::otlp::Flatten(protocols::otlp::Gather(batch));
    for (uint64_t id : SpanIds(last.view())) ids.insert(id);
    batch = {};
    return PushResult::kTaken;
  }
  bool busy = false;
  std::set<uint64_t> ids;
  base::ByteBuffer last;
};

struct Bench {
  explicit Bench(Options options) : sampler(std::move(options), {row, metrics, clock, behind}) {}
  base::LedgerRow row{"sampling", "spans"};
  base::MetricRegistry metrics;
  base::FakeClock clock;
  Behind behind;
  Sampler sampler;
};

uint64_t Scatter(uint64_t i) {
  i ^= i >> 30, i *= 0xbf58476d1ce4e5b9ull, i ^= i >> 27, i *= 0x94d049bb133111ebull;
  return i ^ i >> 31;
}

// `count` traces of two spans each: ids 2i and 2i + 1.
model::OtlpBatch Traces(uint64_t first, size_t count, std::string service = "svc") {
  std::vector<TestSpan> spans;
  for (uint64_t i = first; i < first + count; ++i)
    for (uint64_t s : {2 * i, 2 * i + 1}) spans.push_back({.trace = Scatter(i), .span = s});
  return MakeBatch(service, spans);
}

TEST(Sampler, OffPassesEverythingUntouched) {
  Bench bench({.enabled = false, .probability = 0});
  auto batch = Traces(1, 10);
  (void)bench.sampler.Push(std::move(batch));
  EXPECT_EQ(bench.behind.ids.size(), 20u);
  EXPECT_EQ(bench.row.in(), 0u);
}

TEST(Sampler, KeepsItsShareOfWholeTracesAndTheBooksBalance) {
  Bench bench({.enabled = true, .probability = 0.25});
  for (uint64_t i = 0; i < 40; ++i) (void)bench.sampler.Push(Traces(1 + 100 * i, 100));
  EXPECT_NEAR(static_cast<double>(bench.behind.ids.size()), 2000, 200);
  for (uint64_t id : bench.behind.ids) EXPECT_TRUE(bench.behind.ids.count(id ^ 1)) << id;
  EXPECT_EQ(bench.row.in(), 8000u);
  EXPECT_EQ(bench.row.out(), bench.behind.ids.size());
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Sampler, ALowerProbabilityKeepsASubset) {
  Bench half({.enabled = true, .probability = 0.5}), tenth({.enabled = true, .probability = 0.1});
  (void)half.sampler.Push(Traces(1, 2000));
  (void)tenth.sampler.Push(Traces(1, 2000));
  ASSERT_GT(tenth.behind.ids.size(), 200u);
  for (uint64_t id : tenth.behind.ids) EXPECT_TRUE(half.behind.ids.count(id));
}

TEST(Sampler, AServiceMayHaveItsOwnProbability) {
  Bench bench({.enabled = true, .probability = 1, .services = {"noisy=0", "quiet=1"}});
  (void)bench.sampler.Push(Traces(1, 50, "noisy"));
  EXPECT_TRUE(bench.behind.ids.empty());
  (void)bench.sampler.Push(Traces(1, 50, "quiet"));
  (void)bench.sampler.Push(Traces(100, 50, "other"));
  EXPECT_EQ(bench.behind.ids.size(), 200u);
}

std::string KeptState(const Bench& bench) {
  std::vector<protocols::otlp::ResourceSpansView> resources;
  EXPECT_TRUE(protocols::otlp::Decode(bench.behind.last.view(), &resources));
  if (resources.empty()) return "nothing";
  return std::string(resources[0].scopes[0].spans[0].trace_state);
}

model::OtlpBatch WithState(uint64_t trace_low, std::string_view state) {
  std::string span = Bytes(1, base::AsText(MakeId<16>(trace_low).view())) +
                     Bytes(2, base::AsText(MakeId<8>(9).view())) + Bytes(3, state) + Bytes(5, "op");
  return IndexText(
      Bytes(1, Bytes(1, Attribute(1, "service.name", "svc")) + Bytes(2, Bytes(2, span))));
}

constexpr uint64_t kLuckiest = (uint64_t{1} << 56) - 1;

TEST(Sampler, TheThresholdThatWasAppliedIsWrittenIntoTheTracestate) {
  Bench bench({.enabled = true, .probability = 0.5});
  (void)bench.sampler.Push(WithState(kLuckiest, "vendor=1"));
  EXPECT_EQ(KeptState(bench), "ot=th:8,vendor=1");
}

TEST(Sampler, WhatTheParentDecidedIsRespected) {
  Bench bench({.enabled = true, .probability = 0.01});
  (void)bench.sampler.Push(WithState(uint64_t{1} << 55, "ot=th:8"));
  EXPECT_EQ(bench.behind.ids.size(), 1u);
  EXPECT_EQ(KeptState(bench), "ot=th:8");
  Bench strict({.enabled = true, .probability = 0.01, .respect_parent = false});
  (void)strict.sampler.Push(WithState(uint64_t{1} << 55, "ot=th:8"));
  EXPECT_TRUE(strict.behind.ids.empty());
}

TEST(Sampler, ExplicitRandomnessDecidesInsteadOfTheTraceId) {
  Bench bench({.enabled = true, .probability = 0.5});
  (void)bench.sampler.Push(WithState(kLuckiest, "ot=rv:00000000000000"));
  EXPECT_TRUE(bench.behind.ids.empty());
}

TEST(Sampler, ARateIsHeldByDroppingWholeTraces) {
  Bench bench({.enabled = true, .spans_per_second = 200});
  uint64_t next = 1;
  for (int second = 0; second < 10; ++second) {
    for (int i = 0; i < 10; ++i, next += 50) (void)bench.sampler.Push(Traces(next, 50));
    bench.clock.Advance(1'000'000'000);
  }
  // 1,000 spans a second came; the first second may take twice the limit.
  EXPECT_LE(bench.behind.ids.size(), 400u + 9 * 300);
  EXPECT_GE(bench.behind.ids.size(), 400u + 9 * 120);
  uint64_t single = 0;
  for (uint64_t id : bench.behind.ids) single += bench.behind.ids.count(id ^ 1) == 0;
  EXPECT_LE(single, 2u);
  EXPECT_TRUE(bench.row.Balanced());
}

TEST(Sampler, BusyGivesTheBatchBackAsItWas) {
  Bench bench({.enabled = true, .probability = 0.5, .spans_per_second = 10});
  bench.behind.busy = true;
  auto batch = Traces(1, 20);
  batch.spans[3].dropped = batch.edited = true;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(bench.sampler.Push(std::move(batch)), PushResult::kBusy);
  for (size_t i = 0; i < batch.spans.size(); ++i) EXPECT_EQ(batch.spans[i].dropped, i == 3);
  EXPECT_TRUE(batch.appends.empty());
  EXPECT_EQ(bench.row.in(), 0u);
  bench.behind.busy = false;
  Bench once({.enabled = true, .probability = 0.5, .spans_per_second = 10});
  auto same = Traces(1, 20);
  same.spans[3].dropped = same.edited = true;
  (void)once.sampler.Push(std::move(same));
  (void)bench.sampler.Push(std::move(batch));
  EXPECT_EQ(bench.behind.ids, once.behind.ids);
}

TEST(Sampler, EntriesThatCannotBeReadAreRefused) {
  EXPECT_TRUE(Check({.services = {"a=0.5", "b=c=1"}}).ok());
  for (const char* bad : {"a", "=1", "a=", "a=x", "a=1.5", "a=-1"})
    EXPECT_FALSE(Check({.services = {bad}}).ok()) << bad;
}

}  // namespace
}  // namespace weft::exporters::sampling
