#include "protocols/http2/connection.h"

#include <random>

#include "protocols/http2/wire.h"

namespace weft::protocols::http2 {
namespace {

using namespace testing;  // NOLINT: the vocabulary of every line below
using ::testing::Test;
constexpr Side kC = Side::kClient, kS = Side::kServer;
using Lines = std::vector<std::string>;

const char* const kGetText =
    " method=GET path=/shop?id=1 scheme=http authority=shop.example agent=curl/7.88";

TEST(Http2Connection, RequestResponseAndTrailersAreTold) {
  Reader reader;
  Deflater client, server;
  reader.Open();
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 1, client.Block(kGet)));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndHeaders, 1, server.Block({{":status", "103"}})));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndHeaders, 1, server.Block(kOk)));
  reader.Feed(kS, Frame(FrameType::kData, 0, 1, "hello"));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 1, server.Block({{"grpc-status", "0"}})));
  EXPECT_EQ(reader.lines,
            (Lines{std::string("> 1 request") + kGetText + " end", "< 1 informational status=103",
                   "< 1 response status=200 type=text/plain", "< 1 data 5",
                   "< 1 trailers grpc-status=0 end"}));
  EXPECT_EQ(reader.connection.open_streams(), 0u);
  EXPECT_TRUE(reader.connection.is_confirmed());
  EXPECT_EQ(reader.All().find("secret"), std::string::npos);  // F58
}

TEST(Http2Connection, TrailersOnlyIsAResponseWithAnEnd) {  // T57
  Reader reader;
  Deflater server;
  reader.Open();
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndHeaders, 1, Deflater().Block(kGet)));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 1,
                        server.Block({{":status", "200"},
                                      {"content-type", "application/grpc"},
                                      {"grpc-status", "12"},
                                      {"grpc-message", "no%20such"}})));
  EXPECT_EQ(reader.lines.back(),
            "< 1 response status=200 type=application/grpc grpc-status=12 grpc-message=no%20such "
            "end");
  EXPECT_EQ(reader.connection.open_streams(), 1u);  // the client has not ended it
  reader.Feed(kC, Frame(FrameType::kReset, 0, 1, Number(8)));
  EXPECT_EQ(reader.lines.back(), "> 1 reset 8 end");
  EXPECT_EQ(reader.connection.open_streams(), 0u);
}

TEST(Http2Connection, PaddingAndPriorityAreTakenOff) {  // T51
  Reader reader;
  reader.Open();
  const std::string block = Deflater().Block(kGet);
  std::string payload = std::string(1, '\x07') + std::string(5, '\x01') + block + std::string(7, 0);
  reader.Feed(
      kC, Frame(FrameType::kHeaders, kEndHeaders | flags::kPadded | flags::kPriority, 1, payload));
  reader.Feed(kC, Frame(FrameType::kData, flags::kPadded, 1, std::string("\x02") + "abc" + "\0\0"));
  reader.Feed(kC, Frame(FrameType::kData, flags::kPadded, 1,
                        std::string("\x02") + "abc" + std::string(2, 0)));
  reader.Feed(kC, Frame(FrameType::kData, flags::kEndStream, 1, ""));
  ASSERT_EQ(reader.lines.size(), 4u) << reader.All();
  EXPECT_EQ(reader.lines[0], std::string("> 1 request") + kGetText);
  EXPECT_EQ(reader.lines[2], "> 1 data 3");
  EXPECT_EQ(reader.lines[3], "> 1 data 0 end");
  // Padding that is longer than the payload ends the connection.
  EXPECT_EQ(reader.Feed(kC, Frame(FrameType::kData, flags::kPadded, 3,
                                  "\x05"
                                  "abc")),
            model::ParseState::kBad);
}

TEST(Http2Connection, ContinuationsAreOneBlock) {  // T50
  const std::string block = Deflater().Block(kGet);
  for (size_t cut = 0; cut <= block.size(); ++cut) {
    Reader reader;
    reader.Open();
    reader.Feed(kC, Frame(FrameType::kHeaders, flags::kEndStream, 1, block.substr(0, cut)) +
                        Frame(FrameType::kContinuation, 0, 1, "") +
                        Frame(FrameType::kContinuation, kEndHeaders, 1, block.substr(cut)));
    EXPECT_EQ(reader.lines, Lines{std::string("> 1 request") + kGetText + " end"}) << cut;
  }
}

TEST(Http2Connection, WhatNoPeerAcceptsLosesTheSide) {  // T50, T51
  const std::string headers = Frame(FrameType::kHeaders, 0, 1, "\x82");
  for (const std::string& bad :
       {Frame(FrameType::kContinuation, kEndHeaders, 1, ""),
        headers + Frame(FrameType::kContinuation, kEndHeaders, 3, ""),
        headers + Frame(FrameType::kPing, 0, 0, std::string(8, 0)),
        headers + Frame(FrameType::kHeaders, kEndHeaders, 3, "\x82"),
        Frame(FrameType::kHeaders, kEndHeaders, 0, "\x82"), Frame(FrameType::kData, 0, 0, ""),
        Frame(FrameType::kHeaders, kEndHeaders, 2, "\x82"),
        Frame(FrameType::kHeaders, kEndHeaders, 1, "\x80"),
        Frame(FrameType::kHeaders, kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff\xff\xff"),
        Frame(FrameType::kHeaders, kEndHeaders, 1, "\x82\x3f\xe1\x1f"),
        Frame(FrameType::kHeaders, kEndHeaders | flags::kPriority, 1, "\x82"),
        Frame(FrameType::kPushPromise, kEndHeaders, 1, Number(2) + "\x82"),
        Frame(FrameType::kSettings, 0, 0, "12345"), Frame(FrameType::kPing, 0, 0, "1234567"),
        Frame(FrameType::kReset, 0, 1, "123"), Frame(FrameType::kWindowUpdate, 0, 0, "123"),
        Frame(FrameType::kGoAway, 0, 0, "1234567")}) {
    Reader reader;
    reader.Open();
    EXPECT_EQ(reader.Feed(kC, bad), model::ParseState::kBad) << ::testing::PrintToString(bad);
    EXPECT_EQ(reader.connection.trouble(kC), Trouble::kGarbage);
    EXPECT_EQ(reader.lines.back(), "> 0 desync");
    EXPECT_EQ(reader.lines.size(), 1u) << reader.All();
  }
}

TEST(Http2Connection, APrefaceAloneIsNoProof) {  // yamux behind a preface
  Reader reader;
  const std::string yamux("\0\0\0\1\0\0\0\1\0\0\0\0", 12);
  EXPECT_EQ(reader.Feed(kC, std::string(kClientPreface) + yamux), model::ParseState::kBad);
  EXPECT_EQ(reader.connection.trouble(kC), Trouble::kNotHttp2);
  EXPECT_FALSE(reader.Resync(kC, Settings()));
  Reader server;
  server.Feed(kC, std::string(kClientPreface) + Settings());
  EXPECT_EQ(server.Feed(kS, yamux), model::ParseState::kBad);
  EXPECT_FALSE(server.Resync(kS, Settings()));
  Reader other;
  EXPECT_EQ(other.Feed(kC, "PRI * HTTP/2.1\r\n"), model::ParseState::kBad);
  EXPECT_EQ(other.connection.trouble(kC), Trouble::kNotHttp2);
}

TEST(Http2Connection, AnUpgradedConnectionAnswersStreamOne) {  // T32, T61
  Reader reader(Start::kUpgraded);
  Deflater client, server;
  reader.Feed(kS, Settings() + Frame(FrameType::kHeaders, kEndAll, 1, server.Block(kOk)));
  reader.Feed(kC, std::string(kClientPreface) + Settings());
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 3, client.Block(kGet)));
  EXPECT_EQ(reader.lines, (Lines{"< 1 response status=200 type=text/plain end",
                                 std::string("> 3 request") + kGetText + " end"}));
}

TEST(Http2Connection, NoiseBetweenFramesIsIgnored) {  // T61
  Reader reader;
  reader.Open();
  const std::string noise = Frame(FrameType::kPing, 0, 0, std::string(8, 'p')) +
                            Frame(FrameType::kWindowUpdate, 0, 0, Number(1000)) +
                            Frame(FrameType::kPriority, 0, 5, "12345") +
                            Frame(static_cast<FrameType>(0x1f), 0xff, 9, "?") +
                            Frame(FrameType::kSettings, flags::kAck, 0, "");
  EXPECT_EQ(reader.Feed(kC, noise), model::ParseState::kDone);
  EXPECT_EQ(reader.Feed(kS, noise), model::ParseState::kDone);
  EXPECT_TRUE(reader.lines.empty());
}

TEST(Http2Connection, PushedStreamsHaveRequestAndResponse) {  // T61
  Reader reader;
  Deflater server;
  reader.Open();
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 1, Deflater().Block(kGet)));
  reader.Feed(kS, Frame(FrameType::kPushPromise, kEndHeaders, 1, Number(2) + server.Block(kGet)));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 2, server.Block(kOk)));
  reader.Feed(kS, Frame(FrameType::kGoAway, 0, 0, Number(1) + Number(0) + "bye"));
  EXPECT_EQ(Lines(reader.lines.begin() + 1, reader.lines.end()),
            (Lines{std::string("< 1 push 2") + kGetText,
                   "< 2 response status=200 type=text/plain end", "< 0 goaway 1"}));
}

TEST(Http2Connection, OldAndFinishedStreamsStayFinished) {  // T55, T56
  Reader reader;
  Deflater client, server;
  reader.Open();
  auto Request = [&](uint32_t id) {
    reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, id, client.Block({{":method", "GET"}})));
  };
  Request(70001);
  Request(3);      // jumps back
  Request(70001);  // trailers at most
  reader.Feed(kC, Frame(FrameType::kReset, 0, 70001, Number(8)));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndHeaders, 70001, server.Block(kOk)));
  reader.Feed(kS, Frame(FrameType::kData, flags::kEndStream, 70001, "late"));
  Request(70001);
  EXPECT_EQ(reader.lines, (Lines{"> 70001 request method=GET end",
                                 "> 70001 trailers method=GET end", "> 70001 reset 8 end"}));
}

TEST(Http2Connection, ResponsesMayBeSeenBeforeTheirRequest) {
  Reader reader;
  reader.Feed(kS, Settings());
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 1, Deflater().Block(kOk)));
  reader.Feed(kC, std::string(kClientPreface) + Settings());
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 1, Deflater().Block({{":method", "GET"}})));
  EXPECT_EQ(reader.lines,
            (Lines{"< 1 response status=200 type=text/plain end", "> 1 request method=GET end"}));
  EXPECT_EQ(reader.connection.open_streams(), 0u);
}

TEST(Http2Connection, DataThatWasNotCapturedIsSkippedExactly) {  // T52
  Reader reader;
  Deflater server;
  reader.Open();
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 1, Deflater().Block(kGet)));
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndHeaders, 1, server.Block(kOk)));
  const std::string data = Frame(FrameType::kData, 0, 1, std::string(16000, 'x'));
  for (size_t captured : {kFrameHeaderBytes, kFrameHeaderBytes + 100}) {
    reader.Feed(kS, data.substr(0, captured));
    EXPECT_EQ(reader.connection.payload_left(kS), data.size() - captured);
    EXPECT_EQ(reader.Gap(kS, 1000), model::ParseState::kNeedMore);
    EXPECT_EQ(reader.Gap(kS, data.size() - captured - 1000), model::ParseState::kDone);
    EXPECT_EQ(reader.lines.back(), "< 1 data 16000");
  }
  reader.Feed(kS, data.substr(0, 20));
  EXPECT_EQ(reader.Gap(kS, data.size() - 20 + 1), model::ParseState::kBad);
  EXPECT_EQ(reader.connection.trouble(kS), Trouble::kGap);
  EXPECT_EQ(reader.lines.back(), "< 0 desync");
}

TEST(Http2Connection, AHeaderBlockWithAHoleKeepsItsStreamAndTime) {  // T49
  Reader reader;
  Deflater client;
  reader.Open();
  const std::string lost = Frame(FrameType::kHeaders, kEndAll, 1, client.Block(kGet));
  reader.Feed(kC, lost.substr(0, 12));
  reader.Gap(kC, lost.size() - 12);
  // The second request refers to what the first inserted.
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 3, client.Block(kGet)));
  ASSERT_EQ(reader.lines.size(), 2u);
  EXPECT_EQ(reader.lines[0], "> 1 request cut end");
  // nghttp2 does not index paths; authority and agent refer to the table.
  EXPECT_EQ(reader.lines[1], "> 3 request method=GET path=/shop?id=1 scheme=http unknown=2 end");
  EXPECT_FALSE(reader.connection.is_table_known(kC));
}

TEST(Http2Connection, HugeBlocksAreCutAndFloodsEndTheSide) {  // F35
  Reader reader;
  reader.Open();
  std::string block = Deflater().Block({{":method", "GET"}});
  for (int i = 0; i < 9; ++i)
    block += std::string("\x00\x01x\x7f\x80\x3e", 6) + std::string(8191, 'y');
  std::string frames = Frame(FrameType::kHeaders, flags::kEndStream, 1, block.substr(0, 16000));
  for (size_t at = 16000; at < block.size(); at += 16000) {
    const bool is_last = at + 16000 >= block.size();
    frames +=
        Frame(FrameType::kContinuation, is_last ? kEndHeaders : 0, 1, block.substr(at, 16000));
  }
  reader.Feed(kC, frames);
  EXPECT_EQ(reader.lines, Lines{"> 1 request cut end"});
  EXPECT_EQ(reader.connection.counters().cut_blocks, 1u);
  EXPECT_LT(reader.connection.bytes(), 100'000u);

  std::string flood = Frame(FrameType::kHeaders, 0, 3, "");
  for (uint32_t i = 0; i <= kMaxContinuations; ++i) {
    flood += Frame(FrameType::kContinuation, 0, 3, "");
  }
  EXPECT_EQ(reader.Feed(kC, flood), model::ParseState::kBad);
  EXPECT_EQ(reader.connection.trouble(kC), Trouble::kFlood);
}

TEST(Http2Connection, ABombOfReferencesStaysSmall) {  // F35
  Reader reader;
  reader.Open();
  std::string block("\x40\x0btraceparent\x7f\xa1\x1e", 16);  // 4000 bytes, inserted
  block += std::string(4000, 'a');
  block += std::string(60'000, '\xbe');
  std::string frames = Frame(FrameType::kHeaders, flags::kEndStream, 1, block.substr(0, 16000));
  for (size_t at = 16000; at < block.size(); at += 16000) {
    frames += Frame(FrameType::kContinuation, at + 16000 >= block.size() ? kEndHeaders : 0, 1,
                    block.substr(at, 16000));
  }
  reader.connection.Feed(kC, base::AsBytes(frames), &reader.out);
  ASSERT_EQ(reader.out.heads.size(), 1u);
  EXPECT_EQ(reader.out.heads[0].traceparent_count, 255);
  EXPECT_LT(reader.connection.bytes(), 200'000u);
}

TEST(Http2Connection, TheOldestStreamsLeaveAFullTable) {
  Reader reader;
  reader.Open();
  for (uint32_t i = 0; i < kMaxStreams + 10; ++i) {
    reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 2 * i + 1, "\x82"));
  }
  EXPECT_EQ(reader.connection.open_streams(), kMaxStreams - kMaxStreams / 16 + 10);
  EXPECT_EQ(reader.connection.counters().dropped_streams, kMaxStreams / 16);
  size_t dropped = 0;
  for (const std::string& line : reader.lines) dropped += line.find("dropped") != std::string::npos;
  EXPECT_EQ(dropped, kMaxStreams / 16);
  // A new one is there, an old one is not.
  reader.lines.clear();
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 1, "\x88"));
  EXPECT_TRUE(reader.lines.empty());
  reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 2 * kMaxStreams + 1, "\x88"));
  EXPECT_EQ(reader.lines.size(), 1u);
  EXPECT_LT(reader.connection.bytes(), 1u << 20);
}

TEST(Http2Connection, MessagesAreCountedWhereTheirPrefixesAreSeen) {  // T59, T60
  Reader reader;
  Deflater client;
  reader.Open();
  Fields rpc = kGet;
  rpc.push_back({"content-type", "application/grpc+proto"});
  reader.Feed(kC, Frame(FrameType::kHeaders, kEndHeaders, 1, client.Block(rpc)));
  const std::string five("\0\0\0\0\5hello", 10), none("\1\0\0\0\0", 5), big("\0\0\0\x27\x10", 5);
  reader.Feed(kC, Frame(FrameType::kData, 0, 1, five + none + five.substr(0, 3)));
  EXPECT_EQ(reader.lines.back(), "> 1 data 18 messages=3");
  reader.Feed(kC, Frame(FrameType::kData, 0, 1, five.substr(3)));
  EXPECT_EQ(reader.lines.back(), "> 1 data 7 messages=3");
  // A message of 10,000 bytes whose body is not captured.
  const std::string frame = Frame(FrameType::kData, 0, 1, big + std::string(10'000, 'x'));
  reader.Feed(kC, frame.substr(0, 20));
  reader.Gap(kC, frame.size() - 20);
  EXPECT_EQ(reader.lines.back(), "> 1 data 10005 messages=4");
  reader.Feed(kC, Frame(FrameType::kData, 0, 1, five));
  EXPECT_EQ(reader.lines.back(), "> 1 data 10 messages=5");
  // A prefix that is not captured.
  reader.Feed(kC, frame.substr(0, 11));
  reader.Gap(kC, frame.size() - 11);
  EXPECT_EQ(reader.lines.back(), "> 1 data 10005");
}

TEST(Http2Connection, MemoryStaysFlatOverManyStreams) {
  Reader reader;
  Deflater client, server;
  reader.Open();
  size_t usual = 0;
  for (uint32_t i = 0; i < 20'000; ++i) {
    Fields fields = kGet;
    fields.push_back({"traceparent", "00-" + std::to_string(i)});
    reader.Feed(kC, Frame(FrameType::kHeaders, kEndAll, 2 * i + 1, client.Block(fields)));
    reader.Feed(kS, Frame(FrameType::kHeaders, kEndAll, 2 * i + 1, server.Block(kOk)));
    if (i == 2'000) usual = reader.connection.bytes();
  }
  EXPECT_EQ(reader.lines.size(), 40'000u);
  EXPECT_EQ(reader.connection.bytes(), usual);
  EXPECT_LT(usual, 50'000u);
}

TEST(Http2Connection, RandomBytesNeverBecomeARequest) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Reader reader(Start::kJoined);
    std::string bytes(1 + random() % 300, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (reader.Resync(kC, bytes)) reader.Feed(kC, bytes);
    EXPECT_TRUE(reader.lines.empty());
  }
}

}  // namespace
}  // namespace weft::protocols::http2
