#include "protocols/http1/message_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "protocols/http1/transcript.h"

namespace weft::protocols::http1 {
namespace {

using model::ParseState;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";  // 28 bytes

TEST(Http1Parser, SimpleGetIsHeadAndEnd) { EXPECT_EQ(Requests(kGet), "GET /a none @0\nend@28\n"); }

TEST(Http1Parser, SplitAtEveryByteGivesSameMessages) {  // T23
  const std::string bytes =
      "\r\nPOST /up?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
      "PUT /c HTTP/1.1\nTransfer-Encoding: gzip,\r\n chunked\nX:\n\n5;e=1\r\nhello\r\n0\r\nT: "
      "1\r\n\r\n" +
      std::string(kGet);
  const std::string want = Requests(bytes);
  EXPECT_EQ(std::count(want.begin(), want.end(), '\n'), 6);
  for (size_t split = 0; split <= bytes.size(); ++split) {
    Transcript t(MessageKind::kRequest);
    t.FeedInPieces(bytes.substr(0, split), bytes.size())
        .FeedInPieces(bytes.substr(split), bytes.size());
    EXPECT_EQ(t.text, want) << split;
  }
  Transcript t(MessageKind::kRequest);
  EXPECT_EQ(t.FeedInPieces(bytes, 1).text, want);
}

// A whole head is taken apart in one pass, one that comes in pieces is not: they must agree.
TEST(Http1Parser, UnusualHeadsAreTheSameWholeAndInPieces) {
  std::string many = "GET /many HTTP/1.1\r\n";
  for (int i = 0; i < 90; ++i) many += "x-" + std::to_string(i) + ": 1\r\n";
  const std::string heads[] = {
      "GET /a HTTP/1.1\r\n\r\n",
      "GET /a HTTP/1.1\n\n",
      "GET /a HTTP/1.1\r\nHost: x\n\r\n",
      "POST /a HTTP/1.1\r\nContent-Length: 0\r\nHost:x:80\r\n\r\n",
      "GET /a HTTP/1.1\r\n Host: blank first\r\n\r\n",
      "GET /a HTTP/1.1\r\nX: 1\r\n folded: 2\r\nHost: y\r\n\r\n",
      "GET /a HTTP/1.1\r\nX 1\r\n\tfolded: 2\r\n\r\n",
      "GET /a HTTP/1.1\r\nX: 1\r\n\rHost: y\r\n\r\n",
      "GET /a HTTP/1.1\r\nno colon\r\n\r\n",
      "GET /a HTTP/1.1\r\n: no name\r\n\r\n",
      "GET /a:b HTTP/1.1\r\nHost\r\nHost: y\r\n\r\n",
      "GET  HTTP/1.1\r\nHost: y\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\n",
      "GET /a HTTP/1.1\r\nHost: 0123456789\r\n\r\n",
      "GET /" + std::string(40'000, 'a') + " HTTP/1.1\r\nHost: y\r\n\r\n",
      many + "Host: last\r\n\r\n",
  };
  for (const std::string& head : heads) {
    for (size_t padding : {0, 1, 2, 7, 15, 16}) {  // where it lies in a block of the pass
      const std::string bytes = head + std::string(padding, '\n') + std::string(kGet);
      Transcript whole(MessageKind::kRequest), pieces(MessageKind::kRequest);
      whole.FeedInPieces(bytes, bytes.size());
      pieces.FeedInPieces(bytes, 3);
      EXPECT_EQ(whole.text, pieces.text) << head;
      EXPECT_EQ(whole.state, pieces.state) << head;
      EXPECT_EQ(whole.parser.offset(), pieces.parser.offset()) << head;
    }
  }
}

TEST(Http1Parser, HeadByteByByteIsLookedAtOnce) {  // T23
  std::string head = "GET /" + std::string(60'000, 'a') + " HTTP/1.1\r\n\r\n";
  Transcript t(MessageKind::kRequest);
  t.FeedInPieces(head, 1);
  EXPECT_EQ(t.state, ParseState::kDone);
  EXPECT_NE(t.text.find("end@"), std::string::npos);
}

TEST(Http1Parser, GetInsideGarbageIsNoRequest) {  // T24
  EXPECT_EQ(Requests("xx\r\nGET /a HTTP/1.1\r\n\r\n"), "");
  Transcript t(MessageKind::kRequest);
  EXPECT_EQ(t.Feed("\x16\x03\x01 GET / HTTP/1.1\r\n\r\n").state, ParseState::kBad);
  EXPECT_EQ(t.Feed(kGet).text, "");  // bad until Resync
}

TEST(Http1Parser, TailOfAMessageThenResync) {  // T25
  Transcript t(MessageKind::kRequest, 1000);
  EXPECT_EQ(t.Feed("ding: gzip\r\n\r\n").state, ParseState::kBad);
  EXPECT_FALSE(t.parser.Resync(base::AsBytes("body GET / HTTP/1.1\r\n"), 1014));
  EXPECT_EQ(t.parser.offset(), 1014u);
  EXPECT_TRUE(t.parser.Resync(base::AsBytes(kGet), 1014));
  EXPECT_EQ(t.Feed(kGet).text, "GET /a none @1014\nend@1042\n");
}

TEST(Http1Parser, PipelinedRequestsInOneRead) {  // T26
  EXPECT_EQ(Requests(std::string(kGet) + std::string(kGet)),
            "GET /a none @0\nend@28\nGET /a none @28\nend@56\n");
}

TEST(Http1Parser, ViewsOfAJoinedHeadSurviveTheNextPartialHead) {
  Transcript t(MessageKind::kRequest);
  t.Feed(kGet.substr(0, 10));
  t.Feed(std::string(kGet.substr(10)) + "GET /" + std::string(3000, 'b'));
  EXPECT_EQ(t.text, "GET /a none @0\nend@28\n");
}

TEST(Http1Parser, HeadResponseHasNoBody) {  // T28
  Transcript t(MessageKind::kResponse);
  t.parser.ExpectResponseTo(RequestClass::kHead);
  t.parser.ExpectResponseTo(RequestClass::kOther);
  t.Feed(
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
      "5\r\n\r\nhello");
  EXPECT_EQ(t.text, "200 none @0\nend@38\n200 length @38\nend@81\n");
}

TEST(Http1Parser, ExpectedRequestsAreBounded) {
  MessageParser parser(MessageKind::kResponse);
  for (size_t i = 0; i < kMaxExpected; ++i)
    EXPECT_TRUE(parser.ExpectResponseTo(RequestClass::kOther));
  EXPECT_FALSE(parser.ExpectResponseTo(RequestClass::kOther));
}

TEST(Http1Parser, NoContentAndNotModifiedHaveNoBody) {  // T29
  EXPECT_EQ(Responses("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"), "204 none @0\nend@38\n");
  EXPECT_EQ(Responses("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "304 none @0\nend@47\n");
}

TEST(Http1Parser, InterimResponsesDoNotUseUpTheExpectedRequest) {  // T30, T31
  Transcript t(MessageKind::kResponse);
  t.parser.ExpectResponseTo(RequestClass::kHead);
  t.Feed(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 103 "
      "Early\r\n\r\n");
  t.Feed("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
  EXPECT_EQ(
      t.text,
      "100 none @0\nend@25\n103 none @25\nend@56\n103 none @56\nend@78\n200 none @78\nend@116\n");
}

TEST(Http1Parser, SwitchingProtocolsEndsTheProtocol) {  // T32
  Transcript t(MessageKind::kResponse);
  t.Feed("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x05HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(t.state, ParseState::kEndOfProtocol);
  EXPECT_EQ(t.text, "101 none @0\nend@46\n");
}

TEST(Http1Parser, CutHeadEndsTheProtocolToo) {  // T32, T33, T40
  for (const bool is_connect : {false, true}) {
    Transcript t(MessageKind::kResponse);
    t.parser.ExpectResponseTo(is_connect ? RequestClass::kConnect : RequestClass::kOther);
    const std::string status = is_connect ? "200" : "101";
    t.Feed("HTTP/1.1 " + status + " X\r\nUpgrade: websocket\r\nSet-Coo")
        .Gap(300)
        .Feed("\x81\x05Hi");
    EXPECT_EQ(t.state, ParseState::kEndOfProtocol);
    EXPECT_EQ(t.text, status + " none truncated @0\nend@43\n");
  }
}

TEST(Http1Parser, ConnectSuccessIsATunnelAndRefusalIsNot) {  // T33
  Transcript ok(MessageKind::kResponse);
  ok.parser.ExpectResponseTo(RequestClass::kConnect);
  EXPECT_EQ(ok.Feed("HTTP/1.1 200 Connected\r\n\r\n").state, ParseState::kEndOfProtocol);
  Transcript no(MessageKind::kResponse);
  no.parser.ExpectResponseTo(RequestClass::kConnect);
  EXPECT_EQ(no.Feed("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno").state, ParseState::kDone);
  EXPECT_EQ(Requests("CONNECT h:443 HTTP/1.1\r\n\r\n"), "CONNECT h:443 none @0\nend@26\n");
}

TEST(Http1Parser, ResponseWithoutLengthRunsUntilClose) {  // T34
  Transcript t(MessageKind::kResponse);
  t.Feed("HTTP/1.0 200 OK\r\n\r\nbody").Gap(1000).Feed("HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(t.state, ParseState::kNeedMore);
  EXPECT_EQ(t.End().text, "200 until-close @0\nend@1042\n");
}

TEST(Http1Parser, EndDoesNotCompleteAMessageThatIsShort) {
  Transcript t(MessageKind::kResponse);
  EXPECT_EQ(t.Feed("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nbody").End().text,
            "200 length @0\n");
}

struct ChunkedCase {
  const char* what;
  std::string body;
  ParseState want;
};

TEST(Http1Parser, ChunkedForms) {  // T35
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const ChunkedCase kCases[] = {
      {"empty", "0\r\n\r\n", ParseState::kDone},
      {"extension", "9;key=value\r\n123456789\r\n0\r\n\r\n", ParseState::kDone},
      {"upper and lower hex", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", ParseState::kDone},
      {"trailers", "1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", ParseState::kDone},
      {"blank behind the size", "1 \r\nx\r\n0 \r\n\r\n", ParseState::kDone},
      {"data looks like the end", "7\r\n0\r\n\r\nxx\r\n0\r\n\r\n", ParseState::kDone},
      {"leading zeros", "00000000000000000000001\r\nx\r\n000\r\n\r\n", ParseState::kDone},
      {"bare line feeds", "1\nx\n0\n\n", ParseState::kDone},
      {"missing final line end", "1\r\nx\r\n0\r\n", ParseState::kNeedMore},
      {"overflow", "8000000000000000\r\n", ParseState::kBad},
      {"overflow by far", "fffffffffffffffffffff\r\n", ParseState::kBad},
      {"no digit", "\r\n", ParseState::kBad},
      {"negative", "-1\r\n", ParseState::kBad},
      {"no line end behind the data", "1\r\nxy\r\n0\r\n\r\n", ParseState::kBad},
      {"endless size line", "1;" + std::string(5000, 'e'), ParseState::kBad},
      {"endless trailers", "0\r\n" + std::string(70'000, 't'), ParseState::kBad},
  };
  for (const ChunkedCase& c : kCases) {
    for (size_t piece : {size_t{1}, size_t{7}, size_t{100'000}}) {
      Transcript t(MessageKind::kResponse);
      t.Feed(head).FeedInPieces(c.body, piece);
      EXPECT_EQ(t.state, c.want) << c.what << " in pieces of " << piece;
      if (c.want == ParseState::kDone) {
        EXPECT_EQ(t.text,
                  "200 chunked @0\nend@" + std::to_string(head.size() + c.body.size()) + "\n")
            << c.what;
      }
      EXPECT_EQ(t.parser.offset(), head.size() + c.body.size()) << c.what;
    }
  }
}

TEST(Http1Parser, LastChunkWithoutFinalLineEndIsCompleteAtTheEnd) {  // T35
  Transcript t(MessageKind::kResponse);
  t.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n").End();
  EXPECT_EQ(t.text, "200 chunked @0\nend@50\n");
}

TEST(Http1Parser, TransferEncodingWinsOverContentLength) {  // T36
  EXPECT_EQ(
      Requests(
          "POST / HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      "POST / chunked both-lengths @0\nend@72\n");
}

TEST(Http1Parser, ContradictingLengthsLoseTheFraming) {  // T36
  Transcript t(MessageKind::kRequest);
  EXPECT_EQ(t.Feed("POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nhello").state, ParseState::kBad);
  EXPECT_EQ(t.text, "POST / unknown @0\n");
  EXPECT_EQ(t.parser.trouble(), Trouble::kBadLength);
}

TEST(Http1Parser, ManyFieldsAreFineAndAnEndlessHeadIsNot) {  // T37
  std::string head = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 200; ++i)
    head += "X-" + std::to_string(i) + ": " + std::string(200, 'v') + "\r\n";
  Transcript fine(MessageKind::kRequest);
  EXPECT_EQ(fine.FeedInPieces(head + "\r\n", 1000).state, ParseState::kDone);
  Transcript endless(MessageKind::kRequest);
  for (int i = 0; i < 100; ++i) endless.Feed(head);
  EXPECT_EQ(endless.state, ParseState::kBad);
  EXPECT_EQ(endless.parser.trouble(), Trouble::kTooLarge);
}

TEST(Http1Parser, BareLineFeedsAndLeadingEmptyLines) {  // T37
  EXPECT_EQ(Requests("\r\n\n\r\nGET / HTTP/1.1\nHost: x\n\n"), "GET / none @5\nend@29\n");
}

TEST(Http1Parser, LowerCaseGarbageIsRefusedAtItsFirstByte) {  // T38
  Transcript t(MessageKind::kRequest);
  EXPECT_EQ(t.Feed("g").state, ParseState::kBad);
  Transcript colon(MessageKind::kRequest);
  EXPECT_EQ(colon.Feed("EHLO:").state, ParseState::kBad);
}

TEST(Http1Parser, Http2PrefaceIsNamed) {
  Transcript t(MessageKind::kRequest);
  EXPECT_EQ(t.FeedInPieces("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 5).state, ParseState::kBad);
  EXPECT_EQ(t.parser.trouble(), Trouble::kHttp2);
}

// F36: a lenient server reads one request with a body, a strict one refuses it: nobody reads two.
TEST(Http1Parser, BlankBeforeTheColonOfALengthLosesTheFraming) {
  for (const std::string field : {"Content-Length : 28", "Transfer-Encoding\t: chunked"}) {
    for (const size_t piece : {size_t{1'000}, size_t{3}}) {
      Transcript t(MessageKind::kRequest);
      t.FeedInPieces("POST /a HTTP/1.1\r\n" + field + "\r\n\r\n" + std::string(kGet), piece);
      EXPECT_EQ(t.text, "POST /a unknown @0\n") << field;
      EXPECT_EQ(t.parser.trouble(), Trouble::kBadLength);
    }
  }
  EXPECT_EQ(Requests("GET /a HTTP/1.1\r\nX-Other : 1\r\n\r\n"), "GET /a none @0\nend@32\n");
}

TEST(Http1Parser, TargetLongerThanTheCaptureIsCut) {  // T39
  Transcript t(MessageKind::kRequest);
  t.Feed("GET /abc").Gap(9000);
  EXPECT_EQ(t.text, "GET /abc unknown truncated @0\n");
  EXPECT_EQ(t.parser.offset(), 9008u);
  Transcript in_version(MessageKind::kRequest);
  EXPECT_EQ(in_version.Feed("GET /abc HTT").Gap(9).text, "GET /abc unknown truncated @0\n");
  for (const char* no_target : {"GE", "GET", "GET "}) {
    Transcript t2(MessageKind::kRequest);
    EXPECT_EQ(t2.Feed(no_target).Gap(9).text, "") << no_target;
  }
}

TEST(Http1Parser, HeadCutByTheCaptureLimitIsStillAMessage) {  // T40
  Transcript t(MessageKind::kResponse);
  t.Feed("HTTP/1.1 503 No\r\nContent-Length: 5\r\nSet-Coo").Gap(9000);
  EXPECT_EQ(t.text, "503 unknown truncated @0\n");
  EXPECT_EQ(t.state, ParseState::kBad);
}

TEST(Http1Parser, LostBytesInAHeadDropIt) {  // T42
  Transcript t(MessageKind::kRequest);
  t.Feed("GET / HTTP/1.1\r\nHos").Gap(10, GapCause::kLost);
  EXPECT_EQ(t.text, "");
  EXPECT_EQ(t.state, ParseState::kBad);
}

TEST(Http1Parser, GapInABodyOfKnownLengthIsSkippedExactly) {  // T41, T42, T43
  Transcript t(MessageKind::kRequest);
  t.Feed("POST / HTTP/1.1\r\nContent-Length: 5000000000\r\n\r\nabc");
  EXPECT_EQ(t.parser.known_end(), 47u + 5'000'000'000u);
  t.Gap(4'999'999'000).Feed(std::string(997, 'z')).Feed(kGet);
  EXPECT_EQ(t.text, "POST / length @0\nend@5000000047\nGET /a none @5000000047\nend@5000000075\n");
}

TEST(Http1Parser, GapBehindTheEndOfAMessageLosesTheFraming) {
  Transcript t(MessageKind::kRequest);
  t.Feed("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n").Gap(11);
  EXPECT_EQ(t.text, "POST / length @0\nend@49\n");
  EXPECT_EQ(t.state, ParseState::kBad);
  EXPECT_EQ(t.parser.offset(), 50u);
}

TEST(Http1Parser, GapInsideAChunkIsSkippedExactly) {  // T35, T40
  Transcript t(MessageKind::kResponse);
  t.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nabc").Gap(0x4000 - 3 + 1);
  EXPECT_EQ(t.state, ParseState::kNeedMore);
  t.Feed("\n0\r\n\r\n");
  EXPECT_EQ(t.text, "200 chunked @0\nend@" + std::to_string(47 + 6 + 0x4000 + 2 + 5) + "\n");
}

TEST(Http1Parser, CutTailWithTheLastChunkIsRecognisedByItsSize) {
  Transcript cut(MessageKind::kResponse);
  cut.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nabc").Gap(0x4000 - 3 + 7);
  EXPECT_EQ(cut.state, ParseState::kDone);
  Transcript lost(MessageKind::kResponse);
  lost.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nabc")
      .Gap(0x4000 - 3 + 7, GapCause::kLost);
  EXPECT_EQ(lost.state, ParseState::kBad);
  Transcript more(MessageKind::kResponse);
  more.Feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\nabc").Gap(0x4000 - 3 + 8);
  EXPECT_EQ(more.state, ParseState::kBad);
}

TEST(Http1Parser, BodyUntouchedUntilItsFirstByte) {  // T30
  Transcript t(MessageKind::kRequest);
  t.Feed("POST / HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(t.parser.body_untouched());
  t.Feed("x");
  EXPECT_FALSE(t.parser.body_untouched());
}

}  // namespace
}  // namespace weft::protocols::http1
