// What a running weft says about itself: each feature on or off, by which means, and why not. The
// terminal's status block, /debug/status and `weft doctor` all print this list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weft::app {

struct Feature {
  std::string
      name;  // "capture", "receivers.otlp_grpc", …: the configuration block where there is one
  bool on = false;
  std::string how;     // rung, address or size, for people
  std::string reason;  // why it is off
};

std::string FeaturesJson(const std::vector<Feature>& features, std::string_view version,
                         double uptime_seconds, bool running);
// The list in what FeaturesJson wrote; false when it is something else.
bool FeaturesFromJson(const std::string& json, std::vector<Feature>* out);
// Aligned columns, one line a feature.
std::string FeaturesText(const std::vector<Feature>& features);

}  // namespace weft::app
