#include "sniff/http1.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

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

}  // namespace
