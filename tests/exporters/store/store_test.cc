#include "exporters/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "exporters/otlp_request.h"

namespace weft::exporters::store {
namespace {

using model::PushResult;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using Filter = model::TraceQuery::Filter;

class StoreTest : public ::testing::Test {
 protected:
  // A store that has taken in all of `batches`, in order. Questions can be asked after Stop.
  Store& Fill(std::vector<model::OtlpBatch>&& batches, Options options = {}) {
    store_ = std::make_unique<Store>(options, Deps{row_, metrics_});
    store_->Start();
    for (model::OtlpBatch& batch : batches)
      EXPECT_EQ(store_->Push(std::move(batch)), PushResult::kTaken);
    store_->Stop(steady_clock::now() + seconds(20));
    EXPECT_TRUE(row_.Balanced());
    return *store_;
  }
  template <typename... B>
  Store& FillWith(B&&... batch) {
    std::vector<model::OtlpBatch> batches;
    (batches.push_back(std::move(batch)), ...);
    return Fill(std::move(batches));
  }
  // The trace ids of what Find gives, in order.
  static std::vector<uint64_t> Found(const Store& store, const Filter& filter) {
    std::vector<uint64_t> out;
    for (const base::ByteBuffer& trace : store.Find(filter)) {
      std::vector<protocols::otlp::ResourceSpansView> resources;
      EXPECT_TRUE(protocols::otlp::Decode(trace.view(), &resources));
      const auto& span = resources.at(0).scopes.at(0).spans.at(0);
      uint64_t id = 0;
      for (uint8_t byte : span.trace_id.bytes) id = id << 8 | byte;
      out.push_back(id);
    }
    return out;
  }
  uint64_t Lost(std::string_view reason) const {
    for (const auto& lost : row_.lost())
      if (lost.reason == reason) return lost.count;
    return 0;
  }

  base::LedgerRow row_{"exporter store", "spans"};
  base::MetricRegistry metrics_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, SpansOfOneTraceFromSeveralBatchesAreOneTrace) {
  Store& store = FillWith(
      MakeBatch("front", {{.trace = 1, .span = 10}, {.trace = 2, .span = 20}}),
      MakeBatch("back", {{.trace = 1, .span = 11, .parent = 10}, {.trace = 3, .span = 30}}));
  auto trace = store.Get(MakeId<16>(1));
  ASSERT_TRUE(trace.has_value());
  EXPECT_THAT(SpanIds(trace->view()), ElementsAre(10, 11));
  std::vector<protocols::otlp::ResourceSpansView> resources;
  ASSERT_TRUE(protocols::otlp::Decode(trace->view(), &resources));
  ASSERT_EQ(resources.size(), 2u);
  EXPECT_EQ(resources[0].ServiceName(), "front");
  EXPECT_EQ(resources[1].ServiceName(), "back");
  EXPECT_EQ(resources[0].scopes.at(0).name, "lib");
  EXPECT_FALSE(store.Get(MakeId<16>(99)).has_value());
  EXPECT_EQ(row_.held(), 4);
}

TEST_F(StoreTest, EveryTraceOfABatchWithSeveralServicesKeepsItsEnvelopes) {
  Store& store = FillWith(IndexText(
      EncodeRequest("a", {{.trace = 1, .span = 1}, {.trace = 2, .span = 2}}) +
      EncodeRequest("b", {{.trace = 2, .span = 3, .name = "x"}, {.trace = 1, .span = 4}})));
  EXPECT_THAT(SpanIds(store.Get(MakeId<16>(1))->view()), ElementsAre(1, 4));
  EXPECT_THAT(SpanIds(store.Get(MakeId<16>(2))->view()), ElementsAre(2, 3));
  EXPECT_THAT(store.Operations("b"), UnorderedElementsAre(Pair("x", 2), Pair("op", 2)));
}

TEST_F(StoreTest, ASpanThatArrivesAgainIsKeptOnceAndTheLastWins) {
  Store& store =
      FillWith(MakeBatch("s", {{.trace = 1, .span = 1, .name = "old"}, {.trace = 1, .span = 2}}),
               MakeBatch("s", {{.trace = 1, .span = 1, .name = "new"}}));
  auto trace = store.Get(MakeId<16>(1));
  EXPECT_THAT(SpanIds(trace->view()), UnorderedElementsAre(1, 2));
  EXPECT_EQ(std::string(base::AsText(trace->view())).find("old"), std::string::npos);
  EXPECT_NE(std::string(base::AsText(trace->view())).find("new"), std::string::npos);
  EXPECT_EQ(row_.held(), 2);
  EXPECT_EQ(row_.out(), 1u);
}

TEST_F(StoreTest, ASpanTwiceInOneBatchIsKeptOnce) {
  Store& store =
      FillWith(MakeBatch("s", {{.trace = 1, .span = 1}, {.trace = 1, .span = 1}, {.span = 2}}));
  EXPECT_EQ(SpanIds(store.Get(MakeId<16>(1))->view()).size(), 2u);
  EXPECT_EQ(row_.held(), 2);
}

TEST_F(StoreTest, ClientAndServerThatShareAnIdAreTwoSpans) {
  Store& store = FillWith(MakeBatch("s", {{.span = 1, .kind = 3}, {.span = 1, .kind = 2}}));
  EXPECT_EQ(SpanIds(store.Get(MakeId<16>(1))->view()).size(), 2u);
}

TEST_F(StoreTest, EditsOfTheBatchAreInTheStore) {
  auto batch = MakeSpans(1, 3);
  batch.spans[0].dropped = true;
  batch.appends.push_back(Attribute(9, "weft.origin", "merged"));
  batch.spans[2].append = 1;
  batch.edited = true;
  Store& store = FillWith(std::move(batch));
  auto trace = store.Get(MakeId<16>(7));
  EXPECT_THAT(SpanIds(trace->view()), ElementsAre(2, 3));
  EXPECT_EQ(Found(store, {.tags = {{"weft.origin", "merged"}}}).size(), 1u);
  EXPECT_EQ(row_.in(), 2u);
}

TEST_F(StoreTest, ServicesAndOperationsAreThoseOfTheTracesHere) {
  Store& store = FillWith(
      MakeBatch("front", {{.span = 1, .name = "GET /", .kind = 2}, {.span = 2, .name = "call"}}),
      MakeBatch("back", {{.span = 3, .name = "query", .kind = 3}}));
  EXPECT_THAT(store.Services(), ElementsAre("back", "front"));
  EXPECT_THAT(store.Operations("front"), UnorderedElementsAre(Pair("GET /", 2), Pair("call", 2)));
  EXPECT_THAT(store.Operations("back"), ElementsAre(Pair("query", 3)));
  EXPECT_THAT(store.Operations("nobody"), IsEmpty());
}

TEST_F(StoreTest, FindGivesTheNewestFirstAndNoMoreThanAsked) {
  std::vector<model::OtlpBatch> batches;
  for (uint64_t i = 1; i <= 300; ++i) batches.push_back(MakeBatch("s", {{.trace = i, .span = i}}));
  batches.push_back(MakeBatch("s", {{.trace = 5, .span = 1000}}));  // touched again
  Store& store = Fill(std::move(batches));
  EXPECT_THAT(Found(store, {.limit = 3}), ElementsAre(5, 300, 299));
  EXPECT_EQ(Found(store, {.limit = 1000}).size(), 300u);
  EXPECT_THAT(Found(store, {.limit = 0}), IsEmpty());
}

TEST_F(StoreTest, FindFiltersByServiceOperationTimeAndDuration) {
  Store& store =
      FillWith(MakeBatch("a", {{.trace = 1, .name = "x", .start_ns = 1'000, .end_ns = 2'000}}),
               MakeBatch("a", {{.trace = 2, .name = "y", .start_ns = 5'000, .end_ns = 9'000}}),
               MakeBatch("b", {{.trace = 3, .name = "x", .start_ns = 7'000, .end_ns = 7'100}}));
  EXPECT_THAT(Found(store, {.service = "a"}), ElementsAre(2, 1));
  EXPECT_THAT(Found(store, {.operation = "x"}), ElementsAre(3, 1));
  EXPECT_THAT(Found(store, {.service = "a", .operation = "x"}), ElementsAre(1));
  EXPECT_THAT(Found(store, {.start_min_ns = 5'000}), ElementsAre(3, 2));
  EXPECT_THAT(Found(store, {.start_max_ns = 4'999}), ElementsAre(1));
  EXPECT_THAT(Found(store, {.duration_min_ns = 1'000}), ElementsAre(2, 1));
  EXPECT_THAT(Found(store, {.duration_max_ns = 999}), ElementsAre(3));
  EXPECT_THAT(Found(store, {.service = "b", .operation = "y"}), IsEmpty());
}

TEST_F(StoreTest, FindByTagsLooksAtSpanResourceAndErrorOfOneSpan) {
  Store& store =
      FillWith(MakeBatch("a", {{.trace = 1, .tags = {{"http.route", "/a"}}, .status = 2}}),
               MakeBatch("a", {{.trace = 2, .span = 1, .tags = {{"http.route", "/a"}}},
                               {.trace = 2, .span = 2, .tags = {{"user", "ann"}}}}),
               MakeBatch("b", {{.trace = 3, .tags = {{"http.route", "/b"}}}}));
  EXPECT_THAT(Found(store, {.tags = {{"http.route", "/a"}}}), ElementsAre(2, 1));
  EXPECT_THAT(Found(store, {.tags = {{"error", "true"}}}), ElementsAre(1));
  EXPECT_THAT(Found(store, {.tags = {{"service.name", "b"}}}), ElementsAre(3));
  EXPECT_THAT(Found(store, {.tags = {{"http.route", "/a"}, {"user", "ann"}}}), IsEmpty());
  EXPECT_THAT(Found(store, {.service = "b", .tags = {{"http.route", "/a"}}}), IsEmpty());
}

TEST_F(StoreTest, DependenciesCountCallsBetweenServices) {
  Store& store = FillWith(MakeBatch("front", {{.trace = 1, .span = 1},
                                              {.trace = 1, .span = 2, .parent = 1},
                                              {.trace = 1, .span = 3, .parent = 1}}),
                          MakeBatch("back", {{.trace = 1, .span = 4, .parent = 2},
                                             {.trace = 1, .span = 5, .parent = 3}}),
                          MakeBatch("back", {{.trace = 2, .span = 6, .parent = 1}}));
  auto calls = store.Dependencies();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].parent, "front");
  EXPECT_EQ(calls[0].child, "back");
  EXPECT_EQ(calls[0].calls, 2u);
}

TEST_F(StoreTest, TheTraceTouchedLongestAgoIsForgottenAndCountsAsOut) {
  constexpr int64_t kMax = 256 << 10;
  std::vector<model::OtlpBatch> batches;
  for (uint64_t i = 1; i <= 2000; ++i)
    batches.push_back(MakeBatch("service " + std::to_string(i % 7),
                                {{.trace = i, .name = std::string(300, 'n')}}));
  Store& store = Fill(std::move(batches), {.max_bytes = kMax});
  EXPECT_FALSE(store.Get(MakeId<16>(1)).has_value());
  EXPECT_TRUE(store.Get(MakeId<16>(2000)).has_value());
  EXPECT_GT(row_.held(), 50);
  EXPECT_LT(row_.held(), 400);
  EXPECT_EQ(row_.lost_total(), 0u);
  EXPECT_EQ(row_.out(), 2000 - static_cast<uint64_t>(row_.held()));
  for (const auto& sample : metrics_.Snapshot())
    EXPECT_TRUE(sample.name != "weft_exporter_store_bytes" || sample.value <= kMax);
  EXPECT_EQ(store.Services().size(), 7u);
}

TEST_F(StoreTest, OperationsGoWithTheirLastTrace) {
  std::vector<model::OtlpBatch> batches;
  for (uint64_t i = 1; i <= 1000; ++i)
    batches.push_back(
        MakeBatch(i < 10 ? "early" : "late", {{.trace = i, .name = std::string(300, 'n')}}));
  Store& store = Fill(std::move(batches), {.max_bytes = 64 << 10});
  EXPECT_THAT(store.Services(), ElementsAre("late"));
}

TEST_F(StoreTest, OneEndlessTraceCannotPushOutTheOthers) {
  std::vector<model::OtlpBatch> batches;
  batches.push_back(MakeBatch("s", {{.trace = 1}}));
  for (uint64_t i = 1; i <= 200; ++i) batches.push_back(MakeSpans(i * 10, 10, 200));
  Store& store = Fill(std::move(batches), {.max_bytes = 256 << 10});
  EXPECT_TRUE(store.Get(MakeId<16>(1)).has_value());
  EXPECT_TRUE(store.Get(MakeId<16>(7)).has_value());
  EXPECT_GT(Lost("trace_too_large"), 0u);
}

TEST_F(StoreTest, AFullQueueShedsAndIsNeverBusy) {
  Store store({.queue_bytes = 64 << 10}, {row_, metrics_});  // not started: nothing leaves
  for (uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(store.Push(MakeSpans(1 + 10 * i, 10, 200)), PushResult::kTaken);
  EXPECT_GT(Lost("store_queue_full"), 0u);
  EXPECT_TRUE(row_.Balanced());
  store.Stop(steady_clock::now());
  EXPECT_EQ(Lost("store_queue_full") + Lost("shutdown"), 1000u);
  EXPECT_TRUE(row_.Balanced());
}

TEST_F(StoreTest, TheReceiptIsNotHeldByWhatIsStored) {
  base::ByteCredit credit(1 << 20);
  auto batch = MakeSpans(1, 10);
  ASSERT_TRUE(credit.Take(100));
  batch.receipt = std::make_shared<model::Receipt>(&credit, 100);
  FillWith(std::move(batch));
  EXPECT_EQ(credit.used(), 0u);
}

TEST_F(StoreTest, QuestionsDuringInsertionSeeWholeTraces) {
  Store store({.max_bytes = 512 << 10}, {row_, metrics_});
  store.Start();
  std::atomic<bool> done{false};
  std::thread asker([&] {
    while (!done) {
      for (const auto& trace : store.Find({.tags = {{"k", "v"}}, .limit = 50}))
        EXPECT_EQ(SpanIds(trace.view()).size(), 2u);
      (void)store.Dependencies();
      (void)store.Services();
    }
  });
  for (uint64_t i = 1; i <= 3000; ++i)
    (void)store.Push(MakeBatch("s", {{.trace = i, .span = 1, .tags = {{"k", "v"}}},
                                     {.trace = i, .span = 2, .parent = 1}}));
  store.Stop(steady_clock::now() + seconds(20));
  done = true;
  asker.join();
  EXPECT_EQ(row_.in(), 6000u);
  EXPECT_TRUE(row_.Balanced());
}

TEST_F(StoreTest, ABatchWithManyTracesIsSplitInLinearTime) {
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 20'000; ++i) spans.push_back({.trace = i, .span = i});
  Store& store = Fill([&] {
    std::vector<model::OtlpBatch> one;
    one.push_back(MakeBatch("s", spans));
    return one;
  }());
  EXPECT_EQ(row_.held(), 20'000);
  EXPECT_THAT(SpanIds(store.Get(MakeId<16>(12'345))->view()), ElementsAre(12'345));
}

}  // namespace
}  // namespace weft::exporters::store
