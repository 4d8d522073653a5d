// Against the real kernel: what gives way when nobody drains the rings, whose records that are, and
// that nothing stays behind of connections that are gone.
#include <bpf/bpf.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <map>
#include <thread>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {
namespace {

constexpr std::string_view kShort = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

std::string LongRequest() {
  return "GET /long HTTP/1.1\r\nHost: a\r\nPadding: " + std::string(2500, 'p') + "\r\n\r\n";
}

class PressureBpfTest : public CaptureTest {
 protected:
  static void OnOneCpu() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
    Must(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
  }
  uint64_t Counter(const std::string& name) const {
    double sum = 0;
    for (const auto& sample : metrics_.Snapshot()) {
      if (sample.name == name) sum += sample.value;
    }
    return static_cast<uint64_t>(sum);
  }
  uint64_t Dropped(const std::string& reason) const {
    for (const auto& sample : metrics_.Snapshot()) {
      if (sample.name != "weft_capture_dropped_records_total") continue;
      if (sample.labels.at("reason") == reason) return static_cast<uint64_t>(sample.value);
    }
    return 0;
  }
  // `connections` connections that are open together, and on each `count` exchanges in turn.
  void Talk(int connections, int count, const std::string& request) {
    Run([&] {
      OnOneCpu();
      std::vector<std::pair<int, int>> pairs;
      for (int i = 0; i < connections; ++i) {
        int client = Connect();
        pairs.emplace_back(client, accept(listener_, nullptr, nullptr));
      }
      for (int i = 0; i < count; ++i) {
        for (auto [client, server] : pairs) {
          Write(client, request);
          ReadAll(server, request.size());
          Write(server, "HTTP/1.1 204 No Content\r\n\r\n");
          ReadAll(client, 27);
        }
      }
    });
  }
};

// Nobody drains while the script runs; when it is over everything that found room arrives.
TEST_F(PressureBpfTest, TheRingIsUsedBehindTheOutboxBeforeAnythingIsLost) {
  Options options;
  options.ring_bytes = 1 << 20;  // behind an outbox of 256 KiB
  START_CAPTURE(options);
  Talk(1, 1000, std::string(kShort));  // 4000 records; 2500 find room in the outbox
  EXPECT_EQ(ClientSends().size(), 1000u);
  EXPECT_EQ(Counter("weft_capture_dropped_records_total"), 0u);
  EXPECT_EQ(Counter("weft_capture_short_heads_total"), 0u);
}

TEST_F(PressureBpfTest, HeadsBecomeShortBeforeConnectionsAreSampled) {
  Options options;
  options.ring_bytes = 1 << 20;
  options.cgroup_bytes_per_second = 0;
  START_CAPTURE(options);
  // A long head takes 2.6 KiB of the outbox on either side, or 4 KiB of the ring: fifty exchanges
  // fill the outbox, ninety more 75 % of the ring.
  Talk(1, 180, LongRequest());
  const auto sends = ClientSends();
  ASSERT_GT(sends.size(), 100u);
  EXPECT_GT(sends.front().bytes.size(), 2000u);
  loop_.RunAfter(std::chrono::milliseconds(150), [this] { loop_.Stop(); });
  loop_.Run();  // the counters are looked at ten times a second
  EXPECT_GT(Counter("weft_capture_short_heads_total"), 0u);
  size_t cut = 0;
  for (const SeenSegment& s : sends) cut += s.bytes.size() == 256;
  EXPECT_GT(cut, 0u);
  EXPECT_EQ(capture_->features().back().name, "capture.whole_heads");
  EXPECT_FALSE(capture_->features().back().on);
}

TEST_F(PressureBpfTest, AnAlmostFullRingKeepsOneConnectionInEight) {
  Options options;
  options.ring_bytes = 1 << 20;
  options.cgroup_bytes_per_second = 0;
  START_CAPTURE(options);
  Talk(32, 200, std::string(kShort));  // 25,600 records: 8 MiB
  capture_->Stop(std::chrono::steady_clock::now());
  EXPECT_GT(Dropped("sampled"), 0u);
  std::map<uint64_t, size_t> by_connection;
  for (const SeenSegment& s : ClientSends()) ++by_connection[s.connection->id];
  size_t most = 0, least = 1000;
  for (auto [id, count] : by_connection) {
    most = std::max(most, count);
    least = std::min(least, count);
  }
  EXPECT_GT(most, least) << "all of them lost the same";
}

// A cgroup for a script, in the hierarchy of version 2, which is mounted where the machine has not.
class NoisyContainer {
 public:
  NoisyContainer() {
    char folder[] = "/tmp/weft-cgroup-XXXXXX";
    if (mkdtemp(folder) == nullptr) return;
    mount_ = folder;
    if (mount("none", folder, "cgroup2", 0, nullptr) != 0) return;
    path_ = mount_ + "/weft-test-" + std::to_string(getpid());
    made_ = mkdir(path_.c_str(), 0755) == 0;
  }
  ~NoisyContainer() {
    rmdir(path_.c_str());
    umount(mount_.c_str());
    rmdir(mount_.c_str());
  }
  void Enter() const {
    std::ofstream procs(path_ + "/cgroup.procs");
    procs << getpid();
    procs.flush();
    Must(procs.good(), "enter the cgroup");
  }
  bool made() const { return made_; }

 private:
  std::string mount_, path_;
  bool made_ = false;
};

TEST_F(PressureBpfTest, ANoisyContainerLeavesRoomForOthers) {
  NoisyContainer container;
  if (!container.made()) GTEST_SKIP() << "no cgroup can be made here";
  Options options;
  options.ring_bytes = 4 << 20;
  options.cgroup_bytes_per_second = 100 << 10;  // and 2 MiB at once
  START_CAPTURE(options);
  Run([&] {
    container.Enter();
    OnOneCpu();
    int client = Connect(), server = accept(listener_, nullptr, nullptr);
    for (int i = 0; i < 4000; ++i) {  // 16,000 records: 5 MiB
      Write(client, kShort);
      ReadAll(server, kShort.size());
      Write(server, "HTTP/1.1 204 No Content\r\n\r\n");
      ReadAll(client, 27);
    }
  });
  capture_->Stop(std::chrono::steady_clock::now());
  EXPECT_GT(Dropped("cgroup_rate"), 0u);
  EXPECT_EQ(Dropped("ring_full"), 0u) << "the ring was half free";
  bool named = false;
  for (const auto& sample : metrics_.Snapshot()) {
    if (sample.name != "weft_capture_cgroup_dropped_records_total") continue;
    named = named || sample.labels.at("cgroup").starts_with("/weft-test-");
  }
  EXPECT_TRUE(named);
}

uint32_t NewestMap() {
  uint32_t id = 0;
  while (bpf_map_get_next_id(id, &id) == 0) {
  }
  return id;
}

// Entries of the kernel's maps of this name that are newer than `id`; 0 where there is none. The
// storage of sockets cannot be walked: the kernel frees it with the socket.
size_t EntriesOf(const std::string& name, uint32_t id) {
  size_t count = 0;
  while (bpf_map_get_next_id(id, &id) == 0) {
    const int fd = bpf_map_get_fd_by_id(id);
    if (fd < 0) continue;
    bpf_map_info info = {};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && name == info.name) {
      std::vector<char> key(info.key_size);
      const void* last = nullptr;
      while (count < 1'000'000 && bpf_map_get_next_key(fd, last, key.data()) == 0) {
        ++count;
        last = key.data();
      }
    }
    close(fd);
  }
  return count;
}

TEST_F(PressureBpfTest, AHundredThousandConnectionsLeaveNothingBehind) {
  const uint32_t older = NewestMap();
  START_CAPTURE(Options{});
  const pid_t child = fork();
  if (child == 0) {
    const std::string response = "HTTP/1.1 204 No Content\r\n\r\n";
    for (int i = 0; i < 100'000; ++i) {
      int client = Connect(), server = accept(listener_, nullptr, nullptr);
      Must(server >= 0, "accept");
      if (i % 64 == 0) {  // each with traffic would take minutes on a small machine
        Write(client, kShort);
        ReadAll(server, kShort.size());
      }
      const linger reset = {1, 0};
      if (i % 2 == 0) setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
      close(client);
      // The side that closes first waits for minutes with its port: let that be the server's.
      setsockopt(server, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
      close(server);
    }
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    capture_->Drain();
    sink_.segments.clear();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(status, 0);
  capture_->Drain();
  for (const char* map : {"message_ends", "go_calls", "goroutines", "tls_sessions", "sockets"}) {
    EXPECT_LE(EntriesOf(map, older), 16u) << map;
  }
  EXPECT_EQ(Counter("weft_capture_dropped_records_total"), 0u);
}

}  // namespace
}  // namespace weft::sources::ebpf
