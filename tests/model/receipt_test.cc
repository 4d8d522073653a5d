// Receipts with holders: a level is reached when the last of them says so.
#include "model/receipt.h"

#include <gtest/gtest.h>

#include <vector>

namespace weft::model {
namespace {

struct Answers {
  std::vector<bool> all;
  Receipt::Callback Note() {
    return [this](bool reached) { all.push_back(reached); };
  }
};

TEST(ReceiptHolds, LevelIsReachedWhenTheLastHolderSaysSo) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  ReceiptHold first(receipt), second(receipt);
  Answers durable, delivered;
  receipt->When(ReceiptLevel::kDurable, durable.Note());
  receipt->When(ReceiptLevel::kDelivered, delivered.Note());
  first.Durable();
  first.Durable();
  EXPECT_TRUE(durable.all.empty());
  second.Durable();
  EXPECT_EQ(durable.all, std::vector<bool>{true});
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDurable);
  second.Delivered();
  EXPECT_TRUE(delivered.all.empty());
  first.Delivered();
  EXPECT_EQ(delivered.all, std::vector<bool>{true});
  EXPECT_EQ(durable.all.size(), 1u);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kDelivered);
}

TEST(ReceiptHolds, DeliveredIsMoreThanDurable) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  ReceiptHold hold(receipt);
  Answers durable;
  receipt->When(ReceiptLevel::kDurable, durable.Note());
  hold.Delivered();
  EXPECT_EQ(durable.all, std::vector<bool>{true});
}

TEST(ReceiptHolds, WithoutHoldersEverythingHasBeenSettled) {
  Receipt receipt(nullptr, 0);
  receipt.Reach(ReceiptLevel::kTaken);
  Answers answers;
  receipt.When(ReceiptLevel::kDelivered, answers.Note());
  EXPECT_EQ(answers.all, std::vector<bool>{true});
}

TEST(ReceiptHolds, HolderThatGoesWithoutAWordFailed) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  Answers answers;
  {
    ReceiptHold hold(receipt), other(receipt);
    receipt->When(ReceiptLevel::kDurable, answers.Note());
    other.Delivered();
  }
  EXPECT_EQ(answers.all, std::vector<bool>{false});
  EXPECT_EQ(receipt->failure(), ReceiptFailure::kLost);
  EXPECT_EQ(receipt->level(), ReceiptLevel::kFailed);
}

TEST(ReceiptHolds, HolderThatEndsDurableHasKeptThatMuch) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  Answers durable, delivered;
  {
    ReceiptHold hold(receipt);
    receipt->When(ReceiptLevel::kDurable, durable.Note());
    receipt->When(ReceiptLevel::kDelivered, delivered.Note());
    hold.Durable();
  }
  EXPECT_EQ(durable.all, std::vector<bool>{true});
  EXPECT_EQ(delivered.all, std::vector<bool>{false});
  EXPECT_EQ(receipt->failure(), ReceiptFailure::kNone);
}

TEST(ReceiptHolds, FailureIsToldAtOnceAndToWhoAsksLater) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  ReceiptHold first(receipt), second(receipt);
  Answers early, late;
  receipt->When(ReceiptLevel::kDelivered, early.Note());
  first.Fail(ReceiptFailure::kRejected);
  EXPECT_EQ(early.all, std::vector<bool>{false});
  second.Delivered();
  receipt->When(ReceiptLevel::kDurable, late.Note());
  EXPECT_EQ(late.all, std::vector<bool>{false});
  EXPECT_EQ(receipt->failure(), ReceiptFailure::kRejected);
}

TEST(ReceiptHolds, CancelledHoldHasNeverBeen) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  ReceiptHold hold(receipt);
  hold.Cancel();
  EXPECT_EQ(receipt->level(), ReceiptLevel::kPending);
  Answers answers;
  ReceiptHold next(receipt);
  receipt->When(ReceiptLevel::kDurable, answers.Note());
  EXPECT_TRUE(answers.all.empty());
  next.Durable();
  EXPECT_EQ(answers.all, std::vector<bool>{true});
}

TEST(ReceiptHolds, MovedHoldCountsOnceAndAnEmptyOneIsFine) {
  auto receipt = std::make_shared<Receipt>(nullptr, 0);
  Answers answers;
  ReceiptHold hold(receipt), none(nullptr);
  receipt->When(ReceiptLevel::kDelivered, answers.Note());
  ReceiptHold moved = std::move(hold);
  none = std::move(moved);
  EXPECT_TRUE(answers.all.empty());
  none.Delivered();
  EXPECT_EQ(answers.all, std::vector<bool>{true});
  none.Durable();
  none.Fail(ReceiptFailure::kLost);
}

TEST(ReceiptHolds, CreditGoesBackWithTheLastReference) {
  base::ByteCredit credit(100);
  ASSERT_TRUE(credit.Take(60));
  auto receipt = std::make_shared<Receipt>(&credit, 60);
  ReceiptHold hold(std::move(receipt));
  EXPECT_EQ(credit.used(), 60u);
  hold.Delivered();
  EXPECT_EQ(credit.used(), 0u);
}

}  // namespace
}  // namespace weft::model
