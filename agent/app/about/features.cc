#include "app/about/features.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "base/coding/json_text.h"

namespace weft::app {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  base::AppendJsonText(text, &out);
  return out;
}

}  // namespace

std::string FeaturesJson(const std::vector<Feature>& features, std::string_view version,
                         double uptime_seconds, bool running) {
  std::string out = "{\"version\": " + Quoted(version) +
                    ", \"running\": " + (running ? "true" : "false") +
                    ", \"uptime_seconds\": " + std::to_string(uptime_seconds) + ", \"features\": [";
  for (size_t i = 0; i < features.size(); ++i) {
    const Feature& f = features[i];
    out += i == 0 ? "\n  " : ",\n  ";
    out += "{\"name\": " + Quoted(f.name) + ", \"on\": " + (f.on ? "true" : "false") +
           ", \"rung\": " + Quoted(f.how) + ", \"reason\": " + Quoted(f.reason) + "}";
  }
  return out + "\n]}\n";
}

bool FeaturesFromJson(const std::string& json, std::vector<Feature>* out) {
  try {
    // JSON is YAML.
    for (const auto& f : YAML::Load(json)["features"])
      out->push_back({f["name"].as<std::string>(), f["on"].as<bool>(), f["rung"].as<std::string>(),
                      f["reason"].as<std::string>()});
    return !out->empty();
  } catch (const YAML::Exception&) {
    return false;
  }
}

std::string FeaturesText(const std::vector<Feature>& features) {
  size_t width = 0;
  for (const Feature& f : features) width = std::max(width, f.name.size());
  std::string out;
  for (const Feature& f : features) {
    out += "  " + f.name + std::string(width - f.name.size() + 2, ' ') + (f.on ? "on   " : "off  ");
    out += f.on ? f.how : f.reason;
    out += '\n';
  }
  return out;
}

}  // namespace weft::app
