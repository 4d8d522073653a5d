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
  std::string Json() const {
    std::string out = "{";
    for (const auto& [key, value] : figures_) {
      char text[40];
      std::snprintf(text, sizeof text, "%.10g", value);
      out += (out.size() > 1 ? ", \"" : "\"") + key + "\": " + text;
    }
    return out + "}";
  }
  void Print(bool json) const {
    if (json) {
      std::printf("%s\n", Json().c_str());
    } else {
      for (const auto& [key, value] : figures_) std::printf("%-24s %14.10g\n", key.c_str(), value);
    }
    std::fflush(stdout);
  }

 private:
  std::vector<std::pair<std::string, double>> figures_;
};

}  // namespace weft::bench
