#include "sources/ebpf/maps/ring_turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace weft::sources::ebpf {
namespace {

// Rings with records at random times, read a few at a time as Programs and Capture do.
TEST(RingTurns, RecordsComeInOrderAndFewWait) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    constexpr size_t kRings = 5, kAtOnce = 4, kRecords = 300;
    std::vector<std::vector<uint64_t>> rings(kRings);
    for (uint64_t time = 1; time <= kRecords; ++time) {
      rings[seed % 2 == 0 ? random() % kRings : time * kRings / (kRecords + 1)].push_back(time);
    }
    RingTurns turns;
    for (size_t i = 0; i < kRings; ++i) turns.Add();
    std::vector<size_t> at(kRings);
    std::vector<uint64_t> waiting, came;
    for (uint64_t horizon = 0; horizon != RingTurns::kAllRead;) {
      for (size_t i = 0; i < kRings; ++i) {
        if (!turns.IsDue(i)) continue;
        const size_t n = std::min(kAtOnce, rings[i].size() - at[i]);
        for (size_t k = 0; k < n; ++k) waiting.push_back(rings[i][at[i]++]);
        turns.Note(i, n == kAtOnce, n == 0 ? 0 : waiting.back());
      }
      ASSERT_LE(waiting.size(), kRings * kAtOnce) << seed;
      horizon = turns.EndRound();
      std::sort(waiting.begin(), waiting.end());
      const auto ripe = std::upper_bound(waiting.begin(), waiting.end(), horizon);
      came.insert(came.end(), waiting.begin(), ripe);
      waiting.erase(waiting.begin(), ripe);
    }
    ASSERT_EQ(came.size(), kRecords) << seed;
    EXPECT_TRUE(std::is_sorted(came.begin(), came.end())) << seed;
  }
}

}  // namespace
}  // namespace weft::sources::ebpf
