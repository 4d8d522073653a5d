#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "app/about/features.h"
#include "app/about/metrics_reference.h"
#include "app/config.h"
#include "app/descriptors.h"
#include "app/pipeline.h"
#include "app/privileges.h"
#include "app/settings.h"
#include "app/version.h"
#include "base/allocator.h"
#include "base/log.h"
#include "net/http_client.h"
#include "spool/tool.h"

namespace weft::app {
namespace {

using namespace std::chrono_literals;

struct ConfigFlags {
  std::string file;
  std::vector<std::string> sets;
};

void AddConfigFlags(CLI::App* command, ConfigFlags* flags) {
  command->add_option("-c,--config", flags->file,
                      "YAML file; every key has a default (docs/config.md)");
  command->add_option("--set", flags->sets, "one setting: key=value, after the file")
      ->allow_extra_args(false);
}

// False after printing every mistake.
bool Load(const ConfigFlags& flags, Config* config) {
  if (!flags.file.empty()) config->LoadFile(flags.file);
  for (const auto& assignment : flags.sets) config->Set(assignment);
  if (config->mistakes().empty()) return true;
  std::fprintf(stderr, "weft: the configuration has %zu mistake%s; nothing was started\n%s",
               config->mistakes().size(), config->mistakes().size() == 1 ? "" : "s",
               config->MistakesText().c_str());
  return false;
}

void GiveUpWhatOnlyTheStartNeeds(const Settings& settings) {
  const int kept_more = KeepCapabilitiesEverywhere(NeededLater(settings));
  spdlog::info("capabilities: {}", CapabilitiesText());
  if (kept_more > 0)
    spdlog::info("capabilities: {} threads of a library keep what the start needed", kept_more);
}

int Run(const ConfigFlags& flags, const std::string& log_level) {
  Settings settings;
  Config config(Describe(settings));
  if (!Load(flags, &config)) return 2;
  base::InitLog(spdlog::level::from_str(log_level));
  // Blocked before any thread exists, so that only the waiter below receives them.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  // Buffers of one request are those of the next: without this every other one is given to the
  // kernel and faulted in again (bench/README.md).
  base::KeepFreedMemory(16 << 20);
  const uint64_t descriptors = RaiseDescriptorLimit();
  if (FitConnections(descriptors, &settings))
    spdlog::warn(
        "only {} file descriptors: receivers take fewer connections than max_connections; "
        "raise LimitNOFILE (ulimit -n)",
        descriptors);
  KeepCapabilities(NeededToStart(settings));

  Pipeline pipeline(settings);
  std::atomic<bool> started{false};
  // SIGHUP means nothing here: a terminal that closes must not cut a drain short.
  std::thread waiter([&signals, &pipeline, &started] {
    auto wait = [&signals] {
      int signal = 0;
      while (sigwait(&signals, &signal) == 0 && signal == SIGHUP) {
      }
    };
    wait();
    if (!started) std::_Exit(130);
    pipeline.Shutdown();
    wait();  // a second one does not wait for the drain
    if (!pipeline.finished()) std::_Exit(130);
  });
  auto end_waiter = [&waiter] {
    pthread_kill(waiter.native_handle(), SIGTERM);
    waiter.join();
  };
  if (base::Status status = pipeline.Start(); !status.ok()) {
    std::fprintf(stderr, "weft: %s\n", std::string(status.message()).c_str());
    waiter.detach();
    return 1;
  }
  GiveUpWhatOnlyTheStartNeeds(settings);
  started = true;
  std::fputs(pipeline.StatusBlock().c_str(), stdout);
  std::fflush(stdout);
  pipeline.Run();
  end_waiter();
  std::fputs(pipeline.Totals().c_str(), stdout);
  return 0;
}

int Doctor(const ConfigFlags& flags, bool json) {
  base::InitLog(spdlog::level::warn);  // on the error output: stdout is the answer
  Settings settings;
  Config config(Describe(settings));
  if (!Load(flags, &config)) return 2;
  auto reply = net::HttpGet(settings.console.admin_endpoint, "/debug/status", 2s);
  if (std::vector<Feature> running;
      reply.ok() && reply->status == 200 && FeaturesFromJson(reply->body, &running)) {
    if (json)
      std::fputs(reply->body.c_str(), stdout);
    else
      std::printf("weft is running (asked %s)\n\n%s", settings.console.admin_endpoint.c_str(),
                  FeaturesText(running).c_str());
    return 0;
  }
  std::vector<Feature> features = ProbeFeatures(settings);
  if (json) {
    std::fputs(FeaturesJson(features, kVersion, 0, false).c_str(), stdout);
  } else {
    std::printf("no weft answers at %s: this is what a start would find now\n\n%s",
                settings.console.admin_endpoint.c_str(), FeaturesText(features).c_str());
  }
  return 0;
}

int NobodyAnswers(const std::string& endpoint, const base::Result<net::HttpReply>& reply) {
  std::fprintf(stderr, "weft: no running weft answers at %s: %s\n", endpoint.c_str(),
               reply.ok() ? reply->body.c_str() : std::string(reply.status().message()).c_str());
  return 1;
}

int Tail(const ConfigFlags& flags, bool json) {
  Settings settings;
  Config config(Describe(settings));
  if (!Load(flags, &config)) return 2;
  const std::string& endpoint = settings.console.admin_endpoint;
  std::string cursor = "0";
  while (true) {
    auto reply = net::HttpGet(
        endpoint, "/debug/tail?cursor=" + cursor + (json ? "&format=json" : "&format=text"), 5s);
    if (!reply.ok() || reply->status != 200) return NobodyAnswers(endpoint, reply);
    std::fputs(reply->body.c_str(), stdout);
    std::fflush(stdout);
    if (auto next = reply->Header("x-weft-cursor"); !next.empty()) cursor = next;
    std::this_thread::sleep_for(200ms);
  }
}

int ShowMetrics(const ConfigFlags& flags, bool reference) {
  if (reference) {
    base::InitLog(spdlog::level::off);
    auto text = MetricsReference();
    if (text.ok())
      std::fputs(text->c_str(), stdout);
    else
      std::fprintf(stderr, "weft: %s\n", std::string(text.status().message()).c_str());
    return text.ok() ? 0 : 1;
  }
  Settings settings;
  Config config(Describe(settings));
  if (!Load(flags, &config)) return 2;
  const std::string& endpoint = settings.console.admin_endpoint;
  auto reply = net::HttpGet(endpoint, "/metrics", 5s);
  if (!reply.ok() || reply->status != 200) return NobodyAnswers(endpoint, reply);
  std::fputs(reply->body.c_str(), stdout);
  return 0;
}

int ShowConfig(const ConfigFlags& flags, bool reference) {
  Settings settings;
  Config config(Describe(settings));
  if (reference) {
    std::fputs(config.ReferenceMarkdown().c_str(), stdout);
    return 0;
  }
  if (!Load(flags, &config)) return 2;
  std::fputs(config.EffectiveYaml().c_str(), stdout);
  return 0;
}

struct SpoolFlags {
  std::string directory;  // empty: spool.directory of the settings
  spool::DumpOptions dump;
};

int SpoolTool(const ConfigFlags& flags, const std::string& what, SpoolFlags spool) {
  Settings settings;
  Config config(Describe(settings));
  if (!Load(flags, &config)) return 2;
  if (spool.directory.empty()) spool.directory = settings.spool.directory;
  if (spool.directory.empty()) {
    std::fputs("weft: no folder: give one, or a configuration with spool.directory\n", stderr);
    return 2;
  }
  if (what == "ls") return spool::ListSpool(spool.directory, std::cout, std::cerr);
  if (what == "verify") return spool::VerifySpool(spool.directory, std::cout, std::cerr);
  return spool::DumpSpool(spool.directory, spool.dump, std::cout, std::cerr);
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  CLI::App app{"weft: node agent for distributed tracing"};
  app.set_version_flag("--version", std::string("weft ") + kVersion);
  app.require_subcommand(1);
  ConfigFlags flags;
  bool json = false, reference = false;
  std::string log_level = "info";

  CLI::App* run =
      app.add_subcommand("run", "capture, receive, merge and forward until SIGINT or SIGTERM");
  AddConfigFlags(run, &flags);
  run->add_option("--log-level", log_level)
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  CLI::App* doctor =
      app.add_subcommand("doctor", "every feature: on or off, by which means, and why");
  AddConfigFlags(doctor, &flags);
  doctor->add_flag("--json", json);
  CLI::App* tail = app.add_subcommand("tail", "the spans of a running weft as they leave");
  AddConfigFlags(tail, &flags);
  tail->add_flag("--json", json, "one JSON object a line");
  CLI::App* config = app.add_subcommand("config", "the effective settings, secrets masked");
  AddConfigFlags(config, &flags);
  config->add_flag("--reference", reference, "every key with its default, as docs/config.md");

  CLI::App* metrics = app.add_subcommand("metrics", "the metrics of a running weft");
  AddConfigFlags(metrics, &flags);
  metrics->add_flag("--reference", reference, "every metric there is, as docs/metrics.md");

  CLI::App* spool = app.add_subcommand("spool", "look at a spool's folder, also a running one's");
  SpoolFlags spool_flags;
  spool->require_subcommand(1);
  for (auto [name, help] :
       {std::pair{"ls", "its segments"}, {"verify", "every checksum"}, {"dump", "its records"}}) {
    CLI::App* tool = spool->add_subcommand(name, help);
    AddConfigFlags(tool, &flags);
    tool->add_option("directory", spool_flags.directory, "the folder (default: spool.directory)");
    if (std::string_view(name) != "dump") continue;
    tool->add_flag("--delivered", spool_flags.dump.delivered, "also what was delivered");
    tool->add_flag("--raw", spool_flags.dump.raw, "the requests' bytes instead of JSON");
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    int code = app.exit(e);
    return code == 0 ? 0 : 2;
  }
  if (run->parsed()) return Run(flags, log_level);
  if (doctor->parsed()) return Doctor(flags, json);
  if (tail->parsed()) return Tail(flags, json);
  if (metrics->parsed()) return ShowMetrics(flags, reference);
  if (spool->parsed())
    return SpoolTool(flags, spool->get_subcommands().front()->get_name(), spool_flags);
  return ShowConfig(flags, reference);
}

}  // namespace weft::app
