#include <random>

#include "protocols/http2/header_decoder.h"
#include "protocols/http2/joined_table.h"
#include "protocols/http2/wire.h"

namespace weft::protocols::http2 {
namespace {

using namespace testing;  // NOLINT: Deflater, HeadText

std::string FromHex(std::string_view hex) {
  std::string out;
  int high = -1;
  for (char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (high >= 0) out += static_cast<char>(high << 4 | digit);
    high = high >= 0 ? -1 : digit;
  }
  return out;
}

struct Decoder {
  bool Decode(std::string_view block) {
    out.clear();
    head = {};
    shape = {};
    return decoder.Decode(base::AsBytes(block), &head, &shape, &out);
  }
  std::string Text(std::string_view hex) { return Decode(FromHex(hex)) ? HeadText(head) : "bad"; }
  HeaderDecoder decoder;
  Output out;
  Head head;
  BlockShape shape;
};

// RFC 7541, appendix C.3 and C.4: three requests, without and with Huffman coding.
const char* const kRequests[][3] = {
    {"828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
     "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"},
    {"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
     "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"}};
const char* const kRequestTexts[] = {
    " method=GET path=/ scheme=http authority=www.example.com",
    " method=GET path=/ scheme=http authority=www.example.com",
    " method=GET path=/index.html scheme=https authority=www.example.com"};

TEST(Http2Hpack, ExamplesOfTheStandard) {
  for (const auto& requests : kRequests) {
    Decoder known, joined;
    joined.decoder.Forget();
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(known.Text(requests[i]), kRequestTexts[i]);
      // Joined before the first: everything was inserted since.
      EXPECT_EQ(joined.Text(requests[i]), kRequestTexts[i]);
    }
    EXPECT_TRUE(known.decoder.is_table_known());
    EXPECT_FALSE(joined.decoder.is_table_known());
    // Joined behind the first: ":authority" refers to it.
    Decoder late;
    late.decoder.Forget();
    EXPECT_EQ(late.Text(requests[1]), " method=GET path=/ scheme=http unknown=1");
    EXPECT_EQ(late.Text(requests[2]), " method=GET path=/index.html scheme=https unknown=1");
  }
}

TEST(Http2Hpack, EvictionOfTheStandardsResponses) {
  // C.5 and C.6: a table of 256 bytes (announced here, as the examples assume it), with evictions.
  for (const char* second : {"4803333037c1c0bf", "4883640effc1c0bf"}) {
    Decoder decoder;
    EXPECT_EQ(
        decoder.Text("3fe101 4803333032580770726976617465611d4d6f6e2c203231204f637420323031332"
                     "032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f"
                     "6d"),
        " status=302");
    EXPECT_EQ(decoder.Text(second), " status=307");
    EXPECT_EQ(decoder.Text("88c1c0bf"), " status=200");
  }
}

TEST(Http2Hpack, BrokenBlocksAreRefused) {  // T53, T54
  for (const char* bad : {"80", "ffffffffffffffff", "00", "0001", "000161", "00017a05", "400161ff",
                          "823f00", "000161 81 00", "7fffffffff7f00", "00 84 ffffffff 00"}) {
    Decoder known, joined;
    joined.decoder.Forget();
    EXPECT_EQ(known.Text(bad), "bad") << bad;
    EXPECT_EQ(joined.Text(bad), "bad") << bad;
  }
  Decoder decoder;
  EXPECT_EQ(decoder.Text(""), "");
}

TEST(Http2Hpack, NeverIndexedAndSeveralValues) {  // T54, T62
  Decoder decoder;
  EXPECT_EQ(decoder.Text("10 0b 7472616365706172656e74 01 61 00 0b 7472616365706172656e74 01 62"
                         "00 0a 74726163657374617465 01 63 00 0a 74726163657374617465 00"),
            " traceparent=a tracestate=c tracestate= traceparents=2");
}

TEST(Http2Hpack, ATableThatIsTooLargeIsUnknownNotWrong) {  // T53
  Decoder decoder;
  // An update to 1 MiB, then an insertion that stays.
  EXPECT_EQ(decoder.Text("3fe1ff3f 410161"), " authority=a");
  EXPECT_FALSE(decoder.decoder.is_table_known());
  EXPECT_EQ(decoder.Text("be bf"), " authority=a unknown=1");
}

TEST(Http2Hpack, AnEmptiedTableIsKnown) {  // T48
  Decoder decoder;
  decoder.decoder.Forget();
  EXPECT_EQ(decoder.Text("be"), " unknown=1");
  EXPECT_EQ(decoder.Text("20 3fe11f 410161 be"), " authority=a");
  EXPECT_TRUE(decoder.decoder.is_table_known());
  EXPECT_EQ(decoder.Text("bf"), "bad");
}

TEST(Http2JoinedTable, TurnsOverWhenWhatWasSeenFillsIt) {
  JoinedTable table;
  const std::string value(60, 'v');
  table.SetMaxSize(300);
  table.Insert(true, "name-123", value);  // 100 bytes each
  table.Insert(true, "name-456", value);
  EXPECT_FALSE(table.is_complete());
  table.Insert(true, "name-789", value);
  EXPECT_TRUE(table.is_complete());
  JoinedTable::Entry entry;
  ASSERT_TRUE(table.Find(2, &entry));
  EXPECT_EQ(entry.name, "name-123");
  EXPECT_FALSE(table.Find(3, &entry));
  table.Insert(false, "", "x");
  EXPECT_TRUE(table.has_nameless());
  EXPECT_TRUE(table.is_complete());
  ASSERT_TRUE(table.Find(0, &entry));
  EXPECT_FALSE(entry.is_name_known);
  table.Insert(true, "huge", std::string(400, 'h'));  // empties it
  EXPECT_FALSE(table.Find(0, &entry));
  EXPECT_TRUE(table.is_complete());
}

TEST(Http2JoinedTable, LargeEntriesTakeNoMoreThanSmallOnes) {
  JoinedTable table;
  const std::string large(JoinedTable::kMaxKeptBytes / 2 - 100, 'x');
  for (int i = 0; i < 200; ++i) {
    table.Insert(true, std::to_string(i), large);
    ASSERT_LT(table.bytes(), 6 * JoinedTable::kMaxKeptBytes) << i;
  }
  JoinedTable::Entry entry;
  ASSERT_TRUE(table.Find(1, &entry));
  EXPECT_EQ(entry.name, "198");
  EXPECT_EQ(entry.value, large);
}

TEST(Http2JoinedTable, WhatIsForgottenForSpaceIsUnknown) {
  JoinedTable table;
  for (int i = 0; i < 10'000; ++i)
    table.Insert(true, "n", std::to_string(i) + std::string(50, '.'));
  JoinedTable::Entry entry;
  size_t kept = 0;
  while (table.Find(kept, &entry)) {
    ASSERT_EQ(entry.value.substr(0, 4), std::to_string(9999 - kept)) << kept;
    ++kept;
  }
  EXPECT_GT(kept, 100u);
  EXPECT_FALSE(table.is_complete());
  EXPECT_LT(table.bytes(), 6 * JoinedTable::kMaxKeptBytes);
  table.Insert(true, "n", std::string(JoinedTable::kMaxKeptBytes, 'x'));
  EXPECT_FALSE(table.Find(0, &entry));
}

// A vocabulary with names in and outside of the static table.
Fields RandomFields(std::mt19937& random) {
  auto Pick = [&](unsigned n) { return std::to_string(random() % n); };
  Fields fields = {{":method", random() % 2   ? "GET"
                               : random() % 2 ? "PATCH"
                                              : "POST"},
                   {":scheme", random() % 3 ? "http" : "https"},
                   {":path", random() % 3 ? "/" : "/p" + Pick(5)},
                   {":authority", "host-" + Pick(4)}};
  if (random() % 2) fields.push_back({"user-agent", "agent/" + Pick(3)});
  if (random() % 2) fields.push_back({"x-request-id", Pick(1000)});
  if (random() % 2) fields.push_back({"traceparent", "00-" + Pick(6)});
  if (random() % 3 == 0) fields.push_back({"tracestate", "a=" + Pick(6)});
  if (random() % 3 == 0) fields.push_back({"grpc-timeout", Pick(9) + "S"});
  if (random() % 20 == 0) fields.push_back({"x-large", std::string(random() % 6000, 'l')});
  if (random() % 3 == 0) fields.push_back({"content-type", "application/grpc"});
  return fields;
}

std::string ValueOf(const Fields& fields, std::string_view name) {
  for (const auto& [n, v] : fields) {
    if (n == name) return v;
  }
  return "";
}

// Whatever is reported is the truth; what is not there although it was sent is covered by
// unknown_fields; and after the table has turned over nothing is unknown.
TEST(Http2Hpack, JoinedAnywhereWhatIsReportedIsTheTruth) {  // T48
  size_t unknown = 0, readable_names = 0, recovered = 0, known_blocks = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const size_t tables[] = {0, 64, 200, 1000, 4096, 16384, 60000};
    Deflater deflater(tables[random() % 7]);
    const unsigned join = random() % 60;
    Decoder decoder;
    decoder.decoder.Forget();
    size_t last_unknown = 0;
    for (unsigned i = 0; i < 200; ++i) {
      if (random() % 50 == 0) deflater.Resize(tables[random() % 7]);
      const Fields fields = RandomFields(random);
      const std::string block = deflater.Block(fields);
      if (i < join) continue;
      if (i > join && random() % 100 == 0) {
        decoder.decoder.Forget();  // a block is lost
        continue;
      }
      const bool was_known = decoder.decoder.is_table_known();
      ASSERT_TRUE(decoder.Decode(block)) << seed << " block " << i;
      const Head& head = decoder.head;
      size_t missing = 0;
      auto Check = [&](std::string_view name, std::string_view got) {
        const std::string want = ValueOf(fields, name);
        if (got.data() == nullptr) {
          missing += want.empty() ? 0 : 1;
        } else {
          ++readable_names;
          ASSERT_EQ(got, want) << name << " seed " << seed << " block " << i;
        }
      };
      Check(":method", head.method), Check(":scheme", head.scheme), Check(":path", head.path);
      Check(":authority", head.authority), Check("user-agent", head.user_agent);
      Check("traceparent", head.traceparent), Check("tracestate", head.tracestate[0]);
      Check("grpc-timeout", head.grpc_timeout), Check("content-type", head.content_type);
      ASSERT_LE(missing, head.unknown_fields) << seed << " block " << i;
      if (was_known) {
        ++known_blocks;
        ASSERT_EQ(head.unknown_fields, 0u);
      }
      unknown += head.unknown_fields;
      last_unknown = head.unknown_fields;
    }
    recovered += last_unknown == 0;
  }
  EXPECT_GT(unknown, 1000u);  // the test meets what it is about
  EXPECT_GT(readable_names, 100'000u);
  EXPECT_GT(recovered, 200u);
  EXPECT_GT(known_blocks, 1000u);
}

TEST(Http2Hpack, KnownFromTheStartEverythingIsReported) {  // T53
  for (unsigned seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    Deflater deflater(seed % 2 ? 4096 : 65536);
    Decoder decoder;
    for (unsigned i = 0; i < 100; ++i) {
      if (random() % 20 == 0) deflater.Resize(random() % 3 ? random() % 5000 : 0);
      const Fields fields = RandomFields(random);
      ASSERT_TRUE(decoder.Decode(deflater.Block(fields)));
      ASSERT_TRUE(decoder.decoder.is_table_known());
      ASSERT_TRUE(decoder.head.is_complete());
      ASSERT_EQ(decoder.head.path, ValueOf(fields, ":path"));
      ASSERT_EQ(decoder.head.authority, ValueOf(fields, ":authority"));
      ASSERT_EQ(decoder.head.traceparent, ValueOf(fields, "traceparent"));
    }
  }
}

}  // namespace
}  // namespace weft::protocols::http2
