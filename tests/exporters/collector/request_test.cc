#include "exporters/collector/request.h"

#include <gtest/gtest.h>

#include "exporters/otlp_request.h"

namespace weft::exporters::collector {
namespace {

uint64_t PayloadBytes(const std::vector<Item>& items) {
  uint64_t sum = 0;
  for (const Item& item : items) sum += item.payload.size;
  return sum;
}

TEST(CollectorRequest, ALargeBatchIsCutIntoPartsThatFit) {
  model::OtlpBatch batch = MakeSpans(1, 400, 200);
  const uint64_t whole = batch.size_bytes();
  std::vector<Item> items = MakeItems(std::move(batch), 400, 20'000);
  ASSERT_GT(items.size(), 4u);
  uint64_t spans = 0;
  for (const Item& item : items) {
    EXPECT_LE(item.payload.size, 20'000u);
    spans += item.spans;
  }
  EXPECT_EQ(spans, 400u);
  EXPECT_LT(PayloadBytes(items), whole + whole / 10);
}

// A resource larger than half a request would be repeated in every part: bytes must not multiply.
TEST(CollectorRequest, ABatchThatIsMostlyEnvelopeIsNotCut) {
  std::vector<TestSpan> spans;
  for (uint64_t i = 1; i <= 500; ++i) spans.push_back({.trace = 7, .span = i});
  model::OtlpBatch batch = MakeBatch(std::string(15'000, 's'), spans);
  const uint64_t whole = batch.size_bytes();
  std::vector<Item> items = MakeItems(std::move(batch), 500, 20'000);
  EXPECT_LE(PayloadBytes(items), 2 * whole);
}

}  // namespace
}  // namespace weft::exporters::collector
