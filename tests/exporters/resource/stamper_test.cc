#include "exporters/resource/stamper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exporters/otlp_request.h"

namespace weft::exporters::resource {
namespace {

using model::PushResult;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(StamperOptions, EntriesAreKeyAndValue) {
  EXPECT_TRUE(Check({{"a=b", "c=", "d=e=f"}}).ok());
  EXPECT_THAT(std::string(Check({{"a"}}).message()), HasSubstr("\"a\" is not \"key=value\""));
  EXPECT_FALSE(Check({{"=b"}}).ok());
  EXPECT_FALSE(Check({{"a=\xff"}}).ok());
  EXPECT_THAT(std::string(Check({{"a=1", "a=2"}}).message()), HasSubstr("\"a\" twice"));
  std::vector<std::string> many;
  for (int i = 0; i < 65; ++i) many.push_back("k" + std::to_string(i) + "=v");
  EXPECT_FALSE(Check({many}).ok());
  many.pop_back();
  EXPECT_TRUE(Check({many}).ok());
}

class Behind final : public model::Sink<model::OtlpBatch> {
 public:
  PushResult Push(model::OtlpBatch&& batch) override {
    const base::ByteBuffer flat = protocols::otlp::Flatten(protocols::otlp::Gather(batch));
    seen = base::AsText(flat.view());
    if (busy) return PushResult::kBusy;
    last = std::move(batch);
    return PushResult::kTaken;
  }
  bool busy = false;
  std::string seen;
  model::OtlpBatch last;
};

class StamperTest : public ::testing::Test {
 protected:
  base::LedgerRow row_{"resource", "items"};
  base::MetricRegistry metrics_;
  Behind behind_;
  Stamper stamper_{{{"k8s.node.name=node-7"}}, {row_, metrics_, behind_}};
};

model::OtlpBatch Opaque(model::Signal signal) {
  model::OtlpBatch batch;
  batch.bytes = MakeSpans(1, 2).bytes;
  batch.signal = signal;
  batch.items = 2;
  return batch;
}

TEST_F(StamperTest, TracesMetricsAndLogsAreStamped) {
  ASSERT_EQ(stamper_.Push(MakeSpans(1, 3)), PushResult::kTaken);
  EXPECT_THAT(behind_.seen, HasSubstr("node-7"));
  EXPECT_EQ(SpanIds(base::AsBytes(behind_.seen)), (std::vector<uint64_t>{1, 2, 3}));
  for (const model::Signal signal : {model::Signal::kMetrics, model::Signal::kLogs}) {
    auto batch = Opaque(signal);
    batch.packed = std::make_shared<base::Packed>();
    ASSERT_EQ(stamper_.Push(std::move(batch)), PushResult::kTaken);
    EXPECT_THAT(behind_.seen, HasSubstr("node-7"));
    EXPECT_EQ(behind_.last.packed, nullptr);  // it is the form of other bytes
  }
  EXPECT_EQ(row_.in(), 7u);
  EXPECT_EQ(row_.out(), 7u);
}

// Their attributes may stand in a dictionary.
TEST_F(StamperTest, ProfilesPass) {
  auto batch = Opaque(model::Signal::kProfiles);
  const base::SharedBytes bytes = batch.bytes;
  ASSERT_EQ(stamper_.Push(std::move(batch)), PushResult::kTaken);
  EXPECT_EQ(behind_.last.bytes, bytes);
}

TEST_F(StamperTest, BusyGivesTheBatchBackAsItWas) {
  behind_.busy = true;
  auto traces = MakeSpans(1, 3);
  const base::SharedBytes bytes = traces.bytes;
  ASSERT_EQ(stamper_.Push(std::move(traces)), PushResult::kBusy);
  EXPECT_THAT(behind_.seen, HasSubstr("node-7"));
  EXPECT_EQ(traces.bytes, bytes);
  EXPECT_FALSE(traces.edited);
  EXPECT_TRUE(traces.extra.empty());
  EXPECT_THAT(
      std::string(base::AsText(protocols::otlp::Flatten(protocols::otlp::Gather(traces)).view())),
      Not(HasSubstr("node-7")));

  auto logs = Opaque(model::Signal::kLogs);
  const base::SharedBytes log_bytes = logs.bytes;
  const auto packed = logs.packed = std::make_shared<base::Packed>();
  ASSERT_EQ(stamper_.Push(std::move(logs)), PushResult::kBusy);
  EXPECT_EQ(logs.bytes, log_bytes);
  EXPECT_EQ(logs.packed, packed);
  EXPECT_EQ(row_.in(), 0u);
}

}  // namespace
}  // namespace weft::exporters::resource
