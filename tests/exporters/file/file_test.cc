#include "exporters/file/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "exporters/otlp_request.h"
#include "protocols/otlp/json_read.h"

namespace weft::exporters::file {
namespace {

using model::PushResult;
using std::chrono::seconds;
using std::chrono::steady_clock;

// The writer thread reads it while the test moves it.
class SharedClock final : public base::Clock {
 public:
  uint64_t MonotonicNs() const override { return now_ns_; }
  int64_t UnixOffsetNs() const override { return 0; }
  void Advance(uint64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<uint64_t> now_ns_{1};
};

class FileExporter : public ::testing::Test {
 protected:
  FileExporter() {
    std::string pattern = std::filesystem::temp_directory_path() / "weft_file_XXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ / "spans.jsonl";
  }
  ~FileExporter() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<File> Make(Options options) {
    return std::make_unique<File>(std::move(options), Deps{row_, metrics_, clock_});
  }
  std::unique_ptr<File> Make() { return Make({.path = path_}); }
  static void Finish(File& file) { file.Stop(steady_clock::now() + seconds(10)); }
  std::vector<std::string> Lines(const std::filesystem::path& path) const {
    std::ifstream in(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  static std::vector<uint64_t> IdsOf(const std::string& line) {
    base::ByteBuffer proto;
    std::string error;
    EXPECT_TRUE(protocols::otlp::JsonToProto(base::AsBytes(line), &proto, &error)) << error;
    return SpanIds(proto.view());
  }
  uint64_t Lost(std::string_view reason) const {
    for (const auto& lost : row_.lost())
      if (lost.reason == reason) return lost.count;
    return 0;
  }

  std::filesystem::path folder_, path_;
  base::LedgerRow row_{"exporter file", "spans"};
  base::MetricRegistry metrics_;
  SharedClock clock_;
};

TEST_F(FileExporter, AFullFileShedsUntilItIsMoved) {
  auto file = Make({.path = path_, .max_bytes = 1000});
  file->Start();
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(file->Push(MakeSpans(i, 1, 500)), PushResult::kTaken);
  Finish(*file);
  EXPECT_EQ(Lines(path_).size(), 1u);
  EXPECT_EQ(Lost("file_full"), 2u);
  std::filesystem::rename(path_, folder_ / "moved");
  auto again = Make({.path = path_, .max_bytes = 1000});
  again->Start();
  EXPECT_EQ(again->Push(MakeSpans(4, 1, 500)), PushResult::kTaken);
  Finish(*again);
  EXPECT_EQ(Lines(path_).size(), 1u);
  EXPECT_TRUE(row_.Balanced());
}

TEST_F(FileExporter, EveryBatchIsOneLineThatReadsBack) {
  auto file = Make();
  file->Start();
  EXPECT_EQ(file->Push(MakeSpans(1, 3)), PushResult::kTaken);
  EXPECT_EQ(file->Push(MakeBatch("a \"quoted\"\nservice", {{.span = 9}})), PushResult::kTaken);
  Finish(*file);
  auto lines = Lines(path_);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].rfind("{\"resourceSpans\":[", 0), 0u);
  EXPECT_THAT(IdsOf(lines[0]), ::testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(IdsOf(lines[1]), ::testing::ElementsAre(9));
  EXPECT_EQ(row_.out(), 4u);
  EXPECT_EQ(row_.held(), 0);
  struct stat info;
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0137, 0u) << "nobody else may read the spans";
}

TEST_F(FileExporter, DroppedSpansAreNotWritten) {
  auto file = Make();
  file->Start();
  auto batch = MakeSpans(1, 3);
  batch.spans[0].dropped = true;
  batch.edited = true;
  (void)file->Push(std::move(batch));
  Finish(*file);
  EXPECT_THAT(IdsOf(Lines(path_).at(0)), ::testing::ElementsAre(2, 3));
  EXPECT_EQ(row_.in(), 2u);
}

TEST_F(FileExporter, AppendsToWhatIsThere) {
  std::ofstream(path_) << "{}\n";
  auto file = Make();
  file->Start();
  (void)file->Push(MakeSpans(1, 1));
  Finish(*file);
  EXPECT_EQ(Lines(path_).size(), 2u);
}

TEST_F(FileExporter, AFullQueueShedsAndIsNeverBusy) {
  auto file = Make({.path = path_, .queue_bytes = 64 << 10});  // not started: nothing leaves
  for (uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(file->Push(MakeSpans(1 + 10 * i, 10, 200)), PushResult::kTaken);
  uint64_t shed = Lost("file_queue_full");
  EXPECT_GT(shed, 700u);
  EXPECT_LT(shed, 1000u);
  EXPECT_TRUE(row_.Balanced());
  file->Start();
  Finish(*file);
  EXPECT_EQ(row_.out(), 1000 - shed);
  EXPECT_EQ(row_.held(), 0);
}

TEST_F(FileExporter, APathThatCannotBeOpenedIsCountedAndTriedAgain) {
  auto file = Make({.path = folder_ / "later" / "spans.jsonl"});
  file->Start();
  (void)file->Push(MakeSpans(1, 5));
  while (row_.held() > 0) std::this_thread::yield();
  EXPECT_EQ(Lost("write_error"), 5u);
  std::filesystem::create_directory(folder_ / "later");
  (void)file->Push(MakeSpans(6, 2));
  Finish(*file);
  EXPECT_EQ(row_.out(), 2u);
  EXPECT_EQ(Lines(folder_ / "later" / "spans.jsonl").size(), 1u);
}

TEST_F(FileExporter, F17_AFullDiskShedsWholeLinesAndLeavesNoHalfOne) {
  // A file size limit fails as a full disk does: a short write, then an error.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small{.rlim_cur = 4000, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto file = Make();
  file->Start();
  for (uint64_t i = 0; i < 10; ++i) (void)file->Push(MakeSpans(1 + 5 * i, 5, 100));
  Finish(*file);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  auto lines = Lines(path_);
  EXPECT_GE(lines.size(), 1u);
  EXPECT_LT(lines.size(), 10u);
  for (const std::string& line : lines) EXPECT_EQ(IdsOf(line).size(), 5u);
  EXPECT_EQ(row_.out(), 5 * lines.size());
  EXPECT_EQ(Lost("write_error"), 50 - row_.out());
}

TEST_F(FileExporter, ARotatedFileIsLeftAndThePathOpenedAnew) {
  auto file = Make();
  file->Start();
  (void)file->Push(MakeSpans(1, 1));
  while (row_.held() > 0) std::this_thread::yield();
  std::filesystem::rename(path_, folder_ / "old");
  clock_.Advance(2'000'000'000);
  (void)file->Push(MakeSpans(2, 1));
  Finish(*file);
  EXPECT_EQ(Lines(folder_ / "old").size(), 1u);
  EXPECT_EQ(Lines(path_).size(), 1u);
}

TEST_F(FileExporter, APipeThatNobodyReadsHoldsUpNoStop) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  int reader = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  auto file = Make();
  file->Start();
  for (uint64_t i = 0; i < 100; ++i) (void)file->Push(MakeSpans(1 + 10 * i, 10, 500));
  auto from = steady_clock::now();
  file->Stop(from + std::chrono::milliseconds(100));
  EXPECT_LT(steady_clock::now() - from, seconds(5));
  ::close(reader);
  EXPECT_GT(Lost("shutdown"), 0u);
  EXPECT_EQ(row_.held(), 0);
  EXPECT_TRUE(row_.Balanced());
}

TEST_F(FileExporter, AfterStopPushesAreCounted) {
  auto file = Make();
  Finish(*file);
  Finish(*file);
  EXPECT_EQ(file->Push(MakeSpans(1, 4)), PushResult::kTaken);
  EXPECT_EQ(Lost("shutdown"), 4u);
}

}  // namespace
}  // namespace weft::exporters::file
