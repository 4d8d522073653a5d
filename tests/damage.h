// The corpus of a fuzz target as an ordinary test: the files of a folder, and systematic damage to
// them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace weft::tests {

inline std::vector<std::string> ReadCorpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(folder)) paths.push_back(file.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> out;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    out.push_back(text.str());
  }
  return out;
}

// Calls `visit` with every input whole, cut, with single bytes replaced by each of `bytes`, and
// with pieces of others put in: the same ones in every run.
template <typename Visit>
void ForEachDamage(const std::vector<std::string>& corpus, const std::vector<uint8_t>& bytes,
                   Visit visit) {
  constexpr size_t kPlaces = 150;
  std::mt19937 random(3);
  for (const std::string& input : corpus) {
    visit(input);
    const size_t step = std::max<size_t>(1, input.size() / kPlaces);
    for (size_t at = 0; at < input.size(); at += step) {
      visit(input.substr(0, at));
      for (const uint8_t byte : bytes) {
        std::string damaged = input;
        damaged[at] = static_cast<char>(byte);
        visit(damaged);
      }
      const std::string& other = corpus[random() % corpus.size()];
      std::string crossed = input;
      crossed.insert(at, other.substr(random() % (other.size() + 1), random() % 40));
      visit(crossed);
    }
  }
}

}  // namespace weft::tests
