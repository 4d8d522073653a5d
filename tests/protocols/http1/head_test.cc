#include "protocols/http1/head.h"

#include <gtest/gtest.h>

#include <string>

#include "protocols/http1/transcript.h"

namespace weft::protocols::http1 {
namespace {

Head RequestHead(std::string_view fields) {
  Head head;
  Framing framing;
  EXPECT_TRUE(ParseFields(fields, false, &head, &framing));
  return head;
}

Framing FramingOf(std::string_view fields) {
  Head head;
  Framing framing;
  EXPECT_TRUE(ParseFields(fields, false, &head, &framing));
  return framing;
}

TEST(Http1Head, FieldNamesHaveNoCase) {  // T37
  Head head = RequestHead("HOST: a\r\nuSER-aGENT:  curl/8 \r\nTraceParent: 00-x\r\n");
  EXPECT_EQ(head.host, "a");
  EXPECT_EQ(head.user_agent, "curl/8");
  EXPECT_EQ(head.traceparent, "00-x");
}

TEST(Http1Head, EmptyValueAndNonAsciiAreFields) {  // T37
  Head head = RequestHead(std::string_view("Host:\r\nX: \0\xff\r\nUser-Agent: \xc3\xa9\r\n", 30));
  EXPECT_EQ(head.host, "");
  EXPECT_EQ(head.host_count, 1);
  EXPECT_EQ(head.user_agent, "\xc3\xa9");
}

TEST(Http1Head, FoldedValueIsOneField) {  // T37
  Framing framing = FramingOf("Transfer-Encoding: gzip,\r\n\tchunked\r\nX: y\r\n");
  EXPECT_TRUE(framing.is_chunked);
  EXPECT_EQ(RequestHead("X: a\r\n Host: no\r\nHost: yes\r\n").host, "yes");
}

TEST(Http1Head, LineWithoutColonIsNoHead) {
  Head head;
  Framing framing;
  EXPECT_FALSE(ParseFields("Host: a\r\ngarbage\r\n", false, &head, &framing));
  EXPECT_FALSE(ParseFields(": a\r\n", false, &head, &framing));
}

TEST(Http1Head, ContentLengthForms) {  // T36, T43
  EXPECT_EQ(FramingOf("Content-Length: 0\r\n").length, 0u);
  EXPECT_EQ(FramingOf("Content-Length:   5\t\r\n").length, 5u);
  EXPECT_EQ(FramingOf("Content-Length: 5000000000\r\n").length, 5'000'000'000u);
  for (const char* equal :
       {"Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5, 5\r\n"}) {
    EXPECT_FALSE(FramingOf(equal).is_length_bad) << equal;
    EXPECT_EQ(FramingOf(equal).length, 5u) << equal;
  }
  for (const char* bad : {"+5", "-5", "5, 6", "5,", "", "0x5", "5 5", "99999999999999999999",
                          "9223372036854775808"}) {
    EXPECT_TRUE(FramingOf("Content-Length: " + std::string(bad) + "\r\n").is_length_bad) << bad;
  }
  EXPECT_TRUE(FramingOf("Content-Length: 5\r\nContent-Length: 6\r\n").is_length_bad);
}

TEST(Http1Head, TransferEncodingForms) {  // T36
  EXPECT_TRUE(FramingOf("Transfer-Encoding: CHUNKED\r\n").is_chunked);
  EXPECT_TRUE(FramingOf("Transfer-Encoding: gzip, chunked\r\n").is_chunked);
  EXPECT_TRUE(FramingOf("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n").is_chunked);
  EXPECT_FALSE(FramingOf("Transfer-Encoding: chunked, gzip\r\n").is_chunked);
  EXPECT_TRUE(FramingOf("Transfer-Encoding: gzip\r\n").has_encoding);
  EXPECT_FALSE(FramingOf("Transfer-Encoding: identity\r\n").has_encoding);
}

TEST(Http1Head, RepeatedTraceFieldsAreCounted) {  // T44
  Head head =
      RequestHead("traceparent: a\r\ntraceparent: b\r\ntracestate: x=1\r\ntracestate: y=2\r\n");
  EXPECT_EQ(head.traceparent_count, 2);
  EXPECT_EQ(head.tracestate_count, 2);
  EXPECT_EQ(head.tracestate[1], "y=2");
}

TEST(Http1Head, MethodsBeyondTheUsual) {  // T38
  for (const char* method :
       {"PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "VERSION-CONTROL", "X_1"}) {
    Head head;
    const std::string line = std::string(method) + " / HTTP/1.1";
    EXPECT_EQ(ParseRequestLine(line, &head), StartLine::kGood) << method;
    EXPECT_EQ(head.method, method);
  }
  for (const char* line :
       {"get / HTTP/1.1", "Get / HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/2.0", "GET /", "GET",
        "GET  HTTP/1.1", "GET / http/1.1", "GET /a b HTTP/1.1", "G(T / HTTP/1.1", "1GET / HTTP/1.1",
        "ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1", "GET / HTTP/1.1 ", "GET /\x01 HTTP/1.1"}) {
    Head head;
    EXPECT_EQ(ParseRequestLine(line, &head), StartLine::kBad) << line;
  }
}

TEST(Http1Head, TargetForms) {  // T39
  for (const char* target :
       {"/", "*", "http://u:p@h:8080/a?b=c", "example.com:443", "[::1]:443", "/\xc3\xa9"}) {
    Head head;
    const std::string line = "OPTIONS " + std::string(target) + " HTTP/1.0\r";
    EXPECT_EQ(ParseRequestLine(line, &head), StartLine::kGood) << target;
    EXPECT_EQ(head.target, target);
    EXPECT_EQ(head.minor_version, 0);
  }
}

TEST(Http1Head, StatusLines) {
  for (const char* line :
       {"HTTP/1.1 200 OK\r", "HTTP/1.0 404", "HTTP/1.1 599 ", "HTTP/1.1 999 Odd reason: x"}) {
    Head head;
    EXPECT_EQ(ParseStatusLine(line, &head), StartLine::kGood) << line;
    EXPECT_GE(head.status, 200);
  }
  for (const char* line : {"HTTP/1.1 20 OK", "HTTP/1.1 2000", "HTTP/1.1  200", "HTTP/2 200",
                           "HTTP/1.1 099 x", "ICY 200 OK", "HTTP/1.1\t200 OK", ""}) {
    Head head;
    EXPECT_EQ(ParseStatusLine(line, &head), StartLine::kBad) << line;
  }
}

TEST(Http1Head, BoundaryNeedsAStartLine) {  // T24
  EXPECT_TRUE(IsPlausibleBoundary(MessageKind::kRequest, "GET /a HTTP/1.1\r\n"));
  EXPECT_TRUE(IsPlausibleBoundary(MessageKind::kRequest, "GET /a-very-long"));
  EXPECT_TRUE(IsPlausibleBoundary(MessageKind::kRequest, "PO"));
  EXPECT_FALSE(IsPlausibleBoundary(MessageKind::kRequest, ""));
  EXPECT_FALSE(IsPlausibleBoundary(MessageKind::kRequest, "xGET /a HTTP/1.1\r\n"));
  EXPECT_FALSE(IsPlausibleBoundary(MessageKind::kRequest, "GET the milk\r\n"));
  EXPECT_FALSE(IsPlausibleBoundary(MessageKind::kRequest, "HELLO /a"));
  EXPECT_TRUE(IsPlausibleBoundary(MessageKind::kRequest, "HELLO /a HTTP/1.1\n"));
  EXPECT_TRUE(IsPlausibleBoundary(MessageKind::kResponse, "HTTP/1.1 200 OK\r\n"));
  EXPECT_FALSE(IsPlausibleBoundary(MessageKind::kResponse, "HTTP/1.1 OK\r\n"));
}

}  // namespace
}  // namespace weft::protocols::http1
