// What every Sink<OtlpBatch> promises, whatever it does with the spans.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "contract/sink/sinks.h"
#include "exporters/otlp_request.h"

namespace weft::contract {
namespace {

using exporters::MakeSpans;
using exporters::SpanIds;
using model::PushResult;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class SinkContract : public ::testing::TestWithParam<SinkRow> {
 protected:
  void SetUp() override { under_test_ = GetParam().make(); }
  model::Sink<model::OtlpBatch>& sink() { return under_test_->sink(); }
  base::LedgerRow& row() { return under_test_->row; }

  std::unique_ptr<SinkUnderTest> under_test_;
};

TEST(SinkContractList, EveryExporterIsInTheSuite) {
  std::vector<std::string> folders, rows;
  std::stringstream list(WEFT_EXPORTERS);
  for (std::string name; std::getline(list, name, ',');) folders.push_back(name);
  for (const SinkRow& row : Sinks()) rows.push_back(row.name);
  EXPECT_THAT(rows, ::testing::UnorderedElementsAreArray(folders));
}

TEST_P(SinkContract, BusyLeavesTheBatchIntact) {
  for (uint64_t i = 0; i < 200; ++i) {
    auto batch = MakeSpans(1 + 10 * i, 10, 500);
    batch.receipt = std::make_shared<model::Receipt>(nullptr, 0);
    batch.spans[3].dropped = true;
    batch.edited = true;
    base::SharedBytes bytes = batch.bytes;
    model::ReceiptRef receipt = batch.receipt;
    if (sink().Push(std::move(batch)) == PushResult::kTaken) continue;
    EXPECT_EQ(batch.bytes, bytes);
    EXPECT_EQ(batch.receipt, receipt);
    EXPECT_EQ(receipt->level(), model::ReceiptLevel::kPending);
    ASSERT_EQ(batch.spans.size(), 10u);
    EXPECT_TRUE(batch.spans[3].dropped && batch.edited);
    EXPECT_EQ(SpanIds(batch.bytes->view()).at(0), 1 + 10 * i);
  }
}

TEST_P(SinkContract, EveryUnitTakenIsCountedAndTheBooksBalance) {
  std::minstd_rand random(7);
  uint64_t taken = 0, next = 1;
  for (int step = 0; step < 500; ++step) {
    size_t count = random() % 20;
    auto batch = MakeSpans(next, count, random() % 200);
    next += count;
    if (count > 2) batch.edited = batch.spans[1].dropped = true;
    if (sink().Push(std::move(batch)) == PushResult::kTaken) taken += count > 2 ? count - 1 : count;
    under_test_->Work(random());
  }
  under_test_->Drain(milliseconds(20'000));
  EXPECT_EQ(row().in(), taken);
  EXPECT_TRUE(row().Balanced());
  EXPECT_TRUE(GetParam().keeps_spans || row().held() == 0) << row().held();
}

TEST_P(SinkContract, DrainEndsWithinItsBudgetAndCountsWhatRemains) {
  for (uint64_t i = 0; i < 50; ++i) (void)sink().Push(MakeSpans(1 + 10 * i, 10, 300));
  auto from = steady_clock::now();
  under_test_->Drain(milliseconds(50));
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(5));
  EXPECT_TRUE(row().Balanced());
  EXPECT_TRUE(GetParam().keeps_spans || row().held() == 0) << row().held();
}

TEST_P(SinkContract, ReceiptsAreLetGoOfInTheEnd) {
  base::ByteCredit credit(1 << 20);
  for (uint64_t i = 0; i < 20; ++i) {
    auto batch = MakeSpans(1 + 10 * i, 10);
    ASSERT_TRUE(credit.Take(batch.size_bytes()));
    batch.receipt = std::make_shared<model::Receipt>(&credit, batch.size_bytes());
    (void)sink().Push(std::move(batch));
  }
  under_test_->Drain(milliseconds(20'000));
  EXPECT_EQ(credit.used(), 0u);
}

TEST_P(SinkContract, AnEmptyBatchIsTaken) {
  EXPECT_EQ(sink().Push(model::OtlpBatch{}), PushResult::kTaken);
  under_test_->Drain(milliseconds(1000));
  EXPECT_EQ(row().in(), 0u);
}

TEST_P(SinkContract, AnEndWithoutDrainIsSafe) {
  for (uint64_t i = 0; i < 20; ++i) (void)sink().Push(MakeSpans(1 + 10 * i, 10));
  under_test_.reset();
}

INSTANTIATE_TEST_SUITE_P(Exporters, SinkContract, ::testing::ValuesIn(Sinks()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace weft::contract
