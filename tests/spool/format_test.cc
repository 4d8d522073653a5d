// The bytes of segments and cursors.
#include "spool/format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "base/coding/crc.h"
#include "spool/cursor.h"

namespace weft::spool {
namespace {

std::string EncodedRecord(const std::string& payload, uint32_t ordinal, uint64_t salt) {
  RecordHeader header;
  header.payload_bytes = static_cast<uint32_t>(payload.size());
  header.payload_crc = base::Crc32(0, base::AsBytes(payload));
  header.ordinal = ordinal;
  header.items = 7;
  header.signal = model::Signal::kLogs;
  header.SetSource("zipkin");
  uint8_t bytes[kRecordHeaderBytes];
  EncodeRecordHeader(header, salt, bytes);
  std::string out(reinterpret_cast<char*>(bytes), sizeof(bytes));
  return out + payload + std::string(PaddingOf(payload.size()), '\0');
}

TEST(SpoolFormat, Crc32IsTheOneOfTheStandard) {
  EXPECT_EQ(base::Crc32(0, base::AsBytes("123456789")), 0xCBF43926u);
  EXPECT_EQ(base::Crc32(base::Crc32(0, base::AsBytes("1234")), base::AsBytes("56789")),
            0xCBF43926u);
  EXPECT_EQ(base::Crc32(0xCBF43926u, {}), 0xCBF43926u);
}

TEST(SpoolFormat, SegmentNamesAreReadBackAndOthersAreNot) {
  EXPECT_EQ(SegmentName(42), "segment-000000000000002a.spool");
  EXPECT_EQ(SegmentNumber(SegmentName(UINT64_MAX)), UINT64_MAX);
  for (const char* other : {"segment-2a.spool", "segment-000000000000002A.spool", "cursor-1",
                            "segment-000000000000002a.spool.damaged", ""})
    EXPECT_FALSE(SegmentNumber(other)) << other;
}

TEST(SpoolFormat, AnyFlippedBitOfOneHeaderLeavesTheOther) {
  uint8_t bytes[kFirstRecord];
  EncodeSegmentHeader({3, 4, 5}, bytes);
  for (size_t bit = 0; bit < kFirstRecord * 8; ++bit) {
    uint8_t flipped[kFirstRecord];
    std::memcpy(flipped, bytes, kFirstRecord);
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    SegmentHeader header;
    uint32_t version = 0;
    ASSERT_EQ(DecodeSegmentHeader(flipped, &header, &version), HeaderStatus::kGood) << bit;
    ASSERT_EQ(header.number, 3u);
    ASSERT_EQ(header.created_ns, 4u);
    ASSERT_EQ(header.salt, 5u);
  }
}

TEST(SpoolFormat, AnyFlippedBitOfARecordHeaderIsSeen) {
  const std::string good = EncodedRecord("payload", 9, 77);
  for (size_t bit = 0; bit < kRecordHeaderBytes * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(ScanRecord(base::AsBytes(flipped), 77, true).status, ScanStatus::kRecord) << bit;
  }
  const Scan scan = ScanRecord(base::AsBytes(good), 77, true);
  ASSERT_EQ(scan.status, ScanStatus::kRecord);
  EXPECT_EQ(scan.header.source_name(), "zipkin");
  EXPECT_EQ(scan.header.ordinal, 9u);
  EXPECT_EQ(scan.header.signal, model::Signal::kLogs);
}

TEST(SpoolFormat, BytesOfAnotherSegmentAreNoRecord) {
  const std::string stranger = EncodedRecord("payload", 0, 76);
  const Scan scan = ScanRecord(base::AsBytes(stranger), 77, true);
  EXPECT_EQ(scan.status, ScanStatus::kDamage);
  EXPECT_EQ(scan.skip, stranger.size());
}

TEST(SpoolFormat, ScanFindsTheNextRecordBehindDamageAtAnySplit) {
  const std::string junk(24, 'J');
  const std::string bytes = junk + EncodedRecord("payload", 1, 77);
  EXPECT_EQ(ScanRecord(base::AsBytes(bytes), 77, true).skip, junk.size());
  for (size_t size = 0; size < bytes.size(); ++size) {
    // What has been seen of the file so far never makes it skip the record.
    const Scan scan = ScanRecord(base::AsBytes(bytes.substr(0, size)), 77, false);
    if (size < kRecordHeaderBytes) {
      EXPECT_EQ(scan.status, ScanStatus::kNeedMore);
    } else {
      EXPECT_EQ(scan.status, ScanStatus::kDamage);
      EXPECT_LE(scan.skip, junk.size());
      EXPECT_GT(scan.skip, 0u);
    }
  }
}

// A process may be killed while the kernel copies what it writes, a page after the other.
TEST(SpoolFormat, HeaderThatIsCutAtTheEndIsTornAndNoDamage) {
  const std::string bytes = EncodedRecord("payload", 1, 77);
  for (size_t size = 1; size < kRecordHeaderBytes; ++size) {
    const Scan scan = ScanRecord(base::AsBytes(bytes.substr(0, size)), 77, true);
    EXPECT_EQ(scan.status, ScanStatus::kTorn) << size;
    EXPECT_EQ(scan.skip, size);
  }
  const std::string other = "X" + bytes.substr(1, 30);
  EXPECT_EQ(ScanRecord(base::AsBytes(other), 77, true).status, ScanStatus::kDamage);
}

TEST(SpoolFormat, CursorIsReadBackAndDamageIsSeen) {
  CursorState state{5, 9, {{7, 70, {{0, 3}, {5, 6}}}, {8, 80, {{1, 2}}}}};
  const base::ByteBuffer slot = EncodeCursor(state);
  CursorState back;
  ASSERT_TRUE(DecodeCursor(slot.view(), &back));
  EXPECT_EQ(back.generation, 5u);
  EXPECT_EQ(back.last_segment, 9u);
  ASSERT_EQ(back.entries.size(), 2u);
  EXPECT_EQ(back.entries[0].delivered, state.entries[0].delivered);
  for (size_t i = 0; i < slot.size(); ++i) {
    std::string bad(base::AsText(slot.view()));
    bad[i] = static_cast<char>(bad[i] ^ 16);
    EXPECT_FALSE(DecodeCursor(base::AsBytes(bad), &back)) << i;
    EXPECT_FALSE(DecodeCursor(slot.view().first(i), &back)) << i;
  }
}

TEST(SpoolFormat, CursorNeverOutgrowsItsSlot) {
  CursorState state;
  for (uint64_t segment = 0; segment < 100; ++segment) {
    CursorEntry entry{segment, segment, {}};
    for (uint32_t i = 0; i < 1'000; ++i) entry.delivered.push_back({2 * i, 2 * i + 1});
    state.entries.push_back(std::move(entry));
  }
  const base::ByteBuffer slot = EncodeCursor(state);
  EXPECT_LE(slot.size(), kCursorSlotBytes);
  EXPECT_GT(slot.size(), kCursorSlotBytes - 64);
  CursorState back;
  EXPECT_TRUE(DecodeCursor(slot.view(), &back));
}

TEST(SpoolRanges, AreASet) {
  std::set<uint32_t> expected;
  Ranges ranges;
  uint32_t x = 1;
  for (int i = 0; i < 2'000; ++i) {
    x = x * 1664525 + 1013904223;
    const uint32_t from = x >> 20 & 511, to = from + (x >> 8 & 3);
    ranges.Add(from, to);
    for (uint32_t v = from; v < to; ++v) expected.insert(v);
    for (size_t j = 1; j < ranges.list().size(); ++j)
      ASSERT_LT(ranges.list()[j - 1].to, ranges.list()[j].from);
    const uint32_t probe = x >> 3 & 511;
    ASSERT_EQ(ranges.Contains(probe), expected.contains(probe));
  }
  for (uint32_t v = 0; v < 600; ++v) ASSERT_EQ(ranges.Contains(v), expected.contains(v)) << v;
}

}  // namespace
}  // namespace weft::spool
