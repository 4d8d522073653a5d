#include "exporters/collector/ring.h"

#include <gtest/gtest.h>

#include <map>

#include "exporters/otlp_request.h"

namespace weft::exporters::collector {
namespace {

base::TraceId Trace(uint64_t i) { return MakeId<16>(i * 0x9E3779B97F4A7C15ull); }

TEST(Ring, EveryMemberGetsAShareOfTheTraces) {
  Ring ring({{"a:4317", 0}, {"b:4317", 1}, {"c:4317", 2}});
  std::map<uint32_t, int> count;
  for (uint64_t i = 0; i < 30'000; ++i) ++count[ring.Owner(Trace(i))];
  for (uint32_t m = 0; m < 3; ++m) EXPECT_GT(count[m], 5'000) << m;
}

TEST(Ring, TheOrderOfTheMembersDoesNotMatter) {
  Ring one({{"a:4317", 0}, {"b:4317", 1}, {"c:4317", 2}});
  Ring two({{"c:4317", 2}, {"a:4317", 0}, {"b:4317", 1}});
  for (uint64_t i = 0; i < 10'000; ++i) ASSERT_EQ(one.Owner(Trace(i)), two.Owner(Trace(i)));
}

TEST(Ring, OnlyTheTracesOfAMemberThatLeavesMove) {
  Ring three({{"a:4317", 0}, {"b:4317", 1}, {"c:4317", 2}});
  Ring two({{"a:4317", 0}, {"c:4317", 2}});
  for (uint64_t i = 0; i < 10'000; ++i) {
    const uint32_t before = three.Owner(Trace(i));
    if (before != 1) {
      ASSERT_EQ(two.Owner(Trace(i)), before);
    }
  }
}

// The places of the Collector's loadbalancing exporter: the owners of 24 traces, computed by
// another program from the same rules.
TEST(Ring, PlacesAreThoseOfTheCollector) {
  Ring ring({{"a:4317", 0}, {"b:4317", 1}, {"c:4317", 2}});
  std::string owners;
  for (uint64_t i = 1; i <= 24; ++i)
    owners.push_back("abc"[ring.Owner(MakeId<16>(i * 0x0123456789abcdefull))]);
  EXPECT_EQ(owners, "abacbcbbabbbbccbbcbbbbac");
}

}  // namespace
}  // namespace weft::exporters::collector
