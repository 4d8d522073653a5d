// The spool's thread: group commit, refusal and recovery, and real kills of a real process.
#include "spool/spool.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <set>

#include "spool_fixture.h"

namespace weft::spool {
namespace {

using SpoolTest = SpoolFixture;

TEST_F(SpoolTest, AppendIsAnsweredWhenItIsDurableAndReadBack) {
  OpenSpool();
  std::vector<RecordKey> keys;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(spool->Append(Payload(Text(i)), {.items = 1}, false,
                              [&](base::Result<RecordKey> key) { keys.push_back(*key); }));
  }
  ASSERT_TRUE(loop.RunUntil([&] { return keys.size() == 100; }));
  EXPECT_LT(files.syncs, 60u);  // shared, and one is the folder's
  EXPECT_TRUE(spool->has_unread());
  const std::vector<Record> records = Read();
  ASSERT_EQ(records.size(), 100u);
  for (const Record& record : records) spool->Settle(record.key);
  spool->Close();
  EXPECT_EQ(ledger->held(), 0);
  EXPECT_TRUE(ledger->Balanced());
  spool.reset();
  OpenSpool();
  EXPECT_TRUE(Read().empty());
}

TEST_F(SpoolTest, CloseWritesWhatIsQueued) {
  OpenSpool();
  int durable = 0;
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(spool->Append(Payload(Text(i)), {.items = 1}, false,
                              [&](base::Result<RecordKey> key) { durable += key.ok(); }));
  spool->Close();
  loop.RunPosted();
  EXPECT_EQ(durable, 50);
  spool.reset();
  files.Kill();
  OpenSpool();
  EXPECT_EQ(Read().size(), 50u);
}

TEST_F(SpoolTest, FlushComesBehindTheAnswersWithoutWaitingForTheInterval) {
  commit_milliseconds = 60'000;
  OpenSpool();
  std::vector<int> order;
  const auto append = [&](int number) {
    ASSERT_TRUE(spool->Append(Payload(Text(number)), {.items = 1}, false,
                              [&order, number](base::Result<RecordKey> key) {
                                EXPECT_TRUE(key.ok());
                                order.push_back(number);
                              }));
  };
  append(1);
  ASSERT_TRUE(loop.RunUntil([&] { return order.size() == 1; }));  // the first is synced at once
  append(2);
  append(3);
  spool->Flush([&order] { order.push_back(0); });
  ASSERT_TRUE(loop.RunUntil([&] { return order.size() == 4; }));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 0}));
}

TEST_F(SpoolTest, QueueIsBoundedInBytes) {
  OpenSpool();
  auto big = std::make_shared<std::string>(size_t{20} << 20, 'x');
  base::Gathered payload;
  payload.Add(base::AsBytes(*big));
  payload.owners.push_back(big);
  bool refused = false;
  int taken = 0, answered = 0;
  for (int i = 0; i < 1000 && !refused; ++i) {
    base::Gathered copy = payload;
    refused = !spool->Append(std::move(copy), {.items = 1}, true,
                             [&](const base::Result<RecordKey>&) { ++answered; });
    taken += !refused;
  }
  EXPECT_TRUE(refused);
  ASSERT_TRUE(loop.RunUntil([&] { return answered == taken; }));
  EXPECT_TRUE(spool->HasRoom(1 << 20));
}

// F18: the group is written once more into a new segment; the client never notices.
TEST_F(SpoolTest, OneFailedSyncIsMadeGoodInANewSegment) {
  auto failures = std::make_shared<int>(1);
  files.before = [failures](const std::string& call, const std::string& path) -> int64_t {
    return call == "sync" && path.ends_with(".spool") && (*failures)-- > 0 ? -EIO : 0;
  };
  OpenSpool();
  int durable = 0;
  ASSERT_TRUE(spool->Append(Payload(Text(1)), {.items = 1}, false,
                            [&](base::Result<RecordKey> key) { durable += key.ok(); }));
  ASSERT_TRUE(loop.RunUntil([&] { return durable == 1; }));
  EXPECT_FALSE(spool->refusing());
  spool->Close();
  spool.reset();
  files.Kill();
  OpenSpool();
  EXPECT_EQ(Read().size(), 1u);
}

// F17
TEST_F(SpoolTest, DiskThatRefusesFailsTheAppendAndLaterOnesFastUntilItIsTriedAgain) {
  auto full = std::make_shared<std::atomic<bool>>(true);
  files.before = [full](const std::string&, const std::string& path) -> int64_t {
    return *full && path.ends_with(".spool") ? -ENOSPC : 0;
  };
  OpenSpool();
  int failed = 0, durable = 0;
  const auto done = [&](const base::Result<RecordKey>& key) { key.ok() ? ++durable : ++failed; };
  ASSERT_TRUE(spool->Append(Payload(Text(1)), {.items = 1}, false, done));
  ASSERT_TRUE(loop.RunUntil([&] { return failed == 1; }));
  EXPECT_TRUE(spool->refusing());
  EXPECT_FALSE(spool->Append(Payload(Text(2)), {.items = 1}, false, done));
  *full = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!spool->HasRoom(1) && std::chrono::steady_clock::now() < deadline) usleep(10'000);
  ASSERT_TRUE(spool->Append(Payload(Text(3)), {.items = 1}, false, done));
  ASSERT_TRUE(loop.RunUntil([&] { return durable == 1; }));
  EXPECT_FALSE(spool->refusing());
  EXPECT_TRUE(ledger->Balanced());
}

TEST(SpoolOptions, EveryFieldIsInTheTable) {
  Options options;
  const base::ConfigBlock block = Describe(options);
  EXPECT_EQ(block.name, "spool");
  EXPECT_EQ(block.fields.size(), 5u);
}

class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "weft-spool-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The child's life: appends as fast as the spool takes it, reports "A n" when n is durable, and
// delivers some of it, "S n" before it settles n.
[[noreturn]] void AppendForEver(const std::string& folder, int from, int report) {
  HandLoop loop;
  base::SystemClock clock;
  base::Ledger books;
  base::MetricRegistry metrics;
  Options options;
  options.directory = folder;
  options.commit_milliseconds = 1;
  options.segment_bytes = 256 << 10;
  auto spool = Spool::Open(options, {clock, books.Row("spool", "items"), metrics,
                                     [&](HandLoop::Task task) { loop.Post(std::move(task)); }});
  if (!spool.ok()) _exit(3);
  const auto say = [report](char what, int number) {
    const std::string line = std::string(1, what) + " " + std::to_string(number) + "\n";
    if (write(report, line.data(), line.size()) < 0) _exit(4);
  };
  bool reading = false;
  int open = 0;
  for (int number = from;; ++number) {
    const size_t bytes = 100 + static_cast<size_t>(number) * 7919 % 9'000;
    (void)(*spool)->Append(Payload(Text(number, bytes)), {.items = 1}, false,
                           [&, number](const base::Result<RecordKey>& key) {
                             --open;
                             if (key.ok()) say('A', number);
                           });
    ++open;
    if (!reading && number % 50 == 0) {
      reading = true;
      (*spool)->Read(100'000, [&](std::vector<Record> records) {
        reading = false;
        for (const Record& record : records) {
          int delivered = 0;
          const std::string text(base::AsText(record.payload->view()));
          if (sscanf(text.c_str(), "record %d:", &delivered) != 1) _exit(5);
          say('S', delivered);
          (*spool)->Settle(record.key);
        }
      });
    }
    loop.RunPosted();
    loop.RunUntil([&] { return open < 64; });
  }
}

// F19, as it happens: the ordinary suite kills 20 times, the slow one as often as it is told.
TEST(SpoolKill, NoAcknowledgedRecordIsLostAndNoneIsInvented) {
  const char* wanted = getenv("WEFT_SPOOL_KILLS");
  const int kills = wanted != nullptr ? atoi(wanted) : 20;
  Folder folder;
  std::set<int> acknowledged, settled;
  int appended = 0;
  std::minstd_rand random(17);
  for (int kill_number = 0; kill_number < kills; ++kill_number) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const int from = appended;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      AppendForEver(folder.path(), from, ends[1]);
    }
    close(ends[1]);
    std::string report;
    char buffer[4096];
    // Some time after its first word, at any moment of what it is doing then.
    ssize_t n = read(ends[0], buffer, sizeof(buffer));
    if (n > 0) report.append(buffer, static_cast<size_t>(n));
    usleep(random() % 20'000);
    kill(child, SIGKILL);
    while ((n = read(ends[0], buffer, sizeof(buffer))) > 0)
      report.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
    char what = 0;
    int number = 0, used = 0;
    for (const char* p = report.c_str(); sscanf(p, "%c %d\n%n", &what, &number, &used) == 2;
         p += used) {
      (what == 'A' ? acknowledged : settled).insert(number);
      appended = std::max(appended, number + 1);
    }
    appended += 100'000;  // numbers that were not acknowledged are not used again
  }
  ASSERT_GT(acknowledged.size(), static_cast<size_t>(kills));

  base::SystemClock clock;
  base::Ledger books;
  base::MetricRegistry metrics;
  auto log = Log::Open({folder.path()}, {PosixFiles(), clock, books.Row("s", "items"), metrics});
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_TRUE((*log)->problems().empty());
  std::set<int> left;
  for (std::vector<Record> some; !(some = (*log)->Read(1 << 20)).empty();) {
    for (const Record& record : some) {
      int number = 0;
      const std::string text(base::AsText(record.payload->view()));
      ASSERT_EQ(sscanf(text.c_str(), "record %d:", &number), 1);
      EXPECT_EQ(text, Text(number, 100 + static_cast<size_t>(number) * 7919 % 9'000));
      EXPECT_TRUE(left.insert(number).second) << number << " came twice";
    }
  }
  for (int number : acknowledged)
    EXPECT_TRUE(left.contains(number) || settled.contains(number)) << "lost " << number;
  for (const auto& sample : metrics.Snapshot()) {
    if (sample.name.find("damaged") == std::string::npos) continue;
    EXPECT_EQ(sample.value, 0) << sample.name;
  }
}

}  // namespace
}  // namespace weft::spool
