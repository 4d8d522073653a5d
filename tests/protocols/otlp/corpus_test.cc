// Every file of corpus/ and systematic damage to it, through the functions that the fuzzers call.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "damage.h"
#include "protocols/otlp/entry_points.h"
#include "protocols/otlp/oracle.h"

namespace weft::protocols::otlp {
namespace {

using Entry = std::string (*)(base::ByteView);

std::vector<std::string> Corpus() {
  std::vector<std::string> out = tests::ReadCorpus(WEFT_TEST_DIR "/corpus");
  for (uint32_t seed : {2, 5, 9}) out.push_back(RandomRequest(seed).SerializeAsString());
  return out;
}

void ExpectFine(Entry entry, const std::string& input) {
  std::string wrong = entry(base::AsBytes(input));
  ASSERT_EQ(wrong, "") << testing::PrintToString(input.substr(0, 400));
}

class OtlpCorpus : public testing::TestWithParam<Entry> {};

TEST_P(OtlpCorpus, FilesAsTheyAre) {
  ASSERT_GE(Corpus().size(), 8u);
  for (const std::string& input : Corpus()) ExpectFine(GetParam(), input);
}

TEST_P(OtlpCorpus, CutAtEveryByte) {
  for (const std::string& input : Corpus()) {
    size_t step = std::max<size_t>(1, input.size() / 500);
    for (size_t cut = 0; cut < input.size(); cut += step) {
      ExpectFine(GetParam(), input.substr(0, cut));
    }
  }
}

TEST_P(OtlpCorpus, EveryByteReplacedByTellingOnes) {
  for (const std::string& input : Corpus()) {
    size_t step = std::max<size_t>(1, input.size() / 200);
    for (size_t at = 0; at < input.size(); at += step) {
      for (uint8_t byte : {0x00, 0x01, 0x0a, 0x12, 0x22, 0x7b, 0x7f, 0x80, 0xff}) {
        std::string damaged = input;
        damaged[at] = static_cast<char>(byte);
        ExpectFine(GetParam(), damaged);
      }
    }
  }
}

TEST_P(OtlpCorpus, PiecesRemovedDoubledAndCrossed) {
  std::vector<std::string> corpus = Corpus();
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::string input = corpus[random() % corpus.size()];
    const std::string& other = corpus[random() % corpus.size()];
    if (input.empty() || other.empty()) continue;
    size_t at = random() % input.size(), size = random() % 40;
    switch (random() % 3) {
      case 0:
        input.erase(at, size);
        break;
      case 1:
        input.insert(at, input.substr(at, size));
        break;
      default:
        input.insert(at, other.substr(random() % other.size(), size));
    }
    ExpectFine(GetParam(), input);
  }
}

std::string NameOf(const testing::TestParamInfo<Entry>& info) {
  static const char* const kNames[] = {"Index", "Json", "SignalsJson"};
  return kNames[info.index];
}
INSTANTIATE_TEST_SUITE_P(EntryPoints, OtlpCorpus,
                         testing::Values(&TryIndex, &TryJson, &TrySignalsJson), NameOf);

}  // namespace
}  // namespace weft::protocols::otlp
