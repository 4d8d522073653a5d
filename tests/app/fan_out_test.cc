#include "app/fan_out.h"

#include <gtest/gtest.h>

namespace weft::app {
namespace {

struct Recorder : model::Sink<model::OtlpBatch> {
  model::PushResult Push(model::OtlpBatch&& batch) override {
    if (busy) return model::PushResult::kBusy;
    model::OtlpBatch taken = std::move(batch);
    spans += taken.spans.size();
    return model::PushResult::kTaken;
  }
  bool busy = false;
  size_t spans = 0;
};

model::OtlpBatch Three() {
  model::OtlpBatch batch;
  batch.spans.resize(3);
  return batch;
}

TEST(FanOut, EveryBranchGetsTheWholeBatch) {
  Recorder strict, a, b;
  FanOut fan_out(&strict, {{&a, {}}, {&b, {}}});
  EXPECT_EQ(fan_out.Push(Three()), model::PushResult::kTaken);
  EXPECT_EQ(strict.spans, 3u);
  EXPECT_EQ(a.spans, 3u);
  EXPECT_EQ(b.spans, 3u);
}

TEST(FanOut, ABusyCollectorLeavesTheBatchWithTheCallerAndNobodyHasIt) {
  Recorder strict, a;
  strict.busy = true;
  FanOut fan_out(&strict, {{&a, {}}});
  model::OtlpBatch batch = Three();
  EXPECT_EQ(fan_out.Push(std::move(batch)), model::PushResult::kBusy);
  EXPECT_EQ(batch.spans.size(), 3u);
  EXPECT_EQ(a.spans, 0u);
  strict.busy = false;
  EXPECT_EQ(fan_out.Push(std::move(batch)), model::PushResult::kTaken);
  EXPECT_EQ(a.spans, 3u);
}

TEST(FanOut, AnUnwantedBranchIsLeftOut) {
  Recorder strict, a;
  FanOut fan_out(&strict, {{&a, [] { return false; }}});
  EXPECT_EQ(fan_out.Push(Three()), model::PushResult::kTaken);
  EXPECT_EQ(a.spans, 0u);
  EXPECT_EQ(strict.spans, 3u);
}

}  // namespace
}  // namespace weft::app
