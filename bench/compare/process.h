// Child processes of a comparison, and what they cost, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace weft::bench {

// CPU of a process and its children, user and system; the sum of their highest resident sizes.
struct Usage {
  double cpu_seconds = 0;
  uint64_t peak_rss_kib = 0;
};

// A running program that ends with this object, and with this process. Threads: one.
class Process {
 public:
  struct Options {
    std::vector<std::string> command;                           // a name is looked for in PATH
    std::vector<std::pair<std::string, std::string>> env = {};  // added to our own
    std::string output_file;  // standard output; relative to the own working directory
    std::string error_file;   // standard error; empty: the output file
  };
  Process() = default;
  ~Process() { Stop(0); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Returns what went wrong, empty when it runs.
  std::string Start(const Options& options);
  bool Running();
  // Asks it to end (SIGTERM), waits so long, then kills. Returns the exit status, -1 when killed.
  int Stop(double seconds);
  // Waits for its own end; -1 when it did not come in time (then it is killed) or by a signal.
  int Wait(double seconds);
  Usage Measure() const;

 private:
  pid_t pid_ = -1;
  int exit_ = -1;
};

// A TCP and UDP port of the loopback that nobody had a moment ago.
uint16_t FreePort();
// Something accepts connections at "host:port".
bool Accepts(const std::string& endpoint);
// The whole content; empty when it cannot be read.
std::string ReadFile(const std::string& file);
bool WriteFile(const std::string& file, const std::string& content);

}  // namespace weft::bench
