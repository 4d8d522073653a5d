#include "console/admin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <sstream>

#include "console/fake_traces.h"
#include "protocols/otlp/index.h"

namespace weft::console {
namespace {

using testing::HasSubstr;

class Admin : public testing::Test {
 protected:
  Admin()
      : deps_{.clock = clock_,
              .ledger = ledger_,
              .metrics = metrics_,
              .version = "1",
              .status = [] { return std::string(R"({"version":"1"})"); },
              .ready = [this] { return ready_; },
              .healthy = [this] { return healthy_; }},
        tail_(clock_, metrics_),
        api_(deps_, tail_) {}
  net::Response Ask(const std::string& target, net::HeaderList headers = {}) {
    return api_.Answer(Get(target, std::move(headers)));
  }

  base::FakeClock clock_;
  base::Ledger ledger_;
  base::MetricRegistry metrics_;
  Readiness ready_{true, ""};
  bool healthy_ = true;
  Deps deps_;
  TailBuffer tail_;
  AdminApi api_;
};

TEST_F(Admin, RootIsTheHealthOfTheJaegerAgent) {
  clock_.Advance(3'723'500'000'000);
  net::Response response = Ask("/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(
      response.body,
      R"({"status":"Server available","upSince":"2023-11-14T22:13:21.000000000Z","uptime":"1h2m3.5s"})");
  ready_ = {false, "starting"};
  response = Ask("/");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body,
            R"({"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""})");
}

TEST_F(Admin, HealthAndReadiness) {
  EXPECT_EQ(Ask("/healthz").status, 200);
  EXPECT_EQ(Ask("/readyz").status, 200);
  ready_ = {false, "the collector refuses"};
  healthy_ = false;
  EXPECT_EQ(Ask("/healthz").status, 503);
  net::Response response = Ask("/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "not ready: the collector refuses\n");
}

TEST_F(Admin, StatusIsWhatTheProgramSays) {
  EXPECT_EQ(Ask("/debug/status").body, R"({"version":"1"})");
  EXPECT_EQ(Ask("/debug/status").content_type, "application/json");
}

TEST_F(Admin, LedgerIsTextUnlessJsonIsAskedFor) {
  base::LedgerRow& row = ledger_.Row("receive", "spans");
  row.In(5);
  row.Out(3);
  row.Lose(base::Loss::kShed, "no_room", 2);
  EXPECT_THAT(Ask("/debug/ledger").body, HasSubstr("receive"));
  EXPECT_THAT(Ask("/debug/ledger").content_type, HasSubstr("text/plain"));
  for (const net::Response& response :
       {Ask("/debug/ledger?format=json"), Ask("/debug/ledger", {{"accept", "application/json"}})}) {
    EXPECT_EQ(response.content_type, "application/json");
    EXPECT_TRUE(std::regex_search(response.body, std::regex(R"("balanced":\s*true)")))
        << response.body;
  }
  row.In(1);
  EXPECT_TRUE(std::regex_search(Ask("/debug/ledger?format=json").body,
                                std::regex(R"("balanced":\s*false)")));
}

TEST_F(Admin, MetricsHoldTheRegistryTheLedgerAndTheProcess) {
  metrics_
      .Get(base::MetricKind::kCounter, "weft_x_spans_total", "Spans.", {{"reason", "a\"b\\c\nd"}})
      .Add(7);
  metrics_.Get(base::MetricKind::kGauge, "weft_x_size_bytes", "Size.").Set(-3);
  base::LedgerRow& row = ledger_.Row("merge", "spans");
  row.In(4);
  row.Held(4);
  row.Lose(base::Loss::kEvicted, "window", 0);
  net::Response response = Ask("/metrics");
  EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(
      response.body,
      HasSubstr(
          "# TYPE weft_x_spans_total counter\nweft_x_spans_total{reason=\"a\\\"b\\\\c\\nd\"} 7\n"));
  EXPECT_THAT(response.body, HasSubstr("weft_x_size_bytes -3\n"));
  EXPECT_THAT(response.body, HasSubstr("weft_ledger_in_total{stage=\"merge\",unit=\"spans\"} 4\n"));
  EXPECT_THAT(response.body, HasSubstr("weft_ledger_held{stage=\"merge\",unit=\"spans\"} 4\n"));
  EXPECT_THAT(response.body, HasSubstr("weft_ledger_balanced 1\n"));
  EXPECT_TRUE(
      std::regex_search(response.body, std::regex("\nprocess_cpu_seconds_total [0-9.e-]+\n")));
  EXPECT_TRUE(std::regex_search(response.body,
                                std::regex("\nprocess_resident_memory_bytes [1-9][0-9.e+]+\n")));
  EXPECT_THAT(response.body, HasSubstr("otelcol_process_uptime "));
}

// The exposition format: every line is a comment or `name{labels} value`, and all samples of a name
// stand together.
TEST_F(Admin, MetricsTextIsValid) {
  metrics_
      .Get(base::MetricKind::kCounter, "weft_b_total", "Help with \\ and\nnewline.", {{"k", "1"}})
      .Add(1);
  metrics_.Get(base::MetricKind::kCounter, "weft_a_total", "A.").Add(1);
  metrics_.Get(base::MetricKind::kCounter, "weft_b_total", "Help.", {{"k", "2"}}).Add(1);
  ledger_.Row("one", "spans");
  ledger_.Row("two", "bytes");
  const std::string label = R"re([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\[\\"n])*")re";
  const std::regex sample("([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{" + label + "(," + label +
                          ")*\\})? [0-9eE.+-]+");
  const std::regex comment("# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* .*");
  std::istringstream lines(Ask("/metrics").body);
  std::string line, current;
  std::map<std::string, int> blocks;
  while (std::getline(lines, line)) {
    std::smatch match;
    if (std::regex_match(line, comment)) continue;
    ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
    if (match[1] != current) ++blocks[current = match[1]];
  }
  EXPECT_GE(blocks.size(), 8u);
  for (const auto& [name, count] : blocks) EXPECT_EQ(count, 1) << name;
}

TEST_F(Admin, UnknownPagesAre404AndOtherMethods405) {
  EXPECT_EQ(Ask("/nonsense").status, 404);
  EXPECT_THAT(Ask("/nonsense").body, HasSubstr("/debug/ledger"));
  net::Request post = Get("/metrics");
  post.method = "POST";
  EXPECT_EQ(api_.Answer(post).status, 405);
}

model::OtlpBatch Batch(std::string_view name, size_t padding = 0) {
  RequestBuilder b;
  b.Service("shop").Scope("", "");
  auto& w = b.Span(TestTrace(1), TestSpan(2), TestSpan(3), name, 2, 1'700'000'000'000'000'000,
                   1'700'000'000'001'500'000);
  protocols::otlp::WriteAttribute(w, protocols::otlp::field::kAttribute, "weft.origin", "merged");
  if (padding != 0) {
    protocols::otlp::WriteAttribute(w, protocols::otlp::field::kAttribute, "p",
                                    std::string_view(std::string(padding, 'x')));
  }
  SpanStatus(w, 2, "");
  model::OtlpBatch batch;
  EXPECT_EQ(protocols::otlp::Index(base::Share(b.Finish()), &batch).status,
            protocols::otlp::IndexStatus::kDone);
  return batch;
}

TEST_F(Admin, TailKeepsNothingUntilSomebodyAsks) {
  EXPECT_EQ(tail_.Push(Batch("early")), model::PushResult::kTaken);
  net::Response response = Ask("/debug/tail");
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(HeaderOf(response, "X-Weft-Cursor"), "1");
}

TEST_F(Admin, TailGivesEverySpanOnceToWhoFollowsTheCursor) {
  std::string cursor = HeaderOf(Ask("/debug/tail"), "X-Weft-Cursor");
  EXPECT_EQ(tail_.Push(Batch("one")), model::PushResult::kTaken);
  EXPECT_EQ(tail_.Push(Batch("two")), model::PushResult::kTaken);
  net::Response response = Ask("/debug/tail?format=json&cursor=" + cursor);
  EXPECT_EQ(response.content_type, "application/x-ndjson");
  EXPECT_EQ(
      response.body,
      R"({"time_unix_nano":"1700000000000000000","service":"shop","kind":"server","name":"one","status":"error",)"
      R"("duration_ms":1.5,"origin":"merged","trace_id":"00000000000000000000000000000001",)"
      R"("span_id":"0000000000000002","parent_span_id":"0000000000000003"})"
      "\n"
      R"({"time_unix_nano":"1700000000000000000","service":"shop","kind":"server","name":"two","status":"error",)"
      R"("duration_ms":1.5,"origin":"merged","trace_id":"00000000000000000000000000000001",)"
      R"("span_id":"0000000000000002","parent_span_id":"0000000000000003"})"
      "\n");
  cursor = HeaderOf(response, "X-Weft-Cursor");
  EXPECT_EQ(Ask("/debug/tail?cursor=" + cursor).body, "");
  EXPECT_EQ(tail_.Push(Batch("three")), model::PushResult::kTaken);
  EXPECT_THAT(Ask("/debug/tail?cursor=" + cursor).body, HasSubstr("three"));
}

TEST_F(Admin, TailTextObeysNoTerminalControls) {
  Ask("/debug/tail");
  EXPECT_EQ(tail_.Push(Batch("a\x1b[2J\nb\xC2\x9b"
                             "c")),
            model::PushResult::kTaken);
  const std::string text = Ask("/debug/tail?cursor=1").body;
  EXPECT_THAT(text, HasSubstr("a?[2J?b?c"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST_F(Admin, TailForgetsWhenNobodyHasAskedForTenSeconds) {
  Ask("/debug/tail");
  EXPECT_EQ(tail_.Push(Batch("one")), model::PushResult::kTaken);
  clock_.Advance(TailBuffer::kInterestNs - 1);
  tail_.Expire();
  EXPECT_TRUE(tail_.wanted());
  clock_.Advance(1);
  tail_.Expire();
  EXPECT_FALSE(tail_.wanted());
  EXPECT_EQ(Ask("/debug/tail").body, "");
}

TEST_F(Admin, TailIsBoundedAndSaysWhatWasSkipped) {
  Ask("/debug/tail");
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(tail_.Push(Batch("big", 1 << 20)), model::PushResult::kTaken);
  TailBuffer::Page page = tail_.Read(1, UINT64_MAX);
  EXPECT_EQ(page.requests.size(), 3u);
  EXPECT_EQ(page.skipped, 7u);
  EXPECT_EQ(page.next_cursor, 11u);
  EXPECT_EQ(HeaderOf(Ask("/debug/tail?cursor=1"), "X-Weft-Skipped"), "7");
  EXPECT_EQ(tail_.Push(Batch("huge", TailBuffer::kMaxBytes)), model::PushResult::kTaken);
  EXPECT_EQ(tail_.Read(11, UINT64_MAX).requests.size(), 0u);
}

TEST_F(Admin, TailAnswersAreSplitAtTheirLimit) {
  Ask("/debug/tail");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tail_.Push(Batch("x", 1000)), model::PushResult::kTaken);
  TailBuffer::Page page = tail_.Read(1, 1500);
  EXPECT_EQ(page.requests.size(), 1u);
  EXPECT_EQ(page.next_cursor, 2u);
  EXPECT_EQ(page.skipped, 0u);
}

TEST_F(Admin, TailRefusesNonsense) {
  EXPECT_EQ(Ask("/debug/tail?cursor=x").status, 400);
  EXPECT_EQ(Ask("/debug/tail?cursor=-1").status, 400);
  EXPECT_EQ(Ask("/debug/tail?format=xml").status, 400);
}

TEST(GoDuration, PrintsAsGoDoes) {
  EXPECT_EQ(GoDuration(0), "0s");
  EXPECT_EQ(GoDuration(12), "12ns");
  EXPECT_EQ(GoDuration(1'500), "1.5µs");
  EXPECT_EQ(GoDuration(2'000'000), "2ms");
  EXPECT_EQ(GoDuration(1'234'567'890), "1.23456789s");
  EXPECT_EQ(GoDuration(60'000'000'000), "1m0s");
  EXPECT_EQ(GoDuration(3'600'000'000'000), "1h0m0s");
}

}  // namespace
}  // namespace weft::console
