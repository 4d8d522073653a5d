#include "normalize/conventions/semantic_conventions.h"

#include <gtest/gtest.h>

#include "normalize/conventions/redaction.h"
#include "normalize/conversation.h"

namespace weft::normalize {
namespace {

// The finished span of one exchange.
model::Span Exchange(model::Role role, std::string_view request, std::string_view response,
                     Options options = {}) {
  Agent agent(options);
  Conversation(agent, role).Client(request).Server(response);
  EXPECT_EQ(agent.spans.finished.size(), 1u) << request;
  return agent.spans.finished.empty() ? model::Span{} : agent.spans.finished[0];
}

std::string All(const model::Span& span) {
  std::string out = span.name + "|" + span.target;
  for (size_t i = 0; i < span.attributes.size(); ++i) {
    out.append("|")
        .append(span.attributes.key(i))
        .append("=")
        .append(Text(span, span.attributes.key(i)));
  }
  return out;
}

TEST(SemanticConventions, ServerSpan) {
  model::Span span = Exchange(
      model::Role::kServer,
      "GET /cart/7?user=bob&wsdl HTTP/1.1\r\nHost: shop.test:9000\r\nUser-Agent: curl/8\r\n"
      "Authorization: Basic c2VjcmV0\r\nCookie: secret\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
      kOk);
  EXPECT_EQ(All(span),
            "GET|/cart/7|http.request.method=GET|url.path=/cart/"
            "7|url.scheme=http|url.query=user=REDACTED&wsdl"
            "|client.address=10.0.0.2|user_agent.original=curl/"
            "8|server.address=shop.test|server.port=9000"
            "|network.peer.address=10.0.0.2|network.peer.port=4711|network.protocol.version=1.1"
            "|http.response.status_code=200");
  EXPECT_FALSE(span.is_error);
}

TEST(SemanticConventions, ClientSpan) {
  model::Span span = Exchange(
      model::Role::kClient, "POST /pay?card=1 HTTP/1.0\r\nHost: pay.test\r\nUser-Agent: x\r\n\r\n",
      "HTTP/1.1 204 No\r\n\r\n");
  EXPECT_EQ(All(span),
            "POST|/pay|http.request.method=POST|url.full=http://pay.test:8080/"
            "pay?card=REDACTED|server.address=pay.test"
            "|server.port=8080|network.peer.address=10.0.0.1|network.peer.port=8080|network."
            "protocol.version=1.0"
            "|http.response.status_code=204");
}

TEST(SemanticConventions, StatusDependsOnTheSide) {
  auto Result = [](model::Role role, int status) {
    model::Span span = Exchange(
        role, kGetA, "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: 0\r\n\r\n");
    return std::string(span.is_error ? "error " : "ok ") + Text(span, "error.type");
  };
  EXPECT_EQ(Result(model::Role::kServer, 399), "ok (none)");
  EXPECT_EQ(Result(model::Role::kServer, 404), "ok (none)");
  EXPECT_EQ(Result(model::Role::kServer, 500), "error 500");
  EXPECT_EQ(Result(model::Role::kClient, 302), "ok (none)");
  EXPECT_EQ(Result(model::Role::kClient, 404), "error 404");
  EXPECT_EQ(Result(model::Role::kClient, 503), "error 503");
}

TEST(SemanticConventions, UnknownMethodIsOther) {  // T38
  model::Span span = Exchange(model::Role::kServer, "PROPFIND /a HTTP/1.1\r\n\r\n", kOk);
  EXPECT_EQ(span.name, "HTTP");
  EXPECT_EQ(span.method, "PROPFIND");
  EXPECT_EQ(Text(span, "http.request.method"), "_OTHER");
  EXPECT_EQ(Text(span, "http.request.method_original"), "PROPFIND");
}

TEST(SemanticConventions, UserAndPasswordAreNeverKept) {  // T39
  for (const char* target :
       {"http://bob:secret@h.test/a?x=1", "http://secret@h.test/a", "http://a@secret@h.test/a"}) {
    for (model::Role role : {model::Role::kServer, model::Role::kClient}) {
      model::Span span = Exchange(
          role, "GET " + std::string(target) + " HTTP/1.1\r\nHost: u:secret@other\r\n\r\n", kOk);
      EXPECT_EQ(All(span).find("secret"), std::string::npos) << All(span);
      EXPECT_EQ(span.target, "/a");
      EXPECT_EQ(Text(span, "server.address"), "h.test");
      if (role == model::Role::kClient) {
        EXPECT_TRUE(Text(span, "url.full").starts_with("http://REDACTED:REDACTED@h.test:8080/a"))
            << All(span);
      }
    }
  }
  model::Span connect =
      Exchange(model::Role::kClient, "CONNECT u:secret@h:443 HTTP/1.1\r\n\r\n", kOk);
  EXPECT_EQ(All(connect).find("secret"), std::string::npos) << All(connect);
}

TEST(SemanticConventions, TargetForms) {  // T39
  model::Span asterisk =
      Exchange(model::Role::kServer, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", kOk);
  EXPECT_EQ(Text(asterisk, "url.path"), "*");
  model::Span connect = Exchange(
      model::Role::kClient, "CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n", kMissing);
  EXPECT_EQ(connect.target, "h.test:443");
  EXPECT_EQ(Text(connect, "server.port"), "443");
  model::Span absolute =
      Exchange(model::Role::kServer, "GET http://a.test:81 HTTP/1.1\r\nHost: b.test\r\n\r\n", kOk);
  EXPECT_EQ(Text(absolute, "url.path"), "/");
  EXPECT_EQ(Text(absolute, "server.address") + Text(absolute, "server.port"), "a.test81");
  model::Span nested =
      Exchange(model::Role::kServer, "GET /go?to=http://x/ HTTP/1.1\r\nHost: h\r\n\r\n", kOk);
  EXPECT_EQ(nested.target, "/go");
}

TEST(SemanticConventions, HostForms) {
  EXPECT_EQ(SplitAuthority("[::1]:80").host, "::1");
  EXPECT_EQ(SplitAuthority("[::1]:80").port, 80);
  EXPECT_EQ(SplitAuthority("h:99999").port, 0);
  EXPECT_EQ(SplitAuthority("h:8x").port, 0);
  EXPECT_EQ(SplitAuthority("u:p@h:8").host, "h");
  EXPECT_EQ(SplitAuthority("").host, "");
  model::Span none = Exchange(model::Role::kClient, "GET / HTTP/1.0\r\n\r\n", kOk);
  EXPECT_EQ(Text(none, "url.full"), "http://10.0.0.1:8080/");
  model::Span v6 = Exchange(model::Role::kClient, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", kOk);
  EXPECT_EQ(Text(v6, "url.full"), "http://[::1]/");
}

TEST(SemanticConventions, ForwardedClientOnlyWhenTrusted) {
  const std::string_view request = "GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4, 10.9.9.9\r\n\r\n";
  EXPECT_EQ(Text(Exchange(model::Role::kServer, request, kOk), "client.address"), "10.0.0.2");
  Options trusting;
  trusting.trust_forwarded = true;
  EXPECT_EQ(Text(Exchange(model::Role::kServer, request, kOk, trusting), "client.address"),
            "1.2.3.4");
}

TEST(SemanticConventions, AllowedQueryValuesStayUnlessTheySign) {
  Options options;
  options.query_values_allowed = {"page", "sig"};
  model::Span span =
      Exchange(model::Role::kServer, "GET /?page=2&sig=abc&q=x HTTP/1.1\r\n\r\n", kOk, options);
  EXPECT_EQ(Text(span, "url.query"), "page=2&sig=REDACTED&q=REDACTED");
}

TEST(SemanticConventions, TextIsAlwaysValidUtf8) {  // T37
  model::Span span =
      Exchange(model::Role::kServer,
               "GET /\xff\xc3\xa9 HTTP/1.1\r\nHost: h\r\nUser-Agent: a\x01\xe2\x82\r\n\r\n", kOk);
  EXPECT_EQ(Text(span, "url.path"), "/?\xc3\xa9");
  EXPECT_EQ(Text(span, "user_agent.original"), "a???");
}

TEST(Redaction, QueryForms) {
  auto Redact = [](std::string_view query) {
    std::string out;
    RedactQuery(query, {}, &out);
    return out;
  };
  EXPECT_EQ(Redact("a=1&b=2&a=3"), "a=REDACTED&b=REDACTED&a=REDACTED");
  EXPECT_EQ(Redact("a="), "a=REDACTED");
  EXPECT_EQ(Redact("a=b=c"), "a=REDACTED");
  EXPECT_EQ(Redact("wsdl"), "wsdl");
  EXPECT_EQ(Redact("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"), "REDACTED");
  EXPECT_EQ(Redact("&&"), "");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "key=value&";
  EXPECT_LE(Redact(many).size(), kMaxQueryBytes);
}

TEST(Redaction, CleanTextCutsAtACharacter) {
  std::string scratch;
  EXPECT_EQ(CleanText("abc\xc3\xa9", 4, &scratch), "abc");
  EXPECT_EQ(CleanText("abc\xc3\xa9", 5, &scratch), "abc\xc3\xa9");
  EXPECT_EQ(CleanText("a\xed\xa0\x80z", 10, &scratch), "a???z");
  EXPECT_EQ(CleanText("\xf4\x90\x80\x80\xc0\x80", 10, &scratch), "??????");
}

}  // namespace
}  // namespace weft::normalize
