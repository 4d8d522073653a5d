#include "base/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::base {
namespace {

TEST(Ledger, RowBalancesWhenEverythingIsAccountedFor) {
  Ledger ledger;
  LedgerRow& row = ledger.Row("merge", "spans");
  EXPECT_TRUE(row.Balanced());
  row.In(10);
  EXPECT_FALSE(row.Balanced());
  row.Out(5);
  row.Held(3);
  row.Lose(Loss::kShed, "full", 2);
  EXPECT_TRUE(row.Balanced());
  row.Held(-3);
  EXPECT_FALSE(ledger.Balanced());
  row.Out(3);
  EXPECT_TRUE(ledger.Balanced());
}

TEST(Ledger, AMovingRowIsReadAgainUntilItBalances) {
  uint64_t reads = 0;
  const LedgerRow::Counts counts = ReadUntilBalanced([&] {
    ++reads;
    return LedgerRow::Counts{reads, reads < 4 ? reads - 1 : reads, 0, {}};
  });
  EXPECT_TRUE(counts.Balanced());
  EXPECT_EQ(reads, 4u);
}

TEST(Ledger, ARowThatNeverBalancesIsGivenUpSoon) {
  uint64_t reads = 0;
  const LedgerRow::Counts counts = ReadUntilBalanced([&] {
    ++reads;
    return LedgerRow::Counts{10, 4, 3, {{Loss::kShed, "full", 2}}};
  });
  EXPECT_FALSE(counts.Balanced());
  EXPECT_GT(reads, 1u);
  EXPECT_LT(reads, 100u);
}

TEST(Ledger, LossesAddUpByVerbAndReason) {
  LedgerRow row("net", "bytes");
  row.Lose(Loss::kShed, "full", 1);
  row.Lose(Loss::kShed, "full", 2);
  row.Lose(Loss::kRejected, "full", 4);
  row.Lose(Loss::kShed, "never", 0);
  ASSERT_EQ(row.lost().size(), 2u);
  EXPECT_EQ(row.lost()[0].count, 3u);
  EXPECT_EQ(row.lost_total(), 7u);
}

TEST(Ledger, JsonHasEveryRowInOrder) {
  Ledger ledger;
  EXPECT_EQ(ledger.Json(), R"({"balanced":true,"rows":[]})");
  LedgerRow& first = ledger.Row("ring", "records");
  ledger.Row("merge", "spans");
  first.In(3);
  first.Lose(Loss::kEvicted, "old", 1);
  EXPECT_EQ(ledger.Json(),
            R"({"balanced":false,"rows":[{"stage":"ring","unit":"records","in":3,"out":0,"held":0,)"
            R"("lost":[{"verb":"evicted","reason":"old","count":1}]},)"
            R"({"stage":"merge","unit":"spans","in":0,"out":0,"held":0,"lost":[]}]})");
}

TEST(Ledger, TextMarksRowsThatDoNotBalance) {
  Ledger ledger;
  ledger.Row("ring", "records").In(1);
  ledger.Row("merge", "spans").Lose(Loss::kShed, "full", 0);
  EXPECT_THAT(ledger.Text(), testing::ContainsRegex("ring .*UNBALANCED"));
  EXPECT_THAT(ledger.Text(), testing::Not(testing::ContainsRegex("merge .*UNBALANCED")));
}

}  // namespace
}  // namespace weft::base
