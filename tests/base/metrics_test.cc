#include "base/metrics.h"

#include <gtest/gtest.h>

namespace weft::base {
namespace {

TEST(MetricRegistry, SameNameAndLabelsIsTheSameMetric) {
  MetricRegistry registry;
  Metric& a = registry.Get(MetricKind::kCounter, "weft_x_total", "help", {{"k", "1"}});
  Metric& b = registry.Get(MetricKind::kCounter, "weft_x_total", "help", {{"k", "1"}});
  Metric& c = registry.Get(MetricKind::kCounter, "weft_x_total", "help", {{"k", "2"}});
  EXPECT_EQ(&a, &b);
  EXPECT_NE(&a, &c);
}

TEST(MetricRegistry, SnapshotIsSortedAndReadsWatchedValues) {
  MetricRegistry registry;
  double size = 1.5;
  registry.Watch(MetricKind::kGauge, "weft_b", "b", {}, [&] { return size; });
  registry.Get(MetricKind::kCounter, "weft_c", "c").Add(2);
  registry.Get(MetricKind::kCounter, "weft_a", "a", {{"z", "2"}}).Add(4);
  registry.Get(MetricKind::kCounter, "weft_a", "a", {{"z", "1"}}).Set(-3);
  size = 2.5;
  auto samples = registry.Snapshot();
  ASSERT_EQ(samples.size(), 4u);
  EXPECT_EQ(samples[0].value, -3);
  EXPECT_EQ(samples[1].value, 4);
  EXPECT_EQ(samples[2].value, 2.5);
  EXPECT_EQ(samples[3].name, "weft_c");
}

}  // namespace
}  // namespace weft::base
