#include "sources/ebpf/tls/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace weft::sources::ebpf::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ParseMapsLine, TakesExecutablePartsOfFiles) {
  FileId id;
  std::string_view range, path;
  EXPECT_TRUE(ParseMapsLine("7f00-7f10 r-xp 00001000 fe:01 4242    /usr/lib/a b.so (deleted)", &id,
                            &range, &path));
  EXPECT_EQ(id, (FileId{0xfe << 20 | 1, 4242}));
  EXPECT_EQ(range, "7f00-7f10");
  EXPECT_EQ(path, "/usr/lib/a b.so (deleted)");
  for (const char* other :
       {"", "x", "7f00-7f10 r--p 0 fe:01 4242 /usr/lib/a.so", "7f00-7f10 r-xp 0 00:00 0 [vdso]",
        "7f00-7f10 r-xp 0 00:00 0", "7f00-7f10 r-xp 0 fe01 4242 /a", "7f r-xp 0 fe:zz 1 /a",
        "7f00-7f10 r-xp 0 fe:01 99999999999999999999999 /a", "a b c d e f"}) {
    EXPECT_FALSE(ParseMapsLine(other, &id, &range, &path)) << other;
  }
}

// Counts what is attached, by path.
class FakeAttacher final : public Attacher {
 public:
  struct One final : Attachment {
    One(FakeAttacher* o, std::string p) : owner(o), path(std::move(p)) { ++owner->attached[path]; }
    ~One() override {
      if (--owner->attached[path] == 0) owner->attached.erase(path);
    }
    FakeAttacher* owner;
    std::string path;
  };
  base::Result<std::unique_ptr<Attachment>> Attach(const std::string& path, const Probe&) override {
    ++tries;
    if (fail_after >= 0 && fail_after-- == 0) return base::Error("refused");
    return std::unique_ptr<Attachment>(new One(this, path));
  }
  void SetExcluded(uint32_t pid, bool on) override { excluded[pid] = on; }
  std::vector<uint32_t> TakeHints() override { return std::exchange(hints, {}); }

  std::map<std::string, int> attached;
  std::map<uint32_t, bool> excluded;
  std::vector<uint32_t> hints;
  int fail_after = -1;
  int tries = 0;
};

// A /proc of our own, with processes that map the real libssl under inode numbers of our choice.
class DiscoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    library_ = "/usr/lib/x86_64-linux-gnu/libssl.so.3";
    if (!std::filesystem::exists(library_)) GTEST_SKIP() << "no " << library_;
    char name[] = "/tmp/weft_proc_XXXXXX";
    proc_ = mkdtemp(name);
  }
  void TearDown() override {
    if (!proc_.empty()) std::filesystem::remove_all(proc_);
  }
  std::string Folder(uint32_t pid) const { return proc_ + "/" + std::to_string(pid); }
  // `file` is what the kernel would give for the mapping.
  void Process(uint32_t pid, uint64_t inode, const std::string& program = "/usr/bin/prog",
               std::string file = "") {
    if (file.empty()) file = library_;
    std::filesystem::remove_all(Folder(pid));
    std::filesystem::create_directories(Folder(pid) + "/map_files");
    std::filesystem::create_symlink(program, Folder(pid) + "/exe");
    std::filesystem::create_symlink(file, Folder(pid) + "/map_files/1000-2000");
    std::ofstream(Folder(pid) + "/maps")
        << "1000-2000 r-xp 00000000 fe:01 " << inode << "   /app/lib/libssl.so.3 (deleted)\n"
        << "2000-3000 rw-p 00001000 fe:01 " << inode << "   /app/lib/libssl.so.3 (deleted)\n";
  }
  std::unique_ptr<Discovery> Make(Options options = {}) {
    return std::make_unique<Discovery>(options,
                                       Discovery::Deps{attacher_, clock_, metrics_, proc_});
  }
  void TickFor(Discovery* d, uint64_t ns) {
    for (const uint64_t end = clock_.MonotonicNs() + ns; clock_.MonotonicNs() < end;) {
      clock_.Advance(10'000'000);
      d->Tick();
    }
  }

  std::string library_, proc_;
  base::FakeClock clock_;
  base::MetricRegistry metrics_;
  FakeAttacher attacher_;
};

// Case T66: deleted on disk, in containers: the file is opened by the mapping.
TEST_F(DiscoveryTest, OneSetOfProbesForAFileHoweverManyMapIt) {
  Process(10, 7);
  Process(11, 7);
  Process(12, 8);
  auto d = Make();
  d->LookAtAll();
  EXPECT_EQ(d->probed_files(), 2u);
  EXPECT_THAT(attacher_.attached, SizeIs(2));
  EXPECT_EQ(d->Report()[0].family, "openssl");
  EXPECT_EQ(d->Report()[0].files, 2u);
  const int tries = attacher_.tries;
  TickFor(d.get(), 3 * Discovery::kRoundNs);
  EXPECT_EQ(attacher_.tries, tries);
  d.reset();
  EXPECT_THAT(attacher_.attached, IsEmpty());
}

TEST_F(DiscoveryTest, TheLastOneToUnmapItTakesTheProbesAway) {
  Process(10, 7);
  Process(11, 7);
  auto d = Make();
  d->LookAtAll();
  std::filesystem::remove_all(Folder(10));
  TickFor(d.get(), 2 * Discovery::kRoundNs);
  EXPECT_EQ(d->probed_files(), 1u);
  std::filesystem::remove_all(Folder(11));
  TickFor(d.get(), Discovery::kLingerNs - 2 * Discovery::kRoundNs);
  EXPECT_EQ(d->probed_files(), 1u);
  TickFor(d.get(), 4 * Discovery::kRoundNs);
  EXPECT_EQ(d->probed_files(), 0u);
  EXPECT_THAT(attacher_.attached, IsEmpty());
  EXPECT_EQ(d->Report()[0].reason, "no running process maps it");
}

// A client that runs for a moment now and then finds its library probed when it comes back.
TEST_F(DiscoveryTest, ALibraryInUseNowAndThenKeepsItsProbes) {
  Process(10, 7);
  auto d = Make();
  d->LookAtAll();
  const int tries = attacher_.tries;
  for (uint32_t pid = 20; pid < 25; ++pid) {
    std::filesystem::remove_all(Folder(pid - 1));
    std::filesystem::remove_all(Folder(10));
    TickFor(d.get(), 4 * Discovery::kRoundNs);
    EXPECT_EQ(d->probed_files(), 1u);
    Process(pid, 7);
    attacher_.hints = {pid};
    TickFor(d.get(), 20'000'000);
  }
  EXPECT_EQ(attacher_.tries, tries);
}

TEST_F(DiscoveryTest, AHintIsFollowedAtOnceAndAgainWhenTheLoaderIsDone) {
  auto d = Make();
  d->LookAtAll();
  std::filesystem::create_directories(Folder(10));  // has not mapped anything yet
  attacher_.hints = {10};
  TickFor(d.get(), 10'000'000);
  EXPECT_EQ(d->probed_files(), 0u);
  Process(10, 7);
  TickFor(d.get(), 200'000'000);
  EXPECT_EQ(d->probed_files(), 1u);
}

TEST_F(DiscoveryTest, ALibraryLoadedLateIsFoundByTheNextRound) {
  Process(10, 7, "/usr/bin/prog", "/proc/self/exe");
  auto d = Make();
  d->LookAtAll();
  EXPECT_EQ(d->probed_files(), 0u);
  Process(10, 9);
  TickFor(d.get(), Discovery::kRoundNs + 100'000'000);
  EXPECT_EQ(d->probed_files(), 1u);
}

// Whatever a process maps, the data waits for no more than some files at a time.
TEST_F(DiscoveryTest, AProcessThatMapsManyFilesIsStudiedInPieces) {
  auto d = Make();
  d->LookAtAll();
  constexpr size_t kMany = 3 * Discovery::kNewFilesPerTick;
  std::filesystem::create_directories(Folder(10) + "/map_files");
  std::ofstream maps(Folder(10) + "/maps");
  for (size_t i = 1; i <= kMany; ++i) {
    const std::string range = std::to_string(1000 + i) + "-" + std::to_string(1001 + i);
    std::filesystem::create_symlink(library_, Folder(10) + "/map_files/" + range);
    maps << range << " r-xp 00000000 fe:01 " << i << "   /app/lib/libssl.so.3\n";
  }
  maps.close();
  attacher_.hints = {10};
  clock_.Advance(1'000'000);
  d->Tick();
  EXPECT_EQ(d->probed_files(), Discovery::kNewFilesPerTick);
  for (int i = 0; i < 2; ++i) d->Tick();
  EXPECT_EQ(d->probed_files(), kMany);
}

// Case T68.
TEST_F(DiscoveryTest, ExcludedProgramsAreLeftAlone) {
  Process(10, 7, "/opt/bin/amqproxy");
  Process(11, 8, "/usr/bin/other");
  Process(12, 9, "/usr/bin/exact");
  Options options;
  options.exclude = {"amqproxy", "/usr/bin/exact", "usr"};
  auto d = Make(options);
  d->LookAtAll();
  EXPECT_EQ(d->probed_files(), 1u);
  EXPECT_THAT(attacher_.excluded, ElementsAre(std::pair(10u, true), std::pair(12u, true)));
  std::filesystem::remove_all(Folder(10));
  TickFor(d.get(), 2 * Discovery::kRoundNs);
  EXPECT_FALSE(attacher_.excluded[10]);
}

TEST_F(DiscoveryTest, ARefusedProbeLeavesNoneBehindAndSaysWhy) {
  Process(10, 7);
  attacher_.fail_after = 2;
  auto d = Make();
  d->LookAtAll();
  EXPECT_EQ(d->probed_files(), 0u);
  EXPECT_THAT(attacher_.attached, IsEmpty());
  EXPECT_EQ(d->Report()[0].reason, "refused");
}

TEST_F(DiscoveryTest, AFileThatIsNoLibraryIsReadOnce) {
  Process(10, 7, "/usr/bin/prog", "/etc/hostname");
  auto d = Make();
  d->LookAtAll();
  TickFor(d.get(), Discovery::kRoundNs);
  EXPECT_EQ(d->probed_files(), 0u);
  EXPECT_EQ(attacher_.tries, 0);
}

}  // namespace
}  // namespace weft::sources::ebpf::tls
