#include "sources/ebpf/pressure.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "abi/weft_abi.h"

namespace weft::sources::ebpf {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

class PressureTest : public ::testing::Test {
 protected:
  PressureTest() { now_.drops.assign(WEFT_DROP_REASON_COUNT + 1, 0); }

  void Look(std::vector<CgroupDrops> cgroups = {}) {
    pressure_.Look(now_ns_, now_, [&] {
      ++asked_;
      return cgroups;
    });
  }
  int64_t Dropped(const std::string& cgroup, const std::string& reason) {
    return metrics_
        .Get(base::MetricKind::kCounter, "weft_capture_cgroup_dropped_records_total", "",
             {{"cgroup", cgroup}, {"reason", reason}})
        .value();
  }
  static CgroupDrops Of(uint64_t id, uint64_t full, uint64_t rate) {
    CgroupDrops c{id, std::vector<uint64_t>(WEFT_DROP_REASON_COUNT, 0)};
    c.drops[WEFT_DROP_RING_FULL] = full;
    c.drops[WEFT_DROP_CGROUP_RATE] = rate;
    return c;
  }

  base::MetricRegistry metrics_;
  Pressure pressure_{metrics_, [](uint64_t id) { return "/pod" + std::to_string(id); }};
  KernelCounters now_;
  uint64_t now_ns_ = 100 * kSecondNs;
  int asked_ = 0;
};

TEST_F(PressureTest, ShortHeadsAndSamplingAreStatesThatPass) {
  Look();
  EXPECT_EQ(pressure_.state(), Pressure::State::kNone);
  EXPECT_TRUE(pressure_.Row().on);
  now_.short_heads = 3;
  Look();
  EXPECT_EQ(pressure_.state(), Pressure::State::kShortHeads);
  EXPECT_FALSE(pressure_.Row().on);
  now_.drops[WEFT_DROP_SAMPLED] = 1;
  now_.short_heads = 4;
  Look();
  EXPECT_EQ(pressure_.state(), Pressure::State::kSampling);
  now_ns_ += Pressure::kShownNs - 1;
  Look();
  EXPECT_EQ(pressure_.state(), Pressure::State::kSampling);
  now_ns_ += 1;
  Look();
  EXPECT_EQ(pressure_.state(), Pressure::State::kNone);
  EXPECT_EQ(metrics_.Get(base::MetricKind::kCounter, "weft_capture_short_heads_total", "").value(),
            4);
}

TEST_F(PressureTest, DropsAreCountedByContainerAndReason) {
  Look();
  EXPECT_EQ(asked_, 0) << "nothing was dropped";
  now_.drops[WEFT_DROP_RING_FULL] = 10;
  Look({Of(7, 6, 0), Of(8, 4, 2)});
  EXPECT_EQ(Dropped("/pod7", "ring_full"), 6);
  EXPECT_EQ(Dropped("/pod8", "ring_full"), 4);
  EXPECT_EQ(Dropped("/pod8", "cgroup_rate"), 2);
  now_.drops[WEFT_DROP_RING_FULL] = 12;
  Look({Of(7, 1, 0), Of(8, 5, 2)});  // 7 was forgotten and has begun anew
  EXPECT_EQ(Dropped("/pod7", "ring_full"), 7);
  EXPECT_EQ(Dropped("/pod8", "ring_full"), 5);
}

TEST_F(PressureTest, ContainersBeyondTheFirstAreOthers) {
  std::vector<CgroupDrops> cgroups;
  for (uint64_t id = 1; id <= Pressure::kNamedCgroups + 4; ++id) cgroups.push_back(Of(id, 1, 0));
  now_.drops[WEFT_DROP_RING_FULL] = cgroups.size();
  Look(cgroups);
  EXPECT_EQ(Dropped("/pod16", "ring_full"), 1);
  EXPECT_EQ(Dropped("other", "ring_full"), 4);
}

TEST(CgroupPath, IsFoundByTheIdOrNamedByIt) {
  EXPECT_EQ(CgroupPath(~0ULL), "id:18446744073709551615");
}

TEST(RingBytes, AreAPowerOfTwoAndBoundedTogether) {
  EXPECT_EQ(RingBytes(3 << 20, 2), 2u << 20);
  EXPECT_EQ(RingBytes(8 << 20, 64), 1u << 20);
  EXPECT_EQ(RingBytes(1, 2), 64u << 10);
}

}  // namespace
}  // namespace weft::sources::ebpf
