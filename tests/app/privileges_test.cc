#include "app/privileges.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace weft::app {
namespace {

constexpr Capabilities kAll = ~Capabilities{0};

constexpr Capabilities Bit(int capability) { return Capabilities{1} << capability; }

// A field of /proc/self/task/*/status by thread.
std::map<std::string, std::string> OfThreads(const std::string& field) {
  std::map<std::string, std::string> out;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(field + ":\t"))
        out[task.path().filename()] = line.substr(field.size() + 2);
    }
  }
  return out;
}

Capabilities Permitted() {
  return std::stoull(OfThreads("CapPrm")[std::to_string(getpid())], nullptr, 16);
}

// Whether `threads` threads have exactly these, permitted and in effect.
bool EverybodyHas(Capabilities expected, size_t threads) {
  for (const char* field : {"CapPrm", "CapEff"}) {
    const auto of_threads = OfThreads(field);
    if (of_threads.size() != threads) return false;
    for (const auto& [thread, value] : of_threads)
      if (std::stoull(value, nullptr, 16) != expected) return false;
  }
  for (const auto& [thread, value] : OfThreads("NoNewPrivs"))
    if (value != "1") return false;
  return true;
}

// In a process of its own: what is given up does not come back.
template <typename Function>
void InChild(Function function) {
  EXPECT_EXIT(std::_Exit(function() ? 0 : 1), testing::ExitedWithCode(0), "");
}

TEST(Privileges, ThreadsStartedLaterHaveNoMore) {
  InChild([] {
    const Capabilities keep = NeededToStart(Settings()), expected = Permitted() & keep;
    KeepCapabilities(keep);
    std::atomic<bool> stop{false};
    std::thread other([&stop] { stop.wait(false); });
    const bool holds = EverybodyHas(expected, 2);
    stop = true, stop.notify_all();
    other.join();
    return holds;
  });
}

TEST(Privileges, RunningThreadsGiveUpToo) {
  InChild([] {
    const Capabilities keep = Bit(CAP_SYS_PTRACE), expected = Permitted() & keep;
    KeepCapabilities(kAll);
    std::atomic<bool> stop{false};
    std::thread other([&stop] { stop.wait(false); });
    const bool holds = KeepCapabilitiesEverywhere(keep) == 0 && EverybodyHas(expected, 2);
    stop = true, stop.notify_all();
    other.join();
    return holds;
  });
}

TEST(Privileges, AThreadThatBlocksSignalsIsCountedAndKeepsThem) {
  InChild([] {
    KeepCapabilities(kAll);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::atomic<bool> stop{false};
    std::thread deaf([&stop] { stop.wait(false); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    const bool counted = KeepCapabilitiesEverywhere(0) == 1 && Permitted() == 0;
    stop = true, stop.notify_all();
    deaf.join();
    return counted;
  });
}

TEST(Privileges, ProbesInProgramsAreWhatAsksForSysAdmin) {
  Settings settings;
  EXPECT_NE(NeededLater(settings) & Bit(CAP_SYS_ADMIN), 0u);
  settings.capture.tls.enabled = settings.capture.go.enabled = false;
  EXPECT_EQ(NeededToStart(settings) & Bit(CAP_SYS_ADMIN), 0u);
  EXPECT_NE(NeededLater(settings) & Bit(CAP_BPF), 0u);
  settings.capture.enabled = false;
  EXPECT_EQ(NeededToStart(settings) & (Bit(CAP_BPF) | Bit(CAP_PERFMON)), 0u);
}

TEST(Privileges, FilesOfOthersAreWrittenOnlyWhereFilesAreWritten) {
  Settings settings;
  EXPECT_EQ(NeededLater(settings) & Bit(CAP_DAC_OVERRIDE), 0u);
  settings.file.path = "spans.jsonl";
  EXPECT_NE(NeededLater(settings) & Bit(CAP_DAC_OVERRIDE), 0u);
  EXPECT_EQ(NeededLater(settings) & Bit(CAP_NET_ADMIN), 0u);
}

}  // namespace
}  // namespace weft::app
