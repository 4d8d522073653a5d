#include "workload/processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "workload/proc_files.h"

namespace weft::workload {
namespace {

namespace fs = std::filesystem;

// A /proc of our own.
class FakeProc : public ::testing::Test {
 protected:
  FakeProc() : root_(fs::temp_directory_path() / ("weft-proc-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "net");
  }
  ~FakeProc() override { fs::remove_all(root_); }

  void Write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path, std::ios::binary) << text;
  }
  void AddProcess(uint32_t pid, uint64_t start_ticks, const std::string& executable) {
    const std::string folder = std::to_string(pid);
    Write(folder + "/stat", folder + " (we (ird) S 1) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " +
                                std::to_string(start_ticks) + " 0 0");
    fs::remove(root_ / folder / "exe");
    fs::create_symlink("/usr/bin/" + executable, root_ / folder / "exe");
    Write(folder + "/cmdline", executable + std::string(1, '\0'));
  }
  ProcessesOptions Options(size_t capacity = 16) { return {root_.string(), capacity}; }
  static uint64_t Ns(uint64_t ticks) {
    return ticks * (1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK)));
  }

  const fs::path root_;
  base::MetricRegistry metrics_;
  base::FakeClock clock_;
};

TEST_F(FakeProc, AProcessIsReadOnceAndRemembered) {
  AddProcess(7, 500, "nginx");
  Processes processes(Options(), metrics_, clock_);
  auto first = processes.Find({7, Ns(500)}, {});
  EXPECT_EQ(first->service_name, "nginx");
  fs::remove_all(root_ / "7");
  EXPECT_EQ(processes.Find({7, Ns(500)}, {}), first);
}

// F46: a pid that is used again belongs to another process.
TEST_F(FakeProc, AReusedPidIsNeverTheOldProcess) {
  AddProcess(7, 500, "nginx");
  Processes processes(Options(), metrics_, clock_);
  EXPECT_EQ(processes.Find({7, Ns(500)}, {})->service_name, "nginx");
  AddProcess(7, 900, "redis");
  EXPECT_EQ(processes.Find({7, Ns(900)}, {})->service_name, "redis");
  EXPECT_EQ(processes.Find({7, Ns(500)}, {})->service_name, "nginx");
  EXPECT_EQ(processes.Find({7, Ns(700)}, {})->service_name, "unknown_service");
}

// F45: a process that ended before it could be read still has its pid.
TEST_F(FakeProc, AProcessThatIsGoneHasItsPid) {
  Processes processes(Options(), metrics_, clock_);
  auto gone = processes.Find({99, 5}, {});
  EXPECT_EQ(gone->key.pid, 99u);
  EXPECT_EQ(gone->service_name, "unknown_service");
  EXPECT_EQ(processes.Find({98, 5}, "curl")->service_name, "curl");
}

TEST_F(FakeProc, TheCacheIsBounded) {
  for (uint32_t pid = 1; pid <= 20; ++pid) AddProcess(pid, 500, "p" + std::to_string(pid));
  Processes processes(Options(4), metrics_, clock_);
  for (uint32_t pid = 1; pid <= 20; ++pid) processes.Find({pid, Ns(500)}, {});
  EXPECT_EQ(
      metrics_.Get(base::MetricKind::kCounter, "weft_workload_evicted_processes_total", "").value(),
      16);
  EXPECT_EQ(processes.Find({20, Ns(500)}, {})->service_name, "p20");
}

TEST_F(FakeProc, DamagedStatIsNotAProcess) {
  for (const char* text :
       {"", "7", "7 (x", "7 (x) S 1 2 3", "7 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 abc 0"})
    EXPECT_FALSE(StartTicks(text)) << text;
  EXPECT_EQ(StartTicks("7 (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 42 0"), 42u);
}

}  // namespace
}  // namespace weft::workload
