#include <sys/types.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "commands.h"
#include "compare/config.h"
#include "compare/process.h"
#include "compare/result.h"
#include "net/http_client.h"
#include "protocol.h"

namespace weft::bench {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{30};
constexpr std::chrono::milliseconds kSettle{300};  // ports that open after the one that is watched
constexpr double kQuietSeconds = 1.5;  // nothing new for so long: what is missing will not come
constexpr double kStopSeconds = 20;
constexpr double kLongestLoadSeconds = 900;
constexpr int kLongestChain = 8;  // of variables that name variables

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Figures {
  double Of(const char* key) const { return node[key] ? node[key].as<double>() : 0; }
  bool empty() const { return !node.IsMap(); }
  YAML::Node node;
};

// JSON is YAML.
Figures Parsed(const std::string& json) {
  try {
    return {YAML::Load(json)};
  } catch (const YAML::Exception&) {
    return {};
  }
}

std::string LastLine(const std::string& text) {
  const size_t end = text.find_last_not_of("\n\r ");
  if (end == std::string::npos) return "it printed nothing";
  const size_t start = text.rfind('\n', end);
  return text.substr(start == std::string::npos ? 0 : start + 1, end - start);
}

// One load through one fresh receiver into one fresh sink.
class Trial {
 public:
  Trial(const Comparison& comparison, size_t receiver, size_t load, uint32_t seed)
      : comparison_(comparison),
        receiver_(comparison.receivers[receiver]),
        load_(comparison.loads[load]),
        seed_(seed),
        sink_endpoint_("127.0.0.1:" + std::to_string(FreePort())) {
    run_.receiver = receiver, run_.load = load;
    std::string pattern = (fs::temp_directory_path() / "weft-compare-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) folder_ = pattern;
  }
  ~Trial() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }

  RunResult Go() {
    if (folder_.empty())
      run_.wrong = "no temporary folder";
    else if (!StartSink() || !StartReceiver() || !RunTheLoad())
      run_.spans_sent = 0;
    else
      AwaitSpans();
    Finish();
    return run_;
  }
  std::string receiver_log() const { return ReadFile(folder_ + "/receiver.log"); }

 private:
  bool Fail(const std::string& wrong) {
    if (run_.wrong.empty()) run_.wrong = wrong;
    return false;
  }

  std::string ValueOf(std::string_view name, int depth) {
    const std::string key(name);
    if (key == "sink") return sink_endpoint_;
    if (key == "dir") return folder_;
    if (key == "here") return comparison_.folder;
    if (key.starts_with("env:")) {
      const char* value = std::getenv(key.c_str() + 4);
      return value == nullptr ? "" : value;
    }
    if (key.starts_with("port:")) {
      auto [port, fresh] = ports_.try_emplace(key, 0);
      if (fresh) port->second = FreePort();
      return std::to_string(port->second);
    }
    for (const Variables* place : {&load_.variables, &receiver_.variables, &comparison_.variables})
      if (auto found = place->find(key); found != place->end())
        return depth == kLongestChain ? "" : Expanded(found->second, depth + 1);
    Fail("${" + key + "} has no value for this receiver and load");
    return "";
  }
  std::string Expanded(const std::string& text, int depth = 0) {
    return Expand(text, [this, depth](std::string_view name) { return ValueOf(name, depth); });
  }

  bool Await(const std::string& endpoint, Process& process, const std::string& log,
             const std::string& what) {
    const auto start = Clock::now();
    while (!Accepts(endpoint)) {
      if (!process.Running())
        return Fail(what + " ended before it was ready: " + LastLine(ReadFile(log)));
      if (Since(start) > comparison_.start_seconds)
        return Fail(what + ": nothing accepts connections at " + endpoint);
      std::this_thread::sleep_for(kPoll);
    }
    return true;
  }

  bool StartSink() {
    Process::Options options;
    options.command = {"/proc/self/exe", "sink", "--ids", "--json", "--endpoint", sink_endpoint_};
    options.command.insert(options.command.end(), load_.sink_arguments.begin(),
                           load_.sink_arguments.end());
    options.output_file = folder_ + "/sink.json";
    options.error_file = folder_ + "/sink.log";
    if (std::string wrong = sink_.Start(options); !wrong.empty()) return Fail("sink: " + wrong);
    return Await(sink_endpoint_, sink_, options.error_file, "sink");
  }

  bool StartReceiver() {
    for (const auto& [name, content] : receiver_.files)
      if (!WriteFile(folder_ + "/" + name, Expanded(content))) return Fail("cannot write " + name);
    Process::Options options;
    for (const std::string& text : receiver_.command) options.command.push_back(Expanded(text));
    for (const auto& [name, value] : receiver_.env) options.env.push_back({name, Expanded(value)});
    std::string& program = options.command[0];
    if (program.find('/') != std::string::npos)
      program = fs::absolute(fs::path(comparison_.folder) / program).lexically_normal().string();
    options.output_file = folder_ + "/receiver.log";
    const std::string ready = Expanded(receiver_.ready);
    endpoint_ = Expanded(receiver_.endpoints.at(load_.protocol));
    if (!run_.wrong.empty()) return false;
    if (std::string wrong = process_.Start(options); !wrong.empty()) return Fail(wrong);
    if (!Await(ready, process_, options.output_file, receiver_.name)) return false;
    if (FindProtocol(load_.protocol).transport != Transport::kUdp &&
        !Await(endpoint_, process_, options.output_file, receiver_.name))
      return false;
    std::this_thread::sleep_for(kSettle);
    return true;
  }

  bool RunTheLoad() {
    Process::Options options;
    options.command = {"/proc/self/exe", "load",    "--json", "--protocol",         load_.protocol,
                       "--endpoint",     endpoint_, "--seed", std::to_string(seed_)};
    if (!load_.shape.empty()) {
      WriteFile(folder_ + "/shape.yaml", load_.shape);
      options.command.insert(options.command.end(), {"--shape", folder_ + "/shape.yaml"});
    }
    for (const std::string& text : load_.arguments) options.command.push_back(Expanded(text));
    options.output_file = folder_ + "/load.json";
    options.error_file = folder_ + "/load.log";
    cpu_before_ = process_.Measure().cpu_seconds;
    Process load;
    if (std::string wrong = load.Start(options); !wrong.empty()) return Fail("load: " + wrong);
    load.Wait(kLongestLoadSeconds);
    const Figures figures = Parsed(ReadFile(options.output_file));
    if (figures.empty()) return Fail("load: " + LastLine(ReadFile(options.error_file)));
    const bool is_udp = FindProtocol(load_.protocol).transport == Transport::kUdp;
    run_.spans_sent = figures.Of("spans");
    run_.spans_per_second = figures.Of("spans_per_second");
    run_.requests = figures.Of(is_udp ? "requests_sent" : "requests_acknowledged");
    run_.errors = figures.Of("errors");
    run_.refused = figures.Of("requests_refused");
    run_.ack_p50_us = figures.Of("ack_p50_us");
    run_.ack_p99_us = figures.Of("ack_p99_us");
    if (!process_.Running())
      return Fail(receiver_.name + " ended under the load: " + LastLine(receiver_log()));
    return true;
  }

  // Until everything sent has arrived, or nothing comes any more. The CPU is read when the last
  // span has come, so that waiting costs a receiver nothing.
  void AwaitSpans() {
    const auto start = Clock::now();
    auto last_change = start;
    const double quiet = load_.sink_arguments.empty() ? kQuietSeconds : comparison_.drain_seconds;
    double arrived = -1;
    Usage usage;
    while (Since(start) < comparison_.drain_seconds && Since(last_change) < quiet) {
      auto reply = net::HttpGet(sink_endpoint_, "/", std::chrono::seconds(2));
      const double now = reply.ok() ? Parsed(reply->body).Of("distinct_spans") : arrived;
      if (now > arrived) {
        arrived = now;
        last_change = Clock::now();
        usage = process_.Measure();
      }
      if (arrived >= run_.spans_sent) break;
      std::this_thread::sleep_for(kPoll);
    }
    run_.cpu_seconds = usage.cpu_seconds - cpu_before_;
    run_.peak_rss_mib = static_cast<double>(usage.peak_rss_kib) / 1024;
    if (run_.cpu_seconds > 0) run_.spans_per_cpu_second = std::max(arrived, 0.0) / run_.cpu_seconds;
    if (!process_.Running()) Fail(receiver_.name + " ended after the load");
  }

  // The receiver may still hand over what it holds, then the sink says what it has seen.
  void Finish() {
    process_.Stop(kStopSeconds);
    sink_.Stop(kStopSeconds);
    const Figures figures = Parsed(ReadFile(folder_ + "/sink.json"));
    if (run_.wrong.empty() && figures.empty()) Fail("sink: no answer");
    if (!run_.wrong.empty()) return;
    run_.spans_arrived = figures.Of("distinct_spans");
    run_.duplicated = figures.Of("duplicate_spans");
    run_.damaged = figures.Of("damaged_requests");
    run_.lost = std::max(0.0, run_.spans_sent - run_.spans_arrived);
  }

  const Comparison& comparison_;
  const Receiver& receiver_;
  const Load& load_;
  const uint32_t seed_;
  const std::string sink_endpoint_;
  std::map<std::string, uint16_t> ports_;
  std::string folder_, endpoint_;
  Process sink_, process_;  // the receiver ends first
  double cpu_before_ = 0;
  RunResult run_;
};

std::string ReadAll(const CompareOptions& options, Comparison* comparison) {
  Variables overrides;
  for (const std::string& text : options.variables) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return "--var " + text + ": name=value is expected";
    overrides[text.substr(0, equals)] = text.substr(equals + 1);
  }
  std::string wrong = ReadComparison(options.file, ReadFile(options.file), overrides, comparison);
  if (!wrong.empty()) return wrong;
  if (options.repeats > 0) comparison->repeats = options.repeats;
  if (options.only.empty()) return "";
  std::vector<Load> chosen;
  for (const std::string& name : options.only) {
    size_t before = chosen.size();
    for (const Load& load : comparison->loads)
      if (load.name == name) chosen.push_back(load);
    if (chosen.size() == before) return "--only: there is no load " + name;
  }
  comparison->loads = chosen;
  return "";
}

void KeepLog(const std::string& folder, const Comparison& comparison, const RunResult& run,
             const std::string& log) {
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  WriteFile(folder + "/" + comparison.loads[run.load].name + "-" +
                comparison.receivers[run.receiver].name + "-" + std::to_string(run.repeat) + ".log",
            log);
}

std::vector<RunResult> RunAll(const Comparison& comparison, const std::string& logs) {
  std::vector<RunResult> runs;
  const size_t count = comparison.receivers.size();
  for (uint32_t repeat = 0; repeat < comparison.repeats; ++repeat) {
    for (size_t load = 0; load < comparison.loads.size(); ++load) {
      for (size_t i = 0; i < count; ++i) {
        // Who is first changes, so that no receiver always meets the colder machine.
        const size_t receiver = (i + repeat) % count;
        if (!Takes(comparison.receivers[receiver], comparison.loads[load])) continue;
        Trial trial(comparison, receiver, load, static_cast<uint32_t>(runs.size() + 1));
        RunResult run = trial.Go();
        run.repeat = repeat;
        std::fprintf(stderr, "%u/%u  %-24s %-16s %12.0f spans/CPU-s%s%s\n", repeat + 1,
                     comparison.repeats, comparison.loads[load].name.c_str(),
                     comparison.receivers[receiver].name.c_str(), run.spans_per_cpu_second,
                     run.valid() ? "" : "  invalid ", run.wrong.c_str());
        if (!logs.empty()) KeepLog(logs, comparison, run, trial.receiver_log());
        runs.push_back(std::move(run));
      }
    }
  }
  return runs;
}

bool Write(const std::string& file, const std::string& content) {
  if (file.empty() || WriteFile(file, content)) return true;
  std::fprintf(stderr, "weft-bench: cannot write %s\n", file.c_str());
  return false;
}

}  // namespace

int RunCompare(const CompareOptions& options) {
  Comparison comparison;
  if (std::string wrong = ReadAll(options, &comparison); !wrong.empty()) {
    std::fprintf(stderr, "weft-bench: %s\n", wrong.c_str());
    return 2;
  }
  const std::vector<RunResult> runs = RunAll(comparison, options.logs);
  const std::vector<Row> rows = Rows(comparison, runs);
  std::printf("%s", TableText(comparison, rows).c_str());
  if (!Write(options.json_file, Json(comparison, rows, runs)) ||
      !Write(options.plot_file, PlotSvg(comparison, rows)))
    return 1;
  for (const RunResult& run : runs)
    if (!run.wrong.empty()) return 1;
  return 0;
}

}  // namespace weft::bench
