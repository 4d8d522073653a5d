#include "app/entry_points.h"

#include "app/config.h"
#include "app/settings.h"

namespace weft::app {

std::string TryConfig(std::string_view yaml) {
  Settings settings;
  Config config(Describe(settings));
  config.LoadText(yaml, "fuzz.yaml");
  if (!config.mistakes().empty()) {
    for (const ConfigMistake& mistake : config.mistakes())
      if (mistake.where.empty() || mistake.text.empty()) return "a mistake without place or text";
    return "";
  }
  const std::string effective = config.EffectiveYaml();
  Settings same;
  Config again(Describe(same));
  again.LoadText(effective, "effective.yaml");
  if (!again.mistakes().empty()) return "effective settings refused: " + again.MistakesText();
  return again.EffectiveYaml() == effective ? "" : "effective settings have changed";
}

}  // namespace weft::app
