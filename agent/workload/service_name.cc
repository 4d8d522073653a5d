#include "workload/service_name.h"

#include <algorithm>
#include <array>

#include "base/coding/percent.h"

namespace weft::workload {
namespace {

struct Interpreter {
  std::string_view prefix;    // of the executable's name, followed by nothing, digits or dots
  std::string_view language;  // telemetry.sdk.language
};
constexpr Interpreter kInterpreters[] = {
    {"python", "python"}, {"node", "nodejs"}, {"nodejs", "nodejs"}, {"java", "java"},
    {"ruby", "ruby"},     {"php", "php"},     {"perl", ""},         {"bash", ""},
    {"sh", ""},           {"deno", ""},
};

const Interpreter* FindInterpreter(std::string_view executable) {
  for (const auto& interpreter : kInterpreters) {
    if (!executable.starts_with(interpreter.prefix)) continue;
    std::string_view rest = executable.substr(interpreter.prefix.size());
    if (rest.find_first_not_of("0123456789.") == std::string_view::npos) return &interpreter;
  }
  return nullptr;
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string_view Stem(std::string_view file) {
  size_t dot = file.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? file : file.substr(0, dot);
}

bool SaysNothing(std::string_view stem) {
  return stem == "index" || stem == "main" || stem == "__main__" || stem.empty();
}

// The folder that holds a script: from its path, else the working directory.
std::string_view FolderName(std::string_view script, std::string_view working_directory) {
  size_t slash = script.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return BaseName(working_directory);
  std::string_view folder = BaseName(script.substr(0, slash));
  return folder == "." ? BaseName(working_directory) : folder;
}

// The program that an interpreter runs; empty when its arguments do not say.
std::string ProgramName(const ProcessFacts& facts) {
  constexpr std::array<std::string_view, 8> kTakeValue = {
      "-W", "-X", "-r", "--require", "--import", "-cp", "-classpath", "--loader"};
  for (size_t i = 1; i < facts.arguments.size(); ++i) {
    std::string_view argument = facts.arguments[i];
    const bool has_next = i + 1 < facts.arguments.size();
    if ((argument == "-m" || argument == "--module") && has_next)
      return std::string(facts.arguments[i + 1]);
    if (argument == "-jar" && has_next) return std::string(Stem(BaseName(facts.arguments[i + 1])));
    if (argument == "-c" || argument == "-e") return {};
    if (argument.starts_with("-")) {
      if (std::find(kTakeValue.begin(), kTakeValue.end(), argument) != kTakeValue.end()) ++i;
      continue;
    }
    std::string_view stem = Stem(BaseName(argument));
    return std::string(SaysNothing(stem) ? FolderName(argument, facts.folder) : stem);
  }
  return {};
}

std::string_view Trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// "a=1,b=2" as the specification of OTEL_RESOURCE_ATTRIBUTES has it.
void AddResourceAttributes(std::string_view list, ServiceIdentity* identity) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view pair = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    std::string key(Trimmed(pair.substr(0, equals))),
        value = base::PercentDecode(Trimmed(pair.substr(equals + 1)));
    if (key.empty()) continue;
    if (key == "service.name")
      identity->service_name = value;
    else
      identity->resource.emplace_back(std::move(key), std::move(value));
  }
}

}  // namespace

ServiceIdentity Identify(const ProcessFacts& facts) {
  constexpr std::string_view kName = "OTEL_SERVICE_NAME=",
                             kAttributes = "OTEL_RESOURCE_ATTRIBUTES=";
  ServiceIdentity identity;
  std::string_view explicit_name;
  for (std::string_view variable : facts.environment) {
    if (variable.starts_with(kName)) explicit_name = variable.substr(kName.size());
    if (variable.starts_with(kAttributes))
      AddResourceAttributes(variable.substr(kAttributes.size()), &identity);
  }
  const Interpreter* interpreter = FindInterpreter(facts.executable);
  if (interpreter != nullptr && !interpreter->language.empty())
    identity.resource.emplace_back("telemetry.sdk.language", interpreter->language);
  if (!explicit_name.empty()) identity.service_name = explicit_name;
  if (identity.service_name.empty() && interpreter != nullptr)
    identity.service_name = ProgramName(facts);
  if (identity.service_name.empty()) identity.service_name = facts.executable;
  if (identity.service_name.empty()) identity.service_name = "unknown_service";
  return identity;
}

}  // namespace weft::workload
