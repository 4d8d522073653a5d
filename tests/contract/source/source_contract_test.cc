// The contract of every Source: life-cycle in any order, and every unit offered is taken, refused
// or counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "sources.h"

namespace weft::contract {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

class SourceContract : public ::testing::TestWithParam<SourceRow> {
 protected:
  // False when the machine lacks what this source needs; then the test has been skipped.
  bool Start(model::Source& source) {
    base::Status started = source.Start();
    if (started.ok()) return true;
    reason_ = std::string(started.message());
    return false;
  }
  World world_;
  std::string reason_;
};

TEST(SourceContractRows, EveryPluginHasOne) {
  std::vector<std::string> rows, plugins;
  for (const SourceRow& row : Sources()) rows.push_back(row.plugin);
  std::stringstream list(WEFT_SOURCES);
  for (std::string name; std::getline(list, name, ',');) plugins.push_back(name);
  EXPECT_THAT(rows, ::testing::UnorderedElementsAreArray(plugins));
}

TEST_P(SourceContract, StopWithoutStartAndStopTwiceAreSafe) {
  auto source = GetParam().make(world_);
  source->Stop(Steady::now() + 1s);
  source->Stop(Steady::now() + 1s);
  EXPECT_FALSE(source->Name().empty());
}

TEST_P(SourceContract, StopUnderLoadIsTheEndOfPushes) {
  auto source = GetParam().make(world_);
  if (!Start(*source)) GTEST_SKIP() << "SKIPPED: " << reason_;
  std::thread client([&] { GetParam().offer(*source, 200); });
  world_.loop.RunAfter(20ms, [&] {
    source->Stop(Steady::now() + 1s);
    world_.loop.RunAfter(50ms, [&] { world_.loop.Stop(); });
  });
  world_.loop.Run();
  const uint64_t pushed = world_.batches.batches + world_.segments.batches;
  source->Stop(Steady::now() + 1s);
  EXPECT_EQ(world_.batches.batches + world_.segments.batches, pushed);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
  source.reset();
  client.join();
}

TEST_P(SourceContract, EveryUnitIsTakenRefusedOrCountedWhenTheSinkIsMoody) {
  world_.batches.refuse_percent = 50;
  world_.segments.refuse_percent = 50;
  auto source = GetParam().make(world_);
  if (!Start(*source)) GTEST_SKIP() << "SKIPPED: " << reason_;
  constexpr int kUnits = 100;
  std::thread client([&] {
    GetParam().offer(*source, kUnits);
    // What is still in the sockets gets its turn before the end.
    world_.loop.Post([this] { world_.loop.RunAfter(50ms, [this] { world_.loop.Stop(); }); });
  });
  world_.loop.Run();
  client.join();
  source->Stop(Steady::now() + 1s);
  EXPECT_TRUE(world_.ledger.Balanced()) << world_.ledger.Text();
  EXPECT_EQ(world_.credit.used(), 0u);
  if (GetParam().is_answered) {
    const base::LedgerRow& requests = *world_.ledger.rows().front();
    EXPECT_EQ(requests.in(), static_cast<uint64_t>(kUnits)) << world_.ledger.Text();
    EXPECT_GT(world_.batches.batches, 0u);
    EXPECT_LT(world_.batches.batches, static_cast<uint64_t>(kUnits));
  }
}

std::string Name(const ::testing::TestParamInfo<SourceRow>& info) { return info.param.plugin; }
INSTANTIATE_TEST_SUITE_P(All, SourceContract, ::testing::ValuesIn(Sources()), Name);

}  // namespace
}  // namespace weft::contract
