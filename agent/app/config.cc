#include "app/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

namespace weft::app {
namespace {

using base::ConfigBlock;
using base::ConfigField;

std::string Full(const ConfigBlock& block, const ConfigField& field) {
  return block.name.empty() ? field.key : block.name + "." + field.key;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t next =
          std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = row[j];
      row[j] = next;
    }
  }
  return row[b.size()];
}

// Replaces ${env:NAME} and ${env:NAME:-default}; "$$" stands for one dollar sign. Returns what is
// wrong, or nothing.
std::optional<std::string> Expand(std::string* text) {
  std::string out;
  for (size_t i = 0; i < text->size();) {
    if (text->compare(i, 2, "$$") == 0) {
      out += '$', i += 2;
      continue;
    }
    if (text->compare(i, 6, "${env:") != 0) {
      out += (*text)[i++];
      continue;
    }
    size_t end = text->find('}', i);
    if (end == std::string::npos) return "\"${env:\" without a closing brace";
    std::string name = text->substr(i + 6, end - i - 6);
    std::optional<std::string> fallback;
    if (size_t dash = name.find(":-"); dash != std::string::npos) {
      fallback = name.substr(dash + 2);
      name.resize(dash);
    }
    const char* value = std::getenv(name.c_str());
    if (value == nullptr && !fallback)
      return "environment variable " + name + " is not set and has no default";
    out += value != nullptr && *value != '\0' ? std::string(value) : fallback.value_or("");
    i = end + 1;
  }
  *text = out;
  return std::nullopt;
}

std::optional<bool> ParseBool(const std::string& text) {
  for (const char* yes : {"true", "True", "yes", "on"})
    if (text == yes) return true;
  for (const char* no : {"false", "False", "no", "off"})
    if (text == no) return false;
  return std::nullopt;
}

std::string RangeText(const ConfigField& field) {
  if (field.max == INT64_MAX) return "at least " + std::to_string(field.min);
  return "from " + std::to_string(field.min) + " to " + std::to_string(field.max);
}

// Writes one scalar into a field; returns what is wrong with it.
struct AssignScalar {
  const ConfigField& field;
  const std::string& text;

  std::optional<std::string> operator()(bool* out) const {
    auto value = ParseBool(text);
    if (!value) return "\"" + text + "\" is not true or false";
    *out = *value;
    return std::nullopt;
  }
  std::optional<std::string> operator()(int64_t* out) const {
    char* end = nullptr;
    errno = 0;
    long long value = std::strtoll(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || errno != 0) return "\"" + text + "\" is not a whole number";
    if (value < field.min || value > field.max)
      return text + " is out of range: " + RangeText(field);
    *out = value;
    return std::nullopt;
  }
  std::optional<std::string> operator()(double* out) const {
    char* end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') return "\"" + text + "\" is not a number";
    if (!(value >= static_cast<double>(field.min) && value <= static_cast<double>(field.max)))
      return text + " is out of range: " + RangeText(field);
    *out = value;
    return std::nullopt;
  }
  std::optional<std::string> operator()(std::string* out) const {
    if (!field.choices.empty() &&
        std::find(field.choices.begin(), field.choices.end(), text) == field.choices.end()) {
      std::string list;
      for (const auto& choice : field.choices) list += (list.empty() ? "" : ", ") + choice;
      return "\"" + text + "\" is not one of: " + list;
    }
    *out = text;
    return std::nullopt;
  }
  std::optional<std::string> operator()(std::vector<std::string>*) const {
    return "a list is expected: [a, b]";
  }
};

// As it must stand in a file to be read as `text`.
std::string Quoted(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '$' ? "$$" : std::string(1, c);
  YAML::Emitter out;
  out << YAML::DoubleQuoted << escaped;
  return out.c_str();
}

struct ValueText {
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const int64_t* v) const { return std::to_string(*v); }
  std::string operator()(const double* v) const {
    std::ostringstream out;
    out << *v;
    return out.str();
  }
  std::string operator()(const std::string* v) const { return Quoted(*v); }
  std::string operator()(const std::vector<std::string>* v) const {
    std::string out = "[";
    for (const auto& item : *v) out += (out.size() > 1 ? ", " : "") + Quoted(item);
    return out + "]";
  }
};

}  // namespace

// Walks a YAML tree beside the table of fields.
class Binder {
 public:
  Binder(Config& config, std::string source) : config_(config), source_(std::move(source)) {
    for (auto& block : config_.blocks_)
      for (auto& field : block.fields) fields_[Full(block, field)] = &field;
  }

  // `key` is where the mistake is reported: the line of the key, not of what follows it.
  void Walk(const YAML::Node& key, const YAML::Node& node, const std::string& path) {
    if (auto it = fields_.find(path); it != fields_.end())
      return Assign(key, node, path, *it->second);
    if (node.IsNull() && IsBlock(path)) return;
    if (!path.empty() && !IsBlock(path)) return Unknown(key, path);
    if (!node.IsMap()) return Mistake(key, path, "a map of settings is expected here");
    for (const auto& entry : node) {
      std::string name = entry.first.as<std::string>();
      Walk(entry.first, entry.second, path.empty() ? name : path + "." + name);
    }
  }

  void Mistake(const YAML::Node& node, const std::string& path, const std::string& text) {
    std::string where = source_;
    if (node.Mark().line >= 0 && source_ != "--set")
      where += ":" + std::to_string(node.Mark().line + 1);
    config_.mistakes_.push_back({where, path.empty() ? text : path + ": " + text});
  }

 private:
  bool IsBlock(const std::string& path) const {
    if (path.empty()) return true;
    auto it = fields_.lower_bound(path + ".");
    return it != fields_.end() && it->first.compare(0, path.size() + 1, path + ".") == 0;
  }

  void Unknown(const YAML::Node& node, const std::string& path) {
    std::string best;
    size_t best_distance = SIZE_MAX;
    auto consider = [&](const std::string& candidate) {
      size_t distance = EditDistance(path, candidate);
      if (distance < best_distance) best = candidate, best_distance = distance;
    };
    for (const auto& [key, field] : fields_) {
      consider(key);
      for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1))
        consider(key.substr(0, dot));
    }
    Mistake(node, path, "unknown key; did you mean " + best + "?");
  }

  void Assign(const YAML::Node& key, const YAML::Node& node, const std::string& path,
              const ConfigField& field) {
    if (auto* list = std::get_if<std::vector<std::string>*>(&field.value);
        list && node.IsSequence()) {
      std::vector<std::string> values;
      for (const auto& item : node) {
        if (!item.IsScalar()) return Mistake(item, path, "a list of plain values is expected");
        values.push_back(item.Scalar());
        if (auto wrong = Expand(&values.back())) return Mistake(item, path, *wrong);
      }
      **list = std::move(values);
      return;
    }
    if (!node.IsScalar()) return Mistake(key, path, "one plain value is expected here");
    std::string text = node.Scalar();
    auto wrong = Expand(&text);
    if (!wrong)
      wrong = std::visit([&](auto* out) { return AssignScalar{field, text}(out); }, field.value);
    if (wrong) Mistake(key, path, *wrong);
  }

  Config& config_;
  const std::string source_;
  std::map<std::string, ConfigField*> fields_;
};

Config::Config(std::vector<ConfigBlock> blocks) : blocks_(std::move(blocks)) {}

void Config::LoadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    mistakes_.push_back({path, "cannot be read"});
    return;
  }
  std::stringstream text;
  text << file.rdbuf();
  LoadText(text.str(), path);
}

void Config::LoadText(std::string_view yaml, const std::string& name) {
  try {
    YAML::Node root = YAML::Load(std::string(yaml));
    if (root.IsDefined() && !root.IsNull()) Binder(*this, name).Walk(root, root, "");
  } catch (const YAML::Exception& e) {
    mistakes_.push_back({name + ":" + std::to_string(e.mark.line + 1), e.msg});
  }
}

void Config::Set(std::string_view assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    mistakes_.push_back({"--set", "\"" + std::string(assignment) + "\": expected key=value"});
    return;
  }
  try {
    std::string value(assignment.substr(equals + 1));
    // An empty value means the empty text, not YAML's null.
    YAML::Node node = value.empty() ? YAML::Node(std::string()) : YAML::Load(value);
    Binder(*this, "--set").Walk(node, node, std::string(assignment.substr(0, equals)));
  } catch (const YAML::Exception& e) {
    mistakes_.push_back({"--set", std::string(assignment) + ": " + e.msg});
  }
}

std::string Config::MistakesText() const {
  std::string out;
  for (const auto& m : mistakes_) out += m.where + ": " + m.text + "\n";
  return out;
}

std::string Config::EffectiveYaml() const {
  // Blocks print as nested maps; a path segment is opened once as long as neighbours share it.
  std::string out;
  std::vector<std::string> open;
  std::map<std::string, const ConfigField*> sorted;
  for (const auto& block : blocks_)
    for (const auto& field : block.fields) sorted[Full(block, field)] = &field;
  for (const auto& [path, field] : sorted) {
    std::vector<std::string> parts;
    std::stringstream split(path);
    for (std::string part; std::getline(split, part, '.');) parts.push_back(part);
    size_t same = 0;
    while (same < open.size() && same + 1 < parts.size() && open[same] == parts[same]) ++same;
    open.resize(same);
    for (; same + 1 < parts.size(); ++same) {
      out += std::string(2 * same, ' ') + parts[same] + ":\n";
      open.push_back(parts[same]);
    }
    std::string value = std::visit([](auto* v) { return ValueText{}(v); }, field->value);
    const bool is_list = std::holds_alternative<std::vector<std::string>*>(field->value);
    if (field->secret && value != "\"\"" && value != "[]")
      value = is_list ? "[\"***\"]" : "\"***\"";
    out += std::string(2 * (parts.size() - 1), ' ') + parts.back() + ": " + value + "\n";
  }
  return out;
}

std::string Config::ReferenceMarkdown() const {
  std::string out =
      "# Configuration\n\n"
      "Written from the tables beside the code (`weft config --reference`); a test fails when it "
      "is stale.\n"
      "Values may hold `${env:NAME}` and `${env:NAME:-default}`; `$$` stands for one dollar "
      "sign.\n";
  for (const auto& block : blocks_) {
    out += "\n## `" + block.name + "`\n\n| key | default | meaning |\n|---|---|---|\n";
    for (const auto& field : block.fields) {
      std::string meaning = field.doc;
      if (std::holds_alternative<int64_t*>(field.value)) meaning += " (" + RangeText(field) + ")";
      for (size_t i = 0; i < field.choices.size(); ++i)
        meaning += (i == 0 ? " (one of " : ", ") + field.choices[i] +
                   (i + 1 == field.choices.size() ? ")" : "");
      out += "| `" + field.key + "` | `" +
             std::visit([](auto* v) { return ValueText{}(v); }, field.value) + "` | " + meaning +
             " |\n";
    }
  }
  return out;
}

}  // namespace weft::app
