#include "sniff/http1.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "sniff/http2.h"
#include "sniff/tls.h"

namespace {

int Request(std::string_view text) {
  unsigned char bytes[SNIFF_BYTES] = {};
  std::memcpy(bytes, text.data(), std::min<size_t>(text.size(), SNIFF_BYTES));
  return sniff__http1_request(bytes, std::min<size_t>(text.size(), SNIFF_BYTES));
}
int Response(std::string_view text) {
  unsigned char bytes[SNIFF_BYTES] = {};
  std::memcpy(bytes, text.data(), std::min<size_t>(text.size(), SNIFF_BYTES));
  return sniff__http1_response(bytes, std::min<size_t>(text.size(), SNIFF_BYTES));
}

// T38, T39
TEST(SniffHttp1, KnowsRequestsOfEveryMethodAndTarget) {
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
                             "PROPFIND", "VERSION-CONTROL", "PURGE"}) {
    for (const char* target : {"/", "*", "http://h/"}) {
      EXPECT_EQ(Request(std::string(method) + " " + target + " HTTP/1.1\r\n"), SNIFF_YES)
          << method << target;
    }
  }
  EXPECT_EQ(Request("CONNECT example.com:443 HTTP/1.1\r\n"), SNIFF_YES);
  EXPECT_EQ(Request("\r\nGET / HTTP/1.1\r\n"), SNIFF_YES);
}

// T23: a start line that comes byte by byte is undecided until it is long enough, never refused.
TEST(SniffHttp1, EveryPrefixOfARequestAsksForMore) {
  for (std::string_view line : {"GET /index", "CONNECT e", "VERSION-CONTROL /", "\r\n\r\nPOST /"}) {
    for (size_t n = 0; n < line.size(); ++n) {
      int verdict = Request(line.substr(0, n));
      EXPECT_NE(verdict, SNIFF_NO) << line.substr(0, n);
    }
  }
  EXPECT_EQ(Request("GET "), SNIFF_MORE);
  EXPECT_EQ(Response("HTTP/1"), SNIFF_MORE);
}

TEST(SniffHttp1, RefusesOtherProtocols) {
  using namespace std::literals;
  for (std::string_view text :
       {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"sv, "\x16\x03\x01\x02\x00\x01"sv, "SSH-2.0-OpenSSH"sv,
        "*3\r\n$3\r\nSET\r\n"sv, "220 mail.example ESMTP"sv, "EHLO mail.example"sv, "get key\r\n"sv,
        "\0\0\0\x08\x04\xd2\x16\x2f"sv, "GE /"sv, "GET  /"sv, "AMQP\0\0\x09\x01"sv,
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ"sv, "\r\n\r\n\r\nGET /"sv, " GET / HTTP/1.1"sv}) {
    EXPECT_EQ(Request(text), SNIFF_NO) << text;
  }
  EXPECT_EQ(Response("HTTP/2 200"), SNIFF_NO);
  EXPECT_EQ(Response("GET / HTTP/1.1"), SNIFF_NO);
}

TEST(SniffHttp1, KnowsResponses) {
  EXPECT_EQ(Response("HTTP/1.1 200 OK\r\n"), SNIFF_YES);
  EXPECT_EQ(Response("HTTP/1.0 404 Not Found\r\n"), SNIFF_YES);
}

TEST(SniffHttp1, NeverReadsBehindItsArray) {
  unsigned char bytes[SNIFF_BYTES];
  std::memset(bytes, 'A', sizeof bytes);
  for (unsigned spaces = 0; spaces < SNIFF_BYTES; ++spaces) {
    bytes[spaces] = ' ';
    // The sanitizers' presets turn a read beyond the array into a failure; `have` may be larger.
    EXPECT_NE(sniff__http1_request(bytes, 1000), SNIFF_MORE);
    bytes[spaces] = 'A';
  }
}

// --- a whole request line, on a connection met in the middle ---

int RequestLine(std::string_view text) {
  unsigned char bytes[SNIFF_WINDOW] = {};
  const unsigned have = static_cast<unsigned>(std::min<size_t>(text.size(), SNIFF_WINDOW));
  std::memcpy(bytes, text.data(), have);
  if (sniff__http1_request(bytes, have) != SNIFF_YES) return SNIFF_NO;
  return sniff__http1_version_at(bytes, have, sniff__line_end(bytes, have));
}

TEST(SniffHttp1, KnowsAWholeRequestLine) {
  EXPECT_EQ(RequestLine("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), SNIFF_YES);
  EXPECT_EQ(RequestLine("GET / HTTP/1.0\n"), SNIFF_YES);
  EXPECT_EQ(RequestLine("PUT /" + std::string(900, 'x') + " HTTP/1.1\r\n"), SNIFF_YES);
  for (std::string_view text :
       {"GET / HTTP/1.1\r", "GET / HTTP/1.1", "GET / is what I said\r\n", "GET /\r\n",
        "GET / HTTP/2.0\r\n", "GET / XHTTP/1.1\r\n", "GET\r\n HTTP/1.1\r\n", "200 HTTP/1.1\r\n"}) {
    EXPECT_EQ(RequestLine(text), SNIFF_NO) << text;
  }
  EXPECT_EQ(RequestLine("GET /" + std::string(2000, 'x') + " HTTP/1.1\r\n"), SNIFF_NO);
}

// --- HTTP/2 ---

using namespace std::literals;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string Frame(unsigned length, unsigned type, unsigned flags, unsigned stream) {
  std::string f;
  for (unsigned shift : {16u, 8u, 0u}) f += static_cast<char>(length >> shift);
  f += static_cast<char>(type);
  f += static_cast<char>(flags);
  for (unsigned shift : {24u, 16u, 8u, 0u}) f += static_cast<char>(stream >> shift);
  return f;
}

int Preface(std::string_view text) {
  unsigned char bytes[SNIFF_BYTES] = {};
  const size_t have = std::min<size_t>(text.size(), SNIFF_BYTES);
  std::memcpy(bytes, text.data(), have);
  return sniff__http2_preface(bytes, static_cast<unsigned>(have));
}

int Tiles(std::string_view call) {
  unsigned char bytes[SNIFF_WINDOW] = {};
  const size_t have = std::min<size_t>(call.size(), SNIFF_WINDOW);
  std::memcpy(bytes, call.data(), have);
  return sniff__http2_tiles(bytes, static_cast<unsigned>(have), static_cast<unsigned>(call.size()));
}

TEST(SniffHttp2, APrefaceNeedsASettingsFrame) {
  const std::string whole = std::string(kPreface) + Frame(18, HTTP2_SETTINGS, 0, 0);
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_EQ(Preface(whole.substr(0, n)), SNIFF_MORE) << n;
  EXPECT_EQ(Preface(whole), SNIFF_YES);
  EXPECT_EQ(Preface(whole + "more"), SNIFF_YES);
  // yamux: version 0, a window update or ping, flags, stream and length of 4 bytes each.
  EXPECT_EQ(Preface(std::string(kPreface) + "\0\1\0\1\0\0\0\1\0\0\0\0"s), SNIFF_NO);
  EXPECT_EQ(Preface(std::string(kPreface) + Frame(17, HTTP2_SETTINGS, 0, 0)), SNIFF_NO);
  EXPECT_EQ(Preface(std::string(kPreface) + Frame(18, HTTP2_SETTINGS, 1, 0)), SNIFF_NO);
  EXPECT_EQ(Preface(std::string(kPreface) + Frame(18, HTTP2_SETTINGS, 0, 1)), SNIFF_NO);
  EXPECT_EQ(Preface("PRI * HTTP/1.1\r\n"), SNIFF_NO);
}

TEST(SniffHttp2, FramesThatTileACallAreKnownInTheMiddle) {
  const std::string headers = Frame(30, HTTP2_HEADERS, 5, 7) + std::string(30, 'h');
  EXPECT_EQ(Tiles(headers), SNIFF_YES);
  EXPECT_EQ(Tiles(headers + Frame(50'000, HTTP2_DATA, 0, 7) + std::string(10, 'd')), SNIFF_YES);
  EXPECT_EQ(Tiles(Frame(0, HTTP2_SETTINGS, 1, 0)), SNIFF_YES);
  EXPECT_EQ(Tiles(Frame(100'000, HTTP2_DATA, 1, 3) + std::string(100'000, 'd')), SNIFF_YES);
  EXPECT_EQ(Tiles(headers.substr(0, 20)), SNIFF_NO);
  EXPECT_EQ(Tiles(headers + "hello, world"), SNIFF_NO);
  EXPECT_EQ(Tiles(Frame(8, HTTP2_PING, 0, 3) + std::string(8, 'p')), SNIFF_NO);
  EXPECT_EQ(Tiles(Frame(3, HTTP2_RST_STREAM, 0, 3) + std::string(3, 'r')), SNIFF_NO);
  EXPECT_EQ(Tiles(Frame(4, 17, 0, 3) + std::string(4, 'x')), SNIFF_NO);
  EXPECT_EQ(Tiles("GET / HTTP/1.1\r\n\r\n"), SNIFF_NO);
  EXPECT_EQ(Tiles(std::string(64, '\0')), SNIFF_NO);
}

TEST(SniffHttp2, RandomBytesDoNotTile) {
  std::mt19937 random(7);
  int tiled = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string call(9 + random() % 200, 0);
    for (char& c : call) c = static_cast<char>(random());
    tiled += Tiles(call) == SNIFF_YES;
  }
  EXPECT_EQ(tiled, 0);
}

// --- TLS ---

TEST(SniffTls, KnowsRecordHeaders) {
  auto tls = [](std::string_view text) {
    unsigned char bytes[SNIFF_BYTES] = {};
    std::memcpy(bytes, text.data(), text.size());
    return sniff__tls(bytes, static_cast<unsigned>(text.size()));
  };
  EXPECT_EQ(tls("\x16\x03\x01\x02\x00"sv), SNIFF_YES);
  EXPECT_EQ(tls("\x17\x03\x03\x40\x11"sv), SNIFF_YES);
  EXPECT_EQ(tls("\x16\x03"sv), SNIFF_MORE);
  for (std::string_view text : {"GET /"sv, "\x18\x03\x01\x02\x00"sv, "\x16\x02\x01\x02\x00"sv,
                                "\x16\x03\x05\x02\x00"sv, "\x16\x03\x03\xff\xff"sv}) {
    EXPECT_EQ(tls(text), SNIFF_NO);
  }
}

}  // namespace
