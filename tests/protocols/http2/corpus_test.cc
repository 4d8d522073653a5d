// Every file of corpus/ and systematic damage to it, through the functions that the fuzzers call.
#include <gtest/gtest.h>

#include <random>

#include "damage.h"
#include "protocols/http2/entry_points.h"

namespace weft::protocols::http2 {
namespace {

using Entry = std::string (*)(base::ByteView);

std::vector<std::string> Corpus() { return tests::ReadCorpus(WEFT_TEST_DIR "/corpus"); }

class Http2Corpus : public testing::TestWithParam<Entry> {};

TEST_P(Http2Corpus, FilesAsTheyAreAndCutAnywhere) {
  ASSERT_GE(Corpus().size(), 4u);
  for (const std::string& input : Corpus()) {
    for (size_t cut = 0; cut <= input.size(); ++cut) {
      ASSERT_EQ(GetParam()(base::AsBytes(std::string_view(input).substr(0, cut))), "") << cut;
    }
  }
}

TEST_P(Http2Corpus, DamagedByChance) {
  for (const std::string& input : Corpus()) {
    for (unsigned seed = 0; seed < 3000; ++seed) {
      std::mt19937 random(seed);
      std::string bytes = input;
      for (unsigned i = 0; i < 1 + seed % 6; ++i) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
      ASSERT_EQ(GetParam()(base::AsBytes(bytes)), "") << seed;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Http2Corpus, testing::Values(TryConnection, TryBlocks));

}  // namespace
}  // namespace weft::protocols::http2
