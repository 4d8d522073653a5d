// The reading side of an outbox, over a file that stands for the map: the test is the kernel side.
#include "sources/ebpf/maps/outboxes.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "abi/weft_abi.h"

namespace weft::sources::ebpf {
namespace {

constexpr uint64_t kBytes = WEFT_OUTBOX_SMALLEST;
constexpr unsigned kCpus = 3;

class OutboxesTest : public ::testing::Test {
 protected:
  OutboxesTest() {
    const size_t bytes = size_t{OutboxValueBytes(kBytes)} * kCpus + 8192;
    fd_ = memfd_create("outboxes", 0);
    EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0);
    values_ =
        static_cast<uint8_t*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    EXPECT_TRUE(outboxes_.Map(fd_, kCpus, kBytes).ok());
  }
  ~OutboxesTest() override { close(fd_); }

  weft_outbox* Box(unsigned cpu) {
    return reinterpret_cast<weft_outbox*>(values_ + cpu * OutboxValueBytes(kBytes));
  }
  // As outbox__take, outbox__place and outbox__publish do; false when there is no room.
  bool Write(unsigned cpu, const std::string& payload) {
    weft_outbox* box = Box(cpu);
    weft_record_header header = {};
    header.size = static_cast<uint32_t>(sizeof header + payload.size());
    if (box->written - box->consumed + header.size > kBytes) return false;
    uint8_t* place = reinterpret_cast<uint8_t*>(box + 1) + (box->written & (kBytes - 1));
    std::memcpy(place, &header, sizeof header);
    std::memcpy(place + sizeof header, payload.data(), payload.size());
    uint64_t next = box->written + ((header.size + 7) & ~7U);
    if ((next ^ box->written) > kBytes - 1) next &= ~(kBytes - 1);
    box->written = next;
    return true;
  }
  std::vector<std::string> Read(size_t most = SIZE_MAX) {
    std::vector<std::string> out;
    outboxes_.Consume([&](base::ByteView record) {
      out.emplace_back(base::AsText(record.subspan(sizeof(weft_record_header))));
      return out.size() < most;
    });
    return out;
  }

  int fd_ = -1;
  uint8_t* values_ = nullptr;
  Outboxes outboxes_;
};

TEST_F(OutboxesTest, RecordsOfEveryCpuComeInTheirOrderAndOnce) {
  EXPECT_TRUE(Read().empty());
  ASSERT_TRUE(Write(2, "c1"));
  ASSERT_TRUE(Write(0, "a1"));
  ASSERT_TRUE(Write(0, "a2, longer than eight bytes"));
  EXPECT_EQ(Read(), (std::vector<std::string>{"a1", "a2, longer than eight bytes", "c1"}));
  EXPECT_TRUE(Read().empty());
}

TEST_F(OutboxesTest, VisitorThatStopsFindsTheRestLater) {
  for (const char* text : {"1", "2", "3"}) ASSERT_TRUE(Write(1, text));
  EXPECT_EQ(Read(2), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(Read(), (std::vector<std::string>{"3"}));
}

// Sizes at random, so that records end before, at and beyond the end; read now and then.
TEST_F(OutboxesTest, RoomIsUsedAgainWithoutARecordLostOrTorn) {
  std::minstd_rand random(7);
  std::vector<std::string> written, read;
  size_t full = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = std::to_string(i) + std::string(random() % 4200, 'x');
    if (Write(0, text)) {
      written.push_back(std::move(text));
    } else {
      ++full;
    }
    if (random() % 16 == 0)
      for (std::string& record : Read()) read.push_back(std::move(record));
  }
  for (std::string& record : Read()) read.push_back(std::move(record));
  ASSERT_EQ(read.size(), written.size());
  EXPECT_TRUE(read == written);
  EXPECT_GT(full, 0u);
}

TEST_F(OutboxesTest, FillIsToldByTheFullest) {
  ASSERT_TRUE(Write(0, std::string(4000, 'x')));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Write(1, std::string(4000, 'x')));
  Read();
  EXPECT_EQ(outboxes_.fullest_percent(), 61u);
  Read();
  EXPECT_EQ(outboxes_.fullest_percent(), 0u);
}

TEST_F(OutboxesTest, RecordThatMakesNoSenseCostsWhatIsBehindItAndNoMore) {
  for (const uint32_t size : {0u, 15u, 64u, WEFT_OUTBOX_SLACK + 1u, 0xffffffffu}) {
    ASSERT_TRUE(Write(0, "good"));
    weft_outbox* box = Box(0);
    auto* bad = reinterpret_cast<weft_record_header*>(reinterpret_cast<uint8_t*>(box + 1) +
                                                      (box->written & (kBytes - 1)));
    ASSERT_TRUE(Write(0, "bad"));
    bad->size = size;
    ASSERT_TRUE(Write(1, "of another CPU"));
    std::vector<size_t> sizes;
    outboxes_.Consume([&](base::ByteView record) {
      sizes.push_back(record.size());
      return true;
    });
    EXPECT_EQ(sizes, (std::vector<size_t>{20, 24, 30})) << size;
    ASSERT_TRUE(Write(0, "next"));
    EXPECT_EQ(Read(), (std::vector<std::string>{"next"}));
  }
}

TEST(OutboxBytes, StayInCachesAndWithinABoundTogether) {
  EXPECT_EQ(OutboxBytes(2), 256u << 10);
  EXPECT_EQ(OutboxBytes(128), 256u << 10);
  EXPECT_EQ(OutboxBytes(256), 128u << 10);
  EXPECT_EQ(OutboxBytes(100'000), uint64_t{WEFT_OUTBOX_SMALLEST});
}

}  // namespace
}  // namespace weft::sources::ebpf
