#include "sources/ebpf/record_view.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace weft::sources::ebpf {
namespace {

template <typename T>
std::vector<uint8_t> Raw(T record, uint16_t kind, std::string_view tail = {}) {
  record.header.kind = kind;
  record.header.size = static_cast<uint32_t>(sizeof(T) + tail.size());
  std::vector<uint8_t> raw(sizeof(T) + tail.size());
  std::memcpy(raw.data(), &record, sizeof(T));
  if (!tail.empty()) std::memcpy(raw.data() + sizeof(T), tail.data(), tail.size());
  return raw;
}

weft_data Data(uint32_t length, uint32_t captured) {
  weft_data d = {};
  d.protocol = WEFT_PROTOCOL_HTTP2;
  d.length = length;
  d.captured = captured;
  return d;
}

TEST(RecordView, GivesBackWhatWasWritten) {
  weft_data d = Data(100, 3);
  d.cookie = 7;
  d.direction = WEFT_RECEIVE;
  std::vector<uint8_t> raw = Raw(d, WEFT_RECORD_DATA, "GETxxxxx");
  RecordView view;
  ASSERT_EQ(View(raw, &view), RecordStatus::kOk);
  EXPECT_EQ(view.data.cookie, 7u);
  EXPECT_EQ(base::AsText(view.captured), "GET");
}

TEST(RecordView, RefusesRecordsShorterThanTheyClaim) {
  std::vector<uint8_t> whole = Raw(Data(100, 5), WEFT_RECORD_DATA, "hello");
  RecordView view;
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_NE(View(base::ByteView(whole).first(n), &view), RecordStatus::kOk) << n;
  }
  EXPECT_EQ(View(whole, &view), RecordStatus::kOk);
}

TEST(RecordView, RefusesLengthsThatDoNotFit) {
  RecordView view;
  EXPECT_EQ(View(Raw(Data(100, 6), WEFT_RECORD_DATA, "hello"), &view), RecordStatus::kBadSize);
  EXPECT_EQ(View(Raw(Data(4, 5), WEFT_RECORD_DATA, "hello"), &view), RecordStatus::kBadValue);
  EXPECT_EQ(View(Raw(Data(100, UINT32_MAX), WEFT_RECORD_DATA, "hello"), &view),
            RecordStatus::kBadSize);
  weft_data beyond = Data(100, 5);
  beyond.captured_offset = 96;
  EXPECT_EQ(View(Raw(beyond, WEFT_RECORD_DATA, "hello"), &view), RecordStatus::kBadValue);
  beyond.captured_offset = UINT32_MAX;
  EXPECT_EQ(View(Raw(beyond, WEFT_RECORD_DATA, "hello"), &view), RecordStatus::kBadValue);
}

TEST(RecordView, RefusesUnknownKindsDirectionsProtocolsAndFamilies) {
  RecordView view;
  EXPECT_EQ(View(Raw(weft_end{}, 0), &view), RecordStatus::kUnknownKind);
  EXPECT_EQ(View(Raw(weft_end{}, 99), &view), RecordStatus::kUnknownKind);
  weft_end end = {};
  end.protocol = WEFT_PROTOCOL_HTTP1;
  end.direction = 2;
  EXPECT_EQ(View(Raw(end, WEFT_RECORD_END), &view), RecordStatus::kBadValue);
  weft_data data = Data(100, 5);
  data.protocol = 3;
  EXPECT_EQ(View(Raw(data, WEFT_RECORD_DATA, "hello"), &view), RecordStatus::kBadValue);
  EXPECT_EQ(View(Raw(weft_connection{}, WEFT_RECORD_CONNECTION), &view), RecordStatus::kBadValue);
  weft_connection four = {};
  four.family = 4;
  EXPECT_EQ(View(Raw(four, WEFT_RECORD_SOCKET_OWNER), &view), RecordStatus::kOk);
  EXPECT_EQ(View(Raw(four, WEFT_RECORD_END), &view), RecordStatus::kBadSize);
}

// Captured bytes never leave the record, whatever the record says.
TEST(RecordView, RandomBytesStayInside) {
  std::mt19937_64 random(1);
  RecordView view;
  for (int i = 0; i < 200'000; ++i) {
    std::vector<uint8_t> raw(random() % 200);
    for (uint8_t& b : raw) b = static_cast<uint8_t>(random());
    if (raw.size() >= 16) {
      uint32_t size = static_cast<uint32_t>(raw.size());
      std::memcpy(raw.data() + 8, &size, 4);
      raw[12] = static_cast<uint8_t>(random() % 6);
      raw[13] = 0;
      const size_t protocol = offsetof(weft_data, protocol);
      if (raw.size() > protocol) raw[protocol] = static_cast<uint8_t>(random() % 3);
    }
    if (View(raw, &view) != RecordStatus::kOk || view.captured.empty()) continue;
    EXPECT_GE(view.captured.data(), raw.data());
    EXPECT_LE(view.captured.data() + view.captured.size(), raw.data() + raw.size());
  }
}

}  // namespace
}  // namespace weft::sources::ebpf
