#include <gtest/gtest.h>

#include "app/entry_points.h"
#include "damage.h"

namespace weft::app {
namespace {

TEST(ConfigCorpus, DamagedFilesAreRefusedOrMeanSomething) {
  const std::vector<std::string> corpus = tests::ReadCorpus(WEFT_TEST_DIR "/corpus");
  ASSERT_GE(corpus.size(), 4u);
  tests::ForEachDamage(corpus, {0x00, '\n', ' ', ':', '$', '{', '[', '"', '&', '*', '-', 0xff},
                       [](const std::string& input) {
                         ASSERT_EQ(TryConfig(input), "") << testing::PrintToString(input);
                       });
}

}  // namespace
}  // namespace weft::app
