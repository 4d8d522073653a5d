// ConfigView: how a room reads its own block of the configuration without knowing YAML. A room
// binds its Options in one table (key, field, unit, limits, doc); the table gives parsing,
// validation, "did you mean", the effective configuration printed at start, and docs/config.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace weft::base {

// One setting of an Options struct. The pointer outlives the table.
struct ConfigField {
  std::string key;  // relative to the block, dots for nested maps: "endpoint"
  std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*> value;
  std::string doc;  // one line; starts with the unit where there is one
  int64_t min = 0;  // for int64_t and double
  int64_t max = INT64_MAX;
  std::vector<std::string> choices = {};  // for std::string: the allowed values; empty = any
  bool secret = false;                    // printed as ***
};

// A named block: "receivers.otlp_grpc". The fields point into a live Options struct.
struct ConfigBlock {
  std::string name;
  std::vector<ConfigField> fields;
};

}  // namespace weft::base
