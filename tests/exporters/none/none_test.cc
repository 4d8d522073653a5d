#include "exporters/none/none.h"

#include <gtest/gtest.h>

namespace weft::exporters::none {
namespace {

TEST(None, CountsWhatItTakesAndLetsGoOfTheReceipt) {
  base::LedgerRow row{"exporter none", "spans"};
  None none(row);
  base::ByteCredit credit(100);
  ASSERT_TRUE(credit.Take(10));
  model::OtlpBatch batch;
  batch.spans.resize(3);
  batch.spans[1].dropped = true;
  batch.receipt = std::make_shared<model::Receipt>(&credit, 10);
  EXPECT_EQ(none.Push(std::move(batch)), model::PushResult::kTaken);
  EXPECT_EQ(row.in(), 2u);
  EXPECT_EQ(row.out(), 2u);
  EXPECT_EQ(credit.used(), 0u);
}

}  // namespace
}  // namespace weft::exporters::none
