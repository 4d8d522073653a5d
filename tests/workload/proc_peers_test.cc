#include "workload/proc_peers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <utility>

namespace weft::workload {
namespace {

namespace fs = std::filesystem;
using model::Endpoint;

constexpr uint64_t kMsNs = 1'000'000;
const Endpoint kPeer = Endpoint::V4({127, 0, 0, 1}, 40000);

// Knows every pid.
class Pids : public model::WorkloadLookup {
 public:
  model::ProcessRef Find(const model::ProcessKey& key, std::string_view) override {
    auto& process = processes_[key.pid];
    if (process == nullptr) {
      auto fresh = std::make_shared<model::Process>();
      fresh->key = key;
      process = std::move(fresh);
    }
    return process;
  }

 private:
  std::map<uint32_t, model::ProcessRef> processes_;
};

// Each look at it takes time.
class SlowClock final : public base::Clock {
 public:
  uint64_t MonotonicNs() const override { return std::exchange(now_ns_, now_ns_ + step_ns); }
  int64_t UnixOffsetNs() const override { return 0; }
  void Advance(uint64_t ns) { now_ns_ += ns; }
  uint64_t now_ns() const { return now_ns_; }
  uint64_t step_ns = 0;

 private:
  mutable uint64_t now_ns_ = 1'000'000'000;
};

class ProcPeersTest : public ::testing::Test {
 protected:
  ProcPeersTest() : root_(fs::temp_directory_path() / ("weft-peers-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_ / "net");
  }
  ~ProcPeersTest() override { fs::remove_all(root_); }

  void AddSocket(uint32_t pid, uint64_t inode) {
    const fs::path folder = root_ / std::to_string(pid) / "fd";
    fs::create_directories(folder);
    fs::create_symlink("socket:[" + std::to_string(inode) + "]", folder / std::to_string(inode));
  }
  void AddRow(const std::string& table, const std::string& local, uint64_t inode) {
    const fs::path path = root_ / "net" / table;
    const bool is_new = !fs::exists(path);
    std::ofstream out(path, std::ios::binary | std::ios::app);
    if (is_new) out << "  sl  local_address rem_address   st tx_queue rx_queue\n";
    out << "   0: " << local << " 0100007F:10DD 01 00000000:00000000 00:00000000 00000000     0 "
        << "       0 " << inode << " 1\n";
  }
  void NextStep() { clock_.Advance(1'000 * kMsNs); }
  static uint32_t Pid(const model::ProcessRef& process) { return process ? process->key.pid : 0; }

  const fs::path root_;
  Pids pids_;
  SlowClock clock_;
  ProcPeers peers_{{root_.string()}, pids_, clock_};
};

TEST_F(ProcPeersTest, APeerIsFoundThroughItsSocket) {
  AddSocket(7, 4711);
  AddSocket(7, 4712);
  AddRow("tcp", "0100007F:9C40", 4711);
  AddRow("udp", "00000000:1F40", 4712);
  EXPECT_EQ(Pid(peers_.TcpPeer(kPeer)), 7u);
  EXPECT_EQ(Pid(peers_.UdpPeer(Endpoint::V4({127, 0, 0, 1}, 8000))), 7u);
  EXPECT_EQ(peers_.TcpPeer(Endpoint::V4({127, 0, 0, 1}, 40001)), nullptr);
}

TEST_F(ProcPeersTest, ADualStackSocketIsThatOfAnIPv4Peer) {
  AddSocket(7, 4711);
  AddSocket(7, 4712);
  AddRow("udp6", "00000000000000000000000000000000:1F40", 4711);
  AddRow("tcp6", "0000000000000000FFFF00000100007F:9C40", 4712);
  EXPECT_EQ(Pid(peers_.UdpPeer(Endpoint::V4({127, 0, 0, 1}, 8000))), 7u);
  EXPECT_EQ(Pid(peers_.TcpPeer(kPeer)), 7u);
}

// Another machine's peer may have the port number of a socket here.
TEST_F(ProcPeersTest, SocketsBoundToEveryAddressAreNotThoseOfOtherMachines) {
  AddSocket(7, 4711);
  AddRow("udp", "00000000:1F40", 4711);
  AddRow("tcp", "00000000:1F40", 4711);
  EXPECT_EQ(peers_.UdpPeer(Endpoint::V4({10, 1, 1, 1}, 8000)), nullptr);
  NextStep();
  EXPECT_EQ(peers_.TcpPeer(Endpoint::V4({10, 1, 1, 2}, 8000)), nullptr);
  NextStep();
  EXPECT_EQ(peers_.TcpPeer(Endpoint::V4({127, 0, 0, 1}, 8000)), nullptr) << "a listener";
}

TEST_F(ProcPeersTest, APeerThatIsNotHereIsNotSearchedAgainForAWhile) {
  EXPECT_EQ(peers_.TcpPeer(kPeer), nullptr);
  AddSocket(7, 4711);
  AddRow("tcp", "0100007F:9C40", 4711);
  NextStep();
  EXPECT_EQ(peers_.TcpPeer(kPeer), nullptr);
  clock_.Advance(ProcPeers::kAbsentNs);
  EXPECT_EQ(Pid(peers_.TcpPeer(kPeer)), 7u);
}

TEST_F(ProcPeersTest, AnotherMachineIsAskedForOnceWhateverItsPorts) {
  EXPECT_EQ(peers_.TcpPeer(Endpoint::V4({10, 1, 1, 1}, 1000)), nullptr);
  NextStep();
  AddSocket(7, 4711);
  AddRow("tcp", "0101010A:03E9", 4711);  // would be found, if it were looked for
  EXPECT_EQ(peers_.TcpPeer(Endpoint::V4({10, 1, 1, 1}, 1001)), nullptr);
}

TEST_F(ProcPeersTest, ALongSearchIsDoneInStepsWithRestsBetween) {
  for (uint32_t pid = 10; pid < 40; ++pid) AddSocket(pid, pid);
  AddSocket(7, 4711);
  AddRow("tcp", "0100007F:9C40", 4711);
  clock_.step_ns = kMsNs;  // a process takes 1 ms
  int steps = 0, rests = 0;
  const uint64_t began_ns = clock_.now_ns();
  uint64_t busy_ns = 0;
  for (int i = 0; i < 5'000; ++i) {
    const uint64_t before_ns = clock_.now_ns();
    if (Pid(peers_.TcpPeer(kPeer)) == 7) break;
    const uint64_t took_ns = clock_.now_ns() - before_ns;
    EXPECT_LE(took_ns, ProcPeers::kStepNs + 3 * kMsNs);
    ++(took_ns > kMsNs ? steps : rests);
    if (took_ns > kMsNs) busy_ns += took_ns;
    clock_.Advance(kMsNs);
  }
  EXPECT_EQ(Pid(peers_.TcpPeer(kPeer)), 7u);
  EXPECT_LT(steps, 40);
  if (steps > 0) {
    EXPECT_GT(rests, 20 * steps);
    EXPECT_LT(busy_ns, (clock_.now_ns() - began_ns) / 10);
  }
}

TEST_F(ProcPeersTest, WhoHadASocketIsLookedAtFirst) {
  AddSocket(7, 4711);
  AddRow("tcp", "0100007F:9C40", 4711);
  ASSERT_EQ(Pid(peers_.TcpPeer(kPeer)), 7u);
  for (uint32_t pid = 10; pid < 40; ++pid) AddSocket(pid, pid);
  AddSocket(7, 4712);
  AddRow("tcp", "0100007F:9C41", 4712);
  NextStep();
  clock_.step_ns = kMsNs;
  EXPECT_EQ(Pid(peers_.TcpPeer(Endpoint::V4({127, 0, 0, 1}, 40001))), 7u);
}

TEST_F(ProcPeersTest, APortThatGotAnotherOwnerIsNoticed) {
  AddSocket(7, 4711);
  AddRow("tcp", "0100007F:9C40", 4711);
  ASSERT_EQ(Pid(peers_.TcpPeer(kPeer)), 7u);
  fs::remove(root_ / "net" / "tcp");
  AddSocket(8, 4712);
  AddRow("tcp", "0100007F:9C40", 4712);
  clock_.Advance(31'000 * kMsNs);
  EXPECT_EQ(Pid(peers_.TcpPeer(kPeer)), 8u);
}

TEST_F(ProcPeersTest, DamagedTablesGiveNothing) {
  std::ofstream(root_ / "net" / "tcp") << "h\n\n 0: x\n 0: 0100007F:9C40 1 2 3 4 5 6 7 abc 1\n 0: "
                                          "0100007F9C40 1 2 3 4 5 6 7 9 1\n 0:";
  EXPECT_EQ(peers_.TcpPeer(kPeer), nullptr);
}

}  // namespace
}  // namespace weft::workload
