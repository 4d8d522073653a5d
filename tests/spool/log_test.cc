// Segments written, read back, damaged and refused.
#include "log_fixture.h"

namespace weft::spool {
namespace {

TEST_F(LogTest, RecordsComeBackInOrderOnceAndOnlyWhenDurable) {
  Open();
  ASSERT_TRUE(Append(Text(1)).ok());
  EXPECT_FALSE(log->HasUnread());
  EXPECT_TRUE(ReadTexts().empty());
  AppendCommitted(2, 5);
  EXPECT_TRUE(log->HasUnread());
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(1), Text(2), Text(3), Text(4)}));
  EXPECT_FALSE(log->HasUnread());
  EXPECT_TRUE(ReadTexts().empty());
  EXPECT_EQ(ledger->held(), 4);
}

TEST_F(LogTest, ReadKeepsToItsBudgetButGivesAtLeastOne) {
  Open();
  AppendCommitted(0, 10, 1000);
  EXPECT_EQ(log->Read(1).size(), 1u);
  EXPECT_EQ(log->Read(3500).size(), 4u);
  EXPECT_EQ(log->Read(1 << 20).size(), 5u);
}

TEST_F(LogTest, RecordKeepsItsFacts) {
  Open();
  ASSERT_TRUE(
      log->Append(Payload("metrics"), {model::Signal::kMetrics, 17, "otlp_http"}, false).ok());
  ASSERT_TRUE(log->Commit().ok());
  Reopen();
  std::vector<Record> records = ReadAll();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].signal, model::Signal::kMetrics);
  EXPECT_EQ(records[0].key.items, 17u);
  EXPECT_EQ(records[0].source, "otlp_http");
  EXPECT_EQ(records[0].time_ns, clock.UnixNs());
}

TEST_F(LogTest, ClaimedRecordsAreNotReadUnlessReleasedOrAfterARestart) {
  Open();
  auto first = Append(Text(1), true), second = Append(Text(2), true), third = Append(Text(3));
  ASSERT_TRUE(log->Commit().ok());
  EXPECT_EQ(ReadTexts(), std::vector<std::string>{Text(3)});
  log->Release(*first);
  EXPECT_TRUE(log->HasUnread());
  EXPECT_EQ(ReadTexts(), std::vector<std::string>{Text(1)});
  log->Settle(*first);
  ASSERT_TRUE(log->SaveCursor(true).ok());
  Reopen();
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(2), Text(3)}));
}

TEST_F(LogTest, DeliveredSegmentsAreUnlinked) {
  Open();
  AppendCommitted(0, 30, 10'000);
  const size_t before = SegmentPaths().size();
  EXPECT_GT(before, 3u);
  for (const Record& record : ReadAll()) log->Settle(record.key);
  EXPECT_EQ(SegmentPaths().size(), 1u);  // the one that is written to
  EXPECT_EQ(ledger->held(), 0);
  EXPECT_TRUE(ledger->Balanced());
  ASSERT_TRUE(log->SaveCursor(false).ok());
  Reopen();
  EXPECT_TRUE(ReadTexts().empty());
  EXPECT_EQ(SegmentPaths().size(), 0u);
}

TEST_F(LogTest, NumbersAreNeverUsedTwice) {
  Open();
  AppendCommitted(0, 1);
  const std::string first = SegmentPaths()[0];
  for (const Record& record : ReadAll()) log->Settle(record.key);
  ASSERT_TRUE(log->SaveCursor(true).ok());
  Reopen();
  EXPECT_TRUE(ReadTexts().empty());
  Reopen();
  AppendCommitted(1, 2);
  EXPECT_GT(SegmentPaths().back(), first);
  Reopen();
  EXPECT_EQ(ReadTexts(), std::vector<std::string>{Text(1)});
}

TEST_F(LogTest, RecordLargerThanASegmentAndAChunkHasItsOwn) {
  Open();
  AppendCommitted(0, 2);
  AppendCommitted(2, 3, 3'500'000);
  AppendCommitted(3, 5);
  Reopen();
  EXPECT_EQ(ReadTexts(),
            (std::vector<std::string>{Text(0), Text(1), Text(2, 3'500'000), Text(3), Text(4)}));
}

TEST_F(LogTest, OldestSegmentGoesAtTheCapAndIsCountedBySource) {
  max_bytes = 400 << 10;
  Open();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Append(Text(i, 50'000), false, 3, i % 2 == 0 ? "jaeger_udp" : "zipkin").ok());
    ASSERT_TRUE(log->Commit().ok());
    EXPECT_LE(log->bytes(), max_bytes);
  }
  const std::vector<std::string> left = ReadTexts();
  EXPECT_EQ(left.back(), Text(9, 50'000));
  EXPECT_EQ(left.front(), Text(static_cast<int>(10 - left.size()), 50'000));
  EXPECT_EQ(ledger->lost_total(), 3 * (10 - left.size()));
  EXPECT_EQ(ledger->lost()[0].reason, "spool_full");
  EXPECT_TRUE(ledger->Balanced());
  uint64_t by_source = 0;
  for (const auto& sample : metrics.Snapshot())
    if (sample.name == "weft_spool_shed_items_total")
      by_source += static_cast<uint64_t>(sample.value);
  EXPECT_EQ(by_source, ledger->lost_total());
}

TEST_F(LogTest, CapAlsoCountsWhatAnEarlierRunLeft) {
  max_bytes = 400 << 10;
  Open();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Append(Text(i, 50'000), false, 2).ok());
  ASSERT_TRUE(log->Commit().ok());
  Reopen();
  for (int i = 5; i < 15; ++i) {
    ASSERT_TRUE(Append(Text(i, 50'000), false, 2).ok());
    ASSERT_TRUE(log->Commit().ok());
  }
  const size_t left = ReadTexts().size();
  EXPECT_EQ(ledger->lost_total(), 2 * (15 - left));
  EXPECT_TRUE(ledger->Balanced());
}

TEST_F(LogTest, DroppedRecordThatIsOnItsWayIsNoLoss) {
  max_bytes = 400 << 10;
  Open();
  auto key = Append(Text(0, 50'000), true);
  for (int i = 1; i < 20; ++i) {
    ASSERT_TRUE(Append(Text(i, 50'000), true).ok());
    ASSERT_TRUE(log->Commit().ok());
  }
  EXPECT_EQ(ledger->lost_total(), 0u);
  log->Settle(*key);
  EXPECT_EQ(ledger->out(), 1u);
  EXPECT_TRUE(ledger->Balanced());
}

// F20: whatever happens to one byte, all other records come back.
TEST_F(LogTest, AnyDamagedByteCostsAtMostItsRecord) {
  Open();
  AppendCommitted(0, 6, 150);
  const std::string path = SegmentPaths()[0];
  const std::string good = files.Bytes(path);
  for (size_t at = 0; at < good.size(); ++at) {
    files.Bytes(path) = good;
    files.Bytes(path)[at] = static_cast<char>(files.Bytes(path)[at] ^ 0x41);
    Reopen();
    EXPECT_GE(ReadTexts().size(), 5u) << at;
    EXPECT_TRUE(ledger->Balanced());
    if (SegmentPaths().empty()) files.Put(path, good);
  }
}

// F20: truncated anywhere, also in the header; zero-filled and garbage tails.
TEST_F(LogTest, AnyTruncationKeepsWhatIsBeforeIt) {
  Open();
  AppendCommitted(0, 6, 150);
  const std::string path = SegmentPaths()[0];
  const std::string good = files.Bytes(path);
  const size_t record = (good.size() - kFirstRecord) / 6;
  for (const std::string& tail : {std::string(), std::string(999, '\0'), std::string(999, 'x')}) {
    for (size_t size = 0; size <= good.size(); size += 3) {
      files = ModelFiles();
      files.Put(path, good.substr(0, size) + tail);
      Reopen();
      const size_t whole = size < kFirstRecord ? 0 : (size - kFirstRecord) / record;
      if (size >= kHeaderBytes && size < kFirstRecord && tail.empty()) continue;
      EXPECT_GE(ReadTexts().size(), whole) << size << " " << tail.size();
      EXPECT_TRUE(ledger->Balanced());
      AppendCommitted(100, 101);
      EXPECT_EQ(ReadTexts(), std::vector<std::string>{Text(100)});
    }
  }
}

TEST_F(LogTest, DamagedPayloadIsCountedWithItsItems) {
  Open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Append(Text(i), false, 5).ok());
  ASSERT_TRUE(log->Commit().ok());
  const std::string path = SegmentPaths()[0];
  const size_t at = files.Bytes(path).find("record 1");
  files.Bytes(path)[at] = 'R';
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(0), Text(2)}));
  EXPECT_EQ(ledger->lost_total(), 5u);
  EXPECT_EQ(ledger->lost()[0].verb, base::Loss::kRejected);
  EXPECT_EQ(Metric("weft_spool_damaged_records_total"), 1);
  EXPECT_TRUE(ledger->Balanced());
}

TEST_F(LogTest, MissingMiddleSegmentAndACopyOfAnotherAreTolerated) {
  Open();
  AppendCommitted(0, 30, 10'000);
  std::vector<std::string> paths = SegmentPaths();
  const std::string copied = files.Bytes(paths[0]);
  ASSERT_GE(files.Unlink(paths[1]), 0);
  log.reset();
  files.Put(std::string(kFolder) + "/" + SegmentName(999), copied);
  Reopen();
  const std::vector<std::string> left = ReadTexts();
  EXPECT_EQ(std::set<std::string>(left.begin(), left.end()).size(), left.size());
  EXPECT_EQ(left.size(), 24u);
  EXPECT_TRUE(files.Exists(std::string(kFolder) + "/" + SegmentName(999) + ".damaged"));
  AppendCommitted(100, 101);
  EXPECT_GT(SegmentPaths().back(), std::string(kFolder) + "/" + SegmentName(999));
}

// F22: never read, never deleted, and in nobody's way.
TEST_F(LogTest, SegmentOfANewerFormatIsReportedAndLeftAsItIs) {
  Open();
  AppendCommitted(0, 1);
  const std::string path = SegmentPaths()[0];
  std::string newer = files.Bytes(path);
  newer[8] = 2, newer[kHeaderBytes + 8] = 2;
  files.Put(path, newer);
  Reopen();
  ASSERT_EQ(log->problems().size(), 1u);
  EXPECT_NE(log->problems()[0].find("format version 2"), std::string::npos);
  EXPECT_TRUE(ReadTexts().empty());
  AppendCommitted(1, 2);
  EXPECT_EQ(ReadTexts(), std::vector<std::string>{Text(1)});
  EXPECT_EQ(files.Bytes(path), newer);
}

// F21
TEST_F(LogTest, SecondLogOnTheFolderIsRefused) {
  Open();
  AppendCommitted(0, 1);
  base::Ledger other_books;
  auto second = Log::Open({kFolder, max_bytes, segment_bytes},
                          {files, clock, other_books.Row("spool", "items"), metrics});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("another weft"), std::string_view::npos);
}

// F17: ENOSPC on write, on creation, on sync; nothing that was acknowledged is touched.
TEST_F(LogTest, FullDiskRefusesAndRecovers) {
  Open();
  AppendCommitted(0, 3);
  int writes = 0;
  files.before = [&](const std::string& call, const std::string&) -> int64_t {
    if (call == "create") return -ENOSPC;
    if (call != "write") return 0;
    return writes++ == 0 ? 40 : -ENOSPC;  // the disk had 40 bytes left
  };
  EXPECT_FALSE(Append(Text(3)).ok());
  EXPECT_FALSE(Append(Text(4)).ok());
  EXPECT_TRUE(log->Commit().ok());
  files.before = nullptr;
  AppendCommitted(5, 7);
  Reopen();
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(0), Text(1), Text(2), Text(5), Text(6)}));
  EXPECT_EQ(Metric("weft_spool_damaged_bytes_total"), 0);
}

TEST_F(LogTest, ShortWritesAreContinued) {
  Open();
  files.before = [](const std::string& call, const std::string&) -> int64_t {
    return call == "write" ? 13 : 0;
  };
  AppendCommitted(0, 5);
  Reopen();
  EXPECT_EQ(ReadTexts().size(), 5u);
}

// F18: after a failed sync the group is void, the file is not used again, and a second sync that
// succeeds acknowledges nothing of it.
TEST_F(LogTest, FailedSyncAcknowledgesNothingAndSealsTheSegment) {
  Open();
  AppendCommitted(0, 2);
  ASSERT_TRUE(Append(Text(2)).ok());
  files.before = [](const std::string& call, const std::string& path) -> int64_t {
    return call == "sync" && path.ends_with(".spool") ? -EIO : 0;
  };
  EXPECT_FALSE(log->Commit().ok());
  EXPECT_FALSE(log->uncommitted());
  files.before = nullptr;
  EXPECT_TRUE(log->Commit().ok());
  EXPECT_EQ(ledger->held(), 2);
  AppendCommitted(3, 4);
  EXPECT_EQ(SegmentPaths().size(), 2u);
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(0), Text(1), Text(3)}));
  Reopen();
  EXPECT_EQ(ReadTexts(), (std::vector<std::string>{Text(0), Text(1), Text(3)}));
}

// F18: remounted read-only: everything but reading fails, and reading goes on.
TEST_F(LogTest, ReadOnlyDiskStillDelivers) {
  Open();
  AppendCommitted(0, 30, 10'000);
  files.before = [](const std::string&, const std::string&) -> int64_t { return -EROFS; };
  EXPECT_FALSE(Append(Text(50)).ok());
  const std::vector<Record> records = ReadAll();
  EXPECT_EQ(records.size(), 30u);
  for (const Record& record : records) log->Settle(record.key);
  EXPECT_FALSE(log->SaveCursor(true).ok());
  EXPECT_TRUE(ledger->Balanced());
}

// F18: EIO on a page costs what is in it.
TEST_F(LogTest, WithoutADescriptorNothingIsReadAndNothingIsLost) {
  Open();
  AppendCommitted(0, 4, 40'000);  // a segment each
  files.open_for_reading = -EMFILE;
  EXPECT_TRUE(log->Read(1 << 20).empty());
  EXPECT_TRUE(log->HasUnread());
  files.open_for_reading = 0;
  const std::vector<Record> records = ReadAll();
  ASSERT_EQ(records.size(), 4u);
  for (const Record& record : records) log->Release(record.key);
  files.open_for_reading = -EMFILE;
  EXPECT_TRUE(log->Read(1 << 20).empty());
  EXPECT_TRUE(log->HasUnread());
  files.open_for_reading = 0;
  for (const Record& record : ReadAll()) log->Settle(record.key);
  EXPECT_EQ(ledger->out(), 4u);
  EXPECT_EQ(ledger->held(), 0);
  EXPECT_TRUE(ledger->Balanced());
}

TEST_F(LogTest, RecordThatCanNeverFitCostsNoOther) {
  max_bytes = 1 << 20;
  Open();
  AppendCommitted(0, 10, 60'000);
  EXPECT_FALSE(Append(Text(10, 2 << 20)).ok());
  EXPECT_EQ(ReadTexts().size(), 10u);
}

TEST_F(LogTest, UnreadablePageIsPassed) {
  Open();
  AppendCommitted(0, 40, 1'000);
  Reopen();
  files.before_read = [](const std::string& path, uint64_t offset) -> int64_t {
    return path.ends_with(".spool") && offset >= 128 && offset < 8192 ? -EIO : 0;
  };
  const size_t read = ReadTexts().size();
  EXPECT_GE(read, 40u - 9u);
  EXPECT_LT(read, 40u);
  EXPECT_TRUE(ledger->Balanced());
}

TEST_F(LogTest, BothSlotsOfTheCursorDamagedCostsDuplicatesOnly) {
  Open();
  AppendCommitted(0, 3);
  const std::vector<Record> records = ReadAll();
  log->Settle(records[0].key);
  ASSERT_TRUE(log->SaveCursor(true).ok());
  files.Bytes(std::string(kFolder) + "/cursor-1").assign(200'000, 'x');
  Reopen();
  EXPECT_EQ(ReadTexts().size(), 3u);
}

}  // namespace
}  // namespace weft::spool
