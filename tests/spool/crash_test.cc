// F19: a crash before any write, sync, rename, unlink, truncate or creation, as kill -9 and as loss
// of power with any part of what was not synced. No acknowledged record is lost, none is invented.
#include <algorithm>
#include <map>

#include "log_fixture.h"

namespace weft::spool {
namespace {

class CrashTest : public LogTest {
 protected:
  struct Promises {
    std::set<std::string> appended, acknowledged, settled;
  };

  // A life of the log, until its disk dies.
  void Live(int life, uint32_t seed, Promises* promises) {
    std::minstd_rand random(seed);
    if (!TryOpen().ok()) return;
    std::vector<std::string> group;
    int number = life * 1000;
    for (int step = 0; step < 60 && !files.dead(); ++step) {
      const uint32_t choice = random() % 10;
      if (choice < 6) {
        const std::string text = Text(number++, 200 + random() % 20'000);
        promises->appended.insert(text);
        if (Append(text, random() % 4 == 0).ok()) group.push_back(text);
      } else if (choice < 8) {
        if (log->Commit().ok() && !files.dead())
          promises->acknowledged.insert(group.begin(), group.end());
        group.clear();
      } else if (choice == 8) {
        for (const Record& record : log->Read(30'000)) {
          EXPECT_TRUE(promises->appended.contains(TextOf(record)));
          promises->settled.insert(TextOf(record));
          log->Settle(record.key);
        }
      } else {
        (void)log->SaveCursor(random() % 2 == 0);
      }
    }
    log.reset();
  }

  void CheckWhatIsLeft(const Promises& promises, bool power_lost) {
    Open();
    std::vector<std::string> left = ReadTexts();
    std::set<std::string> unique(left.begin(), left.end());
    EXPECT_EQ(unique.size(), left.size()) << "a record came twice";
    for (const std::string& text : left)
      EXPECT_TRUE(promises.appended.contains(text)) << "invented: " << text.substr(0, 20);
    for (const std::string& text : promises.acknowledged)
      EXPECT_TRUE(promises.settled.contains(text) || unique.contains(text))
          << "lost: " << text.substr(0, 20) << (power_lost ? " (power)" : " (kill)");
    EXPECT_TRUE(ledger->Balanced());
    log.reset();
  }

  // One run per change of the life that nothing interrupts, and per seed.
  void Enumerate(bool power, int lives, uint32_t seeds) {
    for (uint32_t seed = 1; seed <= seeds; ++seed) {
      uint64_t changes = 0;
      for (uint64_t die_at = 1; die_at == 1 || die_at <= changes + 1; ++die_at) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", change " + std::to_string(die_at));
        files = ModelFiles();
        std::minstd_rand random(static_cast<uint32_t>(seed * 7919 + die_at));
        Promises promises;
        for (int life = 0; life < lives; ++life) {
          files.die_at = life == 0 ? die_at : 1 + random() % 40;
          Live(life, seed + static_cast<uint32_t>(life), &promises);
          if (life == 0) changes = std::max(changes, files.changes);
          if (life == 0 && die_at == 1) changes = 1'000;  // until it is known
          if (life == 0 && !files.dead()) changes = files.changes;
          power ? files.LosePower(random) : files.Kill();
        }
        CheckWhatIsLeft(promises, power);
        if (HasFailure()) return;
      }
    }
  }
};

TEST_F(CrashTest, KillBeforeAnyChangeLosesAndInventsNothing) { Enumerate(false, 2, 3); }

TEST_F(CrashTest, PowerLossBeforeAnyChangeLosesAndInventsNothing) { Enumerate(true, 2, 12); }

TEST_F(CrashTest, LifeCoversEveryKindOfChange) {
  segment_bytes = max_bytes / 4;
  std::map<std::string, int> kinds;
  for (uint32_t seed = 1; seed < 6; ++seed) {
    files = ModelFiles();
    files.Put("/spool/segment-0000000000000001.spool", std::string(500, 'x'));
    segment_bytes = 64 << 10;
    Promises promises;
    Live(0, seed, &promises);
    for (const std::string& call : files.calls) ++kinds[call.substr(0, call.find(' '))];
  }
  for (const char* kind : {"create", "write", "sync", "unlink", "rename"})
    EXPECT_GT(kinds[kind], 0) << kind;
}

TEST_F(CrashTest, KillRepeatsOnlyWhatWasSettledAfterTheLastSavedCursor) {
  Open();
  AppendCommitted(0, 10);
  std::vector<Record> records = ReadAll();
  ASSERT_EQ(records.size(), 10u);
  for (int i : {0, 1, 2, 5, 7}) log->Settle(records[static_cast<size_t>(i)].key);
  ASSERT_TRUE(log->SaveCursor(false).ok());
  log->Settle(records[3].key);
  Reopen();
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(3), Text(4), Text(6), Text(8), Text(9)}));
}

// The slot that was synced is not written to, so what it says survives whatever happens to later
// ones.
TEST_F(CrashTest, PowerLossLeavesTheLastSyncedCursor) {
  for (uint32_t seed = 1; seed < 40; ++seed) {
    files = ModelFiles();
    std::minstd_rand random(seed);
    Open();
    AppendCommitted(0, 10);
    std::vector<Record> records = ReadAll();
    for (size_t i = 0; i < 4; ++i) {
      log->Settle(records[i].key);
      ASSERT_TRUE(log->SaveCursor(i % 2 == 1).ok());
    }
    for (size_t i = 4; i < 8; ++i) {
      log->Settle(records[i].key);
      ASSERT_TRUE(log->SaveCursor(false).ok());
    }
    log.reset();
    files.LosePower(random);
    Open();
    const std::vector<std::string> left = ReadTexts();
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(std::count(left.begin(), left.end(), Text(i)), 0) << seed << " " << i;
    log.reset();
  }
}

}  // namespace
}  // namespace weft::spool
