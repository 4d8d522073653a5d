// What a run prints: one flat set of figures, as text for people or as one JSON object for
// programs.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace weft::bench {

class Report {
 public:
  void Add(const std::string& key, double value) { figures_.push_back({key, value}); }
  void Print(bool json) const {
    if (json) std::printf("{");
    for (size_t i = 0; i < figures_.size(); ++i) {
      const auto& [key, value] = figures_[i];
      if (json)
        std::printf("%s\"%s\": %.10g", i == 0 ? "" : ", ", key.c_str(), value);
      else
        std::printf("%-24s %14.10g\n", key.c_str(), value);
    }
    if (json) std::printf("}\n");
    std::fflush(stdout);
  }

 private:
  std::vector<std::pair<std::string, double>> figures_;
};

}  // namespace weft::bench
