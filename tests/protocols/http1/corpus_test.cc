// Every file of corpus/ and systematic damage to it, through the function that the fuzzer calls.
#include <gtest/gtest.h>

#include <random>

#include "damage.h"
#include "protocols/http1/entry_points.h"

namespace weft::protocols::http1 {
namespace {

std::vector<std::string> Corpus() { return tests::ReadCorpus(WEFT_TEST_DIR "/corpus"); }

TEST(Http1Corpus, FilesAsTheyAreAndCutAnywhere) {
  ASSERT_GE(Corpus().size(), 2u);
  for (const std::string& input : Corpus()) {
    for (size_t cut = 0; cut <= input.size(); ++cut) {
      ASSERT_EQ(TryMessages(base::AsBytes(std::string_view(input).substr(0, cut))), "") << cut;
    }
  }
}

TEST(Http1Corpus, DamagedByChance) {
  for (const std::string& input : Corpus()) {
    for (unsigned seed = 0; seed < 3000; ++seed) {
      std::mt19937 random(seed);
      std::string bytes = input;
      for (unsigned i = 0; i < 1 + seed % 6; ++i) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      ASSERT_EQ(TryMessages(base::AsBytes(bytes)), "") << seed;
    }
  }
}

}  // namespace
}  // namespace weft::protocols::http1
