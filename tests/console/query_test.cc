#include "console/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "console/fake_traces.h"
#include "console/page.h"

namespace weft::console {
namespace {

namespace otlp = protocols::otlp;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t kStart = 1'700'000'000'123'456'789;

class Query : public testing::Test {
 protected:
  Query()
      : deps_{.clock = clock_, .ledger = ledger_, .metrics = metrics_, .traces = &traces_},
        api_(deps_) {}
  net::Response Ask(const std::string& target) { return api_.Answer(Get(target)); }

  base::FakeClock clock_;
  base::Ledger ledger_;
  base::MetricRegistry metrics_;
  FakeTraces traces_;
  Deps deps_;
  QueryApi api_;
};

// A server span with everything, and its client child in another service.
base::ByteBuffer FullTrace() {
  RequestBuilder b;
  b.Service("shop").Scope("lib", "1.2");
  auto& w = b.Span(TestTrace(0xab), TestSpan(1), {}, "GET /cart", 2, kStart, kStart + 2'500'000);
  w.Fixed32(otlp::field::kFlags, 0x301);
  w.Text(otlp::field::kTraceState, "a=1");
  otlp::WriteAttribute(w, otlp::field::kAttribute, "http.route", "/cart");
  otlp::WriteAttribute(w, otlp::field::kAttribute, "http.response.status_code", 500);
  otlp::WriteAttribute(w, otlp::field::kAttribute, "big", int64_t{1'700'000'000'123'456'789});
  otlp::WriteAttribute(w, otlp::field::kAttribute, "ratio", 0.5);
  otlp::WriteAttribute(w, otlp::field::kAttribute, "cached", false);
  SpanStatus(w, 2, "boom");
  size_t event = w.Begin(otlp::field::kEvent);
  w.Fixed64(otlp::field::kEventTime, kStart + 1'000'000);
  w.Text(otlp::field::kEventName, "exception");
  otlp::WriteAttribute(w, otlp::field::kEventAttribute, "exception.type", "Oops");
  w.End(event);
  size_t link = w.Begin(otlp::field::kLink);
  w.Bytes(otlp::field::kLinkTraceId, TestTrace(0xcd).view());
  w.Bytes(otlp::field::kLinkSpanId, TestSpan(9).view());
  w.End(link);
  b.Service("db-proxy").Scope("", "");
  auto& child = b.Span(TestTrace(0xab), TestSpan(2), TestSpan(1), "POST", 3, kStart + 100'000,
                       kStart + 1'100'000);
  otlp::WriteAttribute(child, otlp::field::kAttribute, "weft.origin", "kernel");
  return b.Finish();
}

constexpr char kFullTraceJson[] =
    R"({"data":[{"traceID":"000000000000000000000000000000ab","spans":[)"
    R"({"traceID":"000000000000000000000000000000ab","spanID":"0000000000000001","flags":1,"operationName":"GET /cart",)"
    R"("references":[{"refType":"FOLLOWS_FROM","traceID":"000000000000000000000000000000cd","spanID":"0000000000000009"}],)"
    R"("startTime":1700000000123456,"duration":2500,"tags":[)"
    R"({"key":"otel.scope.name","type":"string","value":"lib"},{"key":"otel.scope.version","type":"string","value":"1.2"},)"
    R"({"key":"http.route","type":"string","value":"/cart"},{"key":"http.response.status_code","type":"int64","value":500},)"
    R"({"key":"big","type":"int64","value":"1700000000123456789"},{"key":"ratio","type":"float64","value":0.5},)"
    R"({"key":"cached","type":"bool","value":false},{"key":"span.kind","type":"string","value":"server"},)"
    R"({"key":"otel.status_code","type":"string","value":"ERROR"},{"key":"error","type":"bool","value":true},)"
    R"({"key":"otel.status_description","type":"string","value":"boom"},{"key":"w3c.tracestate","type":"string","value":"a=1"}],)"
    R"("logs":[{"timestamp":1700000000124456,"fields":[{"key":"event","type":"string","value":"exception"},)"
    R"({"key":"exception.type","type":"string","value":"Oops"}]}],"processID":"p1","warnings":null},)"
    R"({"traceID":"000000000000000000000000000000ab","spanID":"0000000000000002","flags":0,"operationName":"POST",)"
    R"("references":[{"refType":"CHILD_OF","traceID":"000000000000000000000000000000ab","spanID":"0000000000000001"}],)"
    R"("startTime":1700000000123556,"duration":1000,"tags":[{"key":"weft.origin","type":"string","value":"kernel"},)"
    R"({"key":"span.kind","type":"string","value":"client"}],"logs":[],"processID":"p2","warnings":null}],)"
    R"("processes":{"p1":{"serviceName":"shop","tags":[]},"p2":{"serviceName":"db-proxy","tags":[]}},"warnings":null}],)"
    R"("total":0,"limit":0,"offset":0,"errors":null})";

TEST_F(Query, TraceHasTheShapeThatJaegersUiReads) {
  traces_.Add(TestTrace(0xab), FullTrace());
  net::Response response = Ask("/api/traces/000000000000000000000000000000ab");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(response.body, kFullTraceJson);
}

TEST_F(Query, SearchHasTheSameShapeAndPassesTheFilterOn) {
  traces_.Add(TestTrace(0xab), FullTrace());
  EXPECT_EQ(Ask("/api/traces?service=shop&limit=3&lookback=1h").body, kFullTraceJson);
  EXPECT_EQ(traces_.last_filter.service, "shop");
  EXPECT_EQ(traces_.last_filter.limit, 3u);
  EXPECT_EQ(traces_.last_filter.start_max_ns, clock_.UnixNs());
}

TEST_F(Query, SearchByIdsReportsThoseThatAreMissing) {
  traces_.Add(TestTrace(0xab), FullTrace());
  net::Response response = Ask("/api/traces?traceID=ab&traceID=ef");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr(R"("spanID":"0000000000000001")"));
  EXPECT_THAT(
      response.body,
      HasSubstr(
          R"("errors":[{"code":404,"msg":"trace not found","traceID":"000000000000000000000000000000ef"}])"));
}

TEST_F(Query, AnswersAreBoundedAndSayWhenTheyWereCut) {
  for (uint8_t i = 1; i <= 3; ++i) {
    RequestBuilder b;
    b.Service("shop").Scope("", "");
    auto& w = b.Span(TestTrace(i), TestSpan(i), {}, "big", 2, kStart, kStart + 1000);
    otlp::WriteAttribute(w, otlp::field::kAttribute, "p",
                         std::string_view(std::string(5 << 20, 'x')));
    traces_.Add(TestTrace(i), b.Finish());
  }
  for (const char* target : {"/api/traces", "/api/traces?traceID=1&traceID=1&traceID=2"}) {
    net::Response response = Ask(target);
    EXPECT_LT(response.body.size(), 6u << 20) << target;
    EXPECT_EQ(HeaderOf(response, "X-Weft-Truncated"), "true") << target;
  }
  EXPECT_EQ(HeaderOf(Ask("/api/traces/1"), "X-Weft-Truncated"), "");
}

TEST_F(Query, ShortTraceIdsArePadded) {
  traces_.Add(TestTrace(0xab), FullTrace());
  EXPECT_EQ(Ask("/api/traces/ab").status, 200);
  EXPECT_EQ(Ask("/api/traces/00000000000000ab").status, 200);
}

TEST_F(Query, MissingTraceIs404AndABadIdIs400BothAsJson) {
  net::Response missing = Ask("/api/traces/ef");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(
      missing.body,
      R"({"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]})");
  EXPECT_EQ(Ask("/api/traces/nonsense").status, 400);
  EXPECT_EQ(Ask("/api/traces?start=x").status, 400);
  EXPECT_EQ(Ask("/api/nonsense").status, 404);
}

TEST_F(Query, ServicesAndOperations) {
  traces_.services = {"shop", "cart \"x\""};
  traces_.operations["a/b c"] = {{"GET", 3}, {"GET", 2}, {"POST", 2}};
  EXPECT_EQ(Ask("/api/services").body,
            R"({"data":["cart \"x\"","shop"],"total":2,"limit":0,"offset":0,"errors":null})");
  EXPECT_EQ(Ask("/api/services/a%2Fb%20c/operations").body,
            R"({"data":["GET","POST"],"total":2,"limit":0,"offset":0,"errors":null})");
  EXPECT_EQ(
      Ask("/api/operations?service=a%2Fb+c&spanKind=server").body,
      R"({"data":[{"name":"GET","spanKind":"server"},{"name":"POST","spanKind":"server"}],"total":2,"limit":0,)"
      R"("offset":0,"errors":null})");
  EXPECT_EQ(Ask("/api/operations").status, 400);
}

TEST_F(Query, DependenciesCountCalls) {
  traces_.dependencies = {{"shop", "cart", 12}, {"cart", "db", 3}};
  EXPECT_EQ(
      Ask("/api/dependencies?endTs=1700000000000&lookback=86400000").body,
      R"({"data":[{"parent":"shop","child":"cart","callCount":12},{"parent":"cart","child":"db","callCount":3}],)"
      R"("total":0,"limit":0,"offset":0,"errors":null})");
  EXPECT_THAT(Ask("/api/dependencies?service=shop").body, Not(HasSubstr("\"db\"")));
}

TEST_F(Query, HostileNamesAreDataAndNothingElse) {
  RequestBuilder b;
  b.Service("</script><script>alert(1)</script>").Scope("", "");
  b.Span(TestTrace(1), TestSpan(1), {}, "\"}],\"x\":[\x01\n", 2, kStart, kStart - 5);
  traces_.Add(TestTrace(1), b.Finish());
  net::Response response = Ask("/api/traces/1");
  EXPECT_THAT(response.body, HasSubstr(R"("operationName":"\"}],\"x\":[\u0001\n")"));
  EXPECT_THAT(response.body, HasSubstr(R"("duration":0)"));
  EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(response.content_type, "application/json");
}

TEST_F(Query, ATraceThatDoesNotDecodeIsLeftOut) {
  base::ByteBuffer garbage;
  garbage.Append(std::string_view("\x0a\xff\xff\xff\xff\x0f"));
  traces_.Add(TestTrace(1), std::move(garbage));
  EXPECT_EQ(Ask("/api/traces").body, R"({"data":[],"total":0,"limit":0,"offset":0,"errors":null})");
  EXPECT_EQ(Ask("/api/traces/1").status, 404);
}

TEST_F(Query, SummariesCountSpansErrorsServicesAndOrigins) {
  traces_.Add(TestTrace(0xab), FullTrace());
  EXPECT_EQ(
      Ask("/api/weft/traces").body,
      R"({"data":[{"traceID":"000000000000000000000000000000ab","rootService":"shop","rootName":"GET /cart",)"
      R"("startTime":1700000000123456,"duration":2500,"spans":2,"errors":1,)"
      R"("services":[{"name":"db-proxy","spans":1},{"name":"shop","spans":1}],)"
      R"("origins":{"kernel":1,"merged":0,"sdk":1}}],"total":1,"limit":0,"offset":0,"errors":null})");
}

TEST_F(Query, WithoutAStoreTheApiSaysWhatToSet) {
  deps_.traces = nullptr;
  net::Response response = Ask("/api/services");
  EXPECT_EQ(response.status, 501);
  EXPECT_THAT(response.body, HasSubstr("exporters.store"));
  EXPECT_EQ(Ask("/").status, 200);
}

TEST_F(Query, PageForbidsEverythingThatIsNotItsOwn) {
  for (const char* path :
       {"/", "/search", "/search?service=x", "/trace/abc", "/page.js", "/page.css"}) {
    net::Response response = Ask(path);
    EXPECT_EQ(response.status, 200) << path;
    const std::string policy = HeaderOf(response, "Content-Security-Policy");
    EXPECT_THAT(policy, HasSubstr("default-src 'self'")) << path;
    EXPECT_THAT(policy, Not(HasSubstr("unsafe-inline"))) << path;
    EXPECT_GT(response.body.size(), 100u) << path;
  }
  EXPECT_EQ(Ask("/page.js").content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(Ask("/nonsense").status, 404);
}

TEST_F(Query, PageHasNothingInlineAndNeverParsesDataAsHtml) {
  const std::string html(FindPageFile("/index.html")->content);
  for (const char* word :
       {" style=", "<style", " onclick=", "javascript:", "http://", "https://"}) {
    EXPECT_THAT(html, Not(HasSubstr(word))) << word;
  }
  for (const char* file :
       {"/page.js", "/dom.js", "/search.js", "/trace.js", "/details.js", "/model.js"}) {
    const PageFile* found = FindPageFile(file);
    ASSERT_NE(found, nullptr) << file;
    for (const char* word : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                             "eval(", "new Function"}) {
      EXPECT_THAT(std::string(found->content), Not(HasSubstr(word))) << file;
    }
  }
}

TEST_F(Query, OnlyGetAndHead) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    net::Request request = Get("/api/services");
    request.method = method;
    net::Response response = api_.Answer(request);
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(HeaderOf(response, "Allow"), "GET, HEAD");
  }
  net::Request head = Get("/api/services");
  head.method = "HEAD";
  EXPECT_EQ(api_.Answer(head).status, 200);
}

TEST_F(Query, LoopbackAnswersToLocalNamesOnly) {
  auto status = [&](const char* host) {
    net::Request request = Get("/api/services", {{"host", host}});
    request.local = model::Endpoint::V4({127, 0, 0, 1}, 16686);
    return api_.Answer(request).status;
  };
  EXPECT_EQ(status("127.0.0.1:16686"), 200);
  EXPECT_EQ(status("localhost:9000"), 200);
  EXPECT_EQ(status("[::1]:16686"), 200);
  EXPECT_EQ(status("evil.example:16686"), 403);
  EXPECT_EQ(status("127.0.0.1.evil.example"), 403);
  net::Request remote = Get("/api/services", {{"host", "node-7.example"}});
  remote.local = model::Endpoint::V4({10, 0, 0, 7}, 16686);
  EXPECT_EQ(api_.Answer(remote).status, 200);
}

}  // namespace
}  // namespace weft::console
