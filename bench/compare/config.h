// What a comparison file says: receivers, loads, how often. Every mistake is reported with its
// line; names in ${} are checked when the file is read, not when the first run needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weft::bench {

using Variables = std::map<std::string, std::string>;

// A program under test. Texts may hold ${name}.
struct Receiver {
  std::string name;
  std::vector<std::string> command;
  Variables env;
  std::string ready;    // host:port that accepts connections once it is ready
  Variables endpoints;  // protocol → host:port
  Variables files;      // name → content; written to ${dir} before the start
  Variables variables;
};

struct Load {
  std::string name, protocol;
  std::vector<std::string> arguments;       // of `weft-bench load`
  std::vector<std::string> sink_arguments;  // of `weft-bench sink`
  std::vector<std::string> receivers;       // names; all that speak the protocol when empty
  std::string shape;                        // YAML, empty when none
  Variables variables;
};

struct Comparison {
  std::string folder;  // of the file: where relative paths of commands begin
  uint32_t repeats = 3;
  double drain_seconds = 10;  // how long after a load spans may still arrive
  double start_seconds = 20;  // how long a receiver may take until it is ready
  Variables variables;
  std::vector<Receiver> receivers;
  std::vector<Load> loads;
};

// Reads `text`, the content of `file`. Returns the mistake ("file:line: …"), empty when there is
// none.
std::string ReadComparison(const std::string& file, const std::string& text,
                           const Variables& overrides, Comparison* out);

// `text` with every ${name} replaced by `value_of(name)`.
std::string Expand(std::string_view text,
                   const std::function<std::string(std::string_view)>& value_of);

// True when `load` runs on `receiver`.
bool Takes(const Receiver& receiver, const Load& load);

}  // namespace weft::bench
