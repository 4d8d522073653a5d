// The configuration: a YAML file, `--set key=value` overrides and ${env:NAME} references, bound to
// the Options of the rooms through their ConfigBlocks. This is the only place that knows YAML.
// Every mistake is found before anything is attached, and all of them are reported together, each
// with its line, its key and the nearest valid key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/config_view.h"

namespace weft::app {

// Where a value came from and what is wrong with it: "weft.yaml:12: receivers.otlp_gpc: unknown
// key; …".
struct ConfigMistake {
  std::string where;
  std::string text;
};

// Order: (LoadFile | LoadText)? Set* Apply. Threads: one.
class Config {
 public:
  // `blocks` point into live Options, which hold the defaults.
  explicit Config(std::vector<base::ConfigBlock> blocks);

  // Writes the values of a YAML document into the Options. Mistakes are collected, not thrown.
  void LoadFile(const std::string& path);
  void LoadText(std::string_view yaml, const std::string& name);
  // One override, "exporters.collector.endpoint=host:4317"; the value is YAML (lists: [a, b]).
  void Set(std::string_view assignment);

  const std::vector<ConfigMistake>& mistakes() const { return mistakes_; }
  std::string MistakesText() const;
  // The effective settings as YAML; secrets masked.
  std::string EffectiveYaml() const;
  // docs/config.md: every key with its default (call before loading), limits and meaning.
  std::string ReferenceMarkdown() const;

 private:
  friend class Binder;
  std::vector<base::ConfigBlock> blocks_;
  std::vector<ConfigMistake> mistakes_;
};

}  // namespace weft::app
