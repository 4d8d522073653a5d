#include "normalize/conventions/trace_context.h"

#include <gtest/gtest.h>

#include "normalize/conversation.h"

namespace weft::normalize {
namespace {

constexpr std::string_view kGood = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

std::optional<model::WireContext> ContextOf(std::string_view fields) {
  Agent agent;
  Conversation(agent).Client("GET / HTTP/1.1\r\n" + std::string(fields) + "\r\n").Server(kOk);
  EXPECT_EQ(agent.spans.opened.size(), 1u);
  EXPECT_EQ(agent.spans.opened.at(0).context.has_value(),
            agent.spans.finished.at(0).context.has_value());
  return agent.spans.opened.at(0).context;
}

TEST(TraceContext, ValidHeaderIsOnBothReports) {
  auto context = ContextOf("TraceParent:  " + std::string(kGood) + " \r\n");
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id.Hex(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(context->span_id.Hex(), "b7ad6b7169203331");
  EXPECT_EQ(context->flags, 1);
}

TEST(TraceContext, LaterVersionsMayCarryMore) {
  model::WireContext context;
  std::string later(kGood);
  later[1] = '1';
  EXPECT_TRUE(ParseTraceParent(later, &context));
  EXPECT_TRUE(ParseTraceParent(later + "-extra", &context));
  EXPECT_FALSE(ParseTraceParent(later + "extra", &context));
  EXPECT_FALSE(ParseTraceParent(std::string(kGood) + "-extra", &context));
}

TEST(TraceContext, AnyBrokenRuleIsNoContext) {
  for (std::string_view bad : {"", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                               "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                               "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                               "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
                               "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                               "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
                               "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
    model::WireContext context;
    EXPECT_FALSE(ParseTraceParent(bad, &context)) << bad;
    EXPECT_TRUE(context.trace_id.IsZero());
  }
}

TEST(TraceContext, TwoTraceParentsAreNone) {  // T44
  const std::string line = "traceparent: " + std::string(kGood) + "\r\n";
  EXPECT_FALSE(ContextOf(line + line).has_value());
  EXPECT_FALSE(ContextOf(line + "traceparent: junk\r\n" + line).has_value());
}

TEST(TraceContext, TraceStatesAreJoinedAndBounded) {  // T44
  const std::string parent = "traceparent: " + std::string(kGood) + "\r\n";
  EXPECT_EQ(ContextOf(parent + "tracestate: a=1 , b=2\r\ntracestate: c=3\r\n")->trace_state,
            "a=1,b=2,c=3");
  const std::string big(300, 'x');
  EXPECT_EQ(ContextOf(parent + "tracestate: a=1,b=" + big + ",c=" + big + "\r\n")->trace_state,
            "a=1,b=" + big);
}

TEST(TelemetryExport, ExportsMakeNoSpans) {
  struct Case {
    const char *path, *type;
    bool is_export;
  };
  const Case kCases[] = {
      {"/v1/traces", "application/x-protobuf", true},
      {"/v1/metrics", "application/json; charset=utf-8", true},
      {"/v1/logs", "Application/X-Protobuf", true},
      {"/otlp/v1/traces", "application/x-protobuf", true},
      {"/api/v1/logs", "application/json", false},
      {"/v1/traces", "text/plain", false},
      {"/api/traces?format=jaeger.thrift", "application/x-thrift", true},
      {"/api/traces", "application/vnd.apache.thrift.binary", true},
      {"/api/traces", "application/json", false},
      {"/api/v2/spans", "application/json", true},
      {"/api/v2/spans", "application/x-protobuf", true},
      {"/api/v1/spans", "application/x-thrift", true},
      {"/api/v3/spans", "application/json", false},
      {"/orders", "application/x-protobuf", false},
  };
  for (const Case& c : kCases) {
    Agent agent;
    Conversation talk(agent, model::Role::kClient);
    talk.Client("POST " + std::string(c.path) + " HTTP/1.1\r\nContent-Type: " + c.type +
                "\r\nContent-Length: 2\r\n\r\nxx");
    talk.Server(kOk).Client(kGetA).Server(kMissing);
    EXPECT_EQ(agent.spans.opened.size(), c.is_export ? 1u : 2u) << c.path << " " << c.type;
    EXPECT_EQ(agent.spans.finished.back().target, "/a");
    EXPECT_EQ(agent.spans.finished.back().status_code, 404);
    EXPECT_EQ(agent.Metric("weft_normalize_telemetry_exports_total"), c.is_export ? 1 : 0);
  }
}

TEST(TelemetryExport, JaegersQueryApiIsUserTraffic) {
  Agent agent;
  Conversation(agent)
      .Client("GET /api/traces?service=x HTTP/1.1\r\nAccept: application/json\r\n\r\n")
      .Server(kOk);
  EXPECT_EQ(agent.Finished(), "GET /api/traces 200");
}

}  // namespace
}  // namespace weft::normalize
