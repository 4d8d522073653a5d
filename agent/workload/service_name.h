// The process-level rules for service.name and the process's other resource attributes.
//
//   1. OTEL_SERVICE_NAME                     (OpenTelemetry environment variable specification)
//   2. service.name in OTEL_RESOURCE_ATTRIBUTES
//   3. an interpreter's program: `python app.py` → app, `python -m http.server` → http.server,
//   `java -jar x.jar` → x;
//      a stem that says nothing (index, main, __main__) → the name of its folder
//   4. the executable's base name
//   5. unknown_service
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::workload {

// What was read of a process; anything may be empty.
struct ProcessFacts {
  std::string executable;                     // base name of exe, or comm
  std::vector<std::string_view> arguments;    // cmdline
  std::vector<std::string_view> environment;  // "NAME=value"; only OTEL_* is looked at
  std::string folder;                         // cwd
};

struct ServiceIdentity {
  std::string service_name;  // never empty
  // The rest of OTEL_RESOURCE_ATTRIBUTES, and telemetry.sdk.language where the executable tells it.
  std::vector<std::pair<std::string, std::string>> resource;
};

ServiceIdentity Identify(const ProcessFacts& facts);

}  // namespace weft::workload
