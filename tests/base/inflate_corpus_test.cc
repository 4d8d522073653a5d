#include <gtest/gtest.h>

#include "base/entry_points.h"
#include "damage.h"

namespace weft::base {
namespace {

TEST(InflateCorpus, DamagedInputsAreRefusedOrInflatedWithinBounds) {
  const std::vector<std::string> corpus = tests::ReadCorpus(WEFT_TEST_DIR "/corpus");
  ASSERT_GE(corpus.size(), 7u);
  tests::ForEachDamage(corpus, {0x00, 0x01, 0x1f, 0x7f, 0x80, 0xff}, [](const std::string& input) {
    ASSERT_EQ(TryInflate(AsBytes(input)), "") << testing::PrintToString(input.substr(0, 200));
  });
}

}  // namespace
}  // namespace weft::base
