#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compare/config.h"
#include "compare/result.h"

namespace weft::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kGood[] = R"(repeats: 2
variables: {weft: bin/weft, compression: none}
receivers:
  - name: a
    command: ["${weft}", "--out=${sink}", "--in=${port:grpc}"]
    env: {HOME: "${dir}"}
    ready: 127.0.0.1:${port:grpc}
    endpoints: {otlp_grpc: "127.0.0.1:${port:grpc}", zipkin: "127.0.0.1:${port:z}"}
  - name: b
    command: [cat]
    ready: 127.0.0.1:1
    endpoints: {otlp_grpc: "127.0.0.1:1"}
loads:
  - {name: fast, protocol: otlp_grpc, spans: 512, duration: 2.5, variables: {compression: gzip}}
  - {name: slow, protocol: otlp_grpc, rate: 100, requests: 10, receivers: [b], sink: {delay_ms: 5}}
  - {name: json, protocol: zipkin, shape: {spans_per_request: 7}}
)";

std::string Mistake(const std::string& text) {
  Comparison out;
  return ReadComparison("dir/f.yaml", text, {}, &out);
}

// The good file with one piece of text replaced.
std::string With(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(CompareConfig, AGoodFileIsReadWhole) {
  Comparison c;
  ASSERT_EQ(ReadComparison("dir/f.yaml", kGood, {{"weft", "/other"}}, &c), "");
  EXPECT_EQ(c.folder, "dir/");
  EXPECT_EQ(c.repeats, 2u);
  EXPECT_EQ(c.variables.at("weft"), "/other");
  ASSERT_EQ(c.receivers.size(), 2u);
  EXPECT_EQ(c.receivers[0].env.at("HOME"), "${dir}");
  ASSERT_EQ(c.loads.size(), 3u);
  EXPECT_THAT(c.loads[0].arguments, ElementsAre("--spans", "512", "--duration", "2.5"));
  EXPECT_EQ(c.loads[0].variables.at("compression"), "gzip");
  EXPECT_THAT(c.loads[1].arguments, ElementsAre("--rate", "100", "--requests", "10"));
  EXPECT_THAT(c.loads[1].sink_arguments, ElementsAre("--delay-ms", "5"));
  EXPECT_EQ(c.loads[2].shape, "{spans_per_request: 7}");
  EXPECT_TRUE(Takes(c.receivers[0], c.loads[0]));
  EXPECT_FALSE(Takes(c.receivers[0], c.loads[1]));  // not named there
  EXPECT_FALSE(Takes(c.receivers[1], c.loads[2]));  // does not speak it
}

TEST(CompareConfig, AMistakeIsNamedWithItsLineAndKey) {
  EXPECT_EQ(Mistake(With("repeats: 2", "repaets: 2")),
            "dir/f.yaml:1: file: unknown key repaets; there are repeats, drain_seconds, "
            "start_seconds, variables, receivers, loads");
  EXPECT_EQ(Mistake(With("repeats: 2", "repeats: some")),
            "dir/f.yaml:1: repeats: a number is expected");
  EXPECT_EQ(Mistake(With("repeats: 2", "repeats: 0")), "dir/f.yaml:1: repeats: 0 is out of range");
  EXPECT_EQ(Mistake(With("command: [cat]", "command: cat")),
            "dir/f.yaml:10: command: a list is expected");
  EXPECT_EQ(Mistake(With("command: [cat]", "comand: [cat]")),
            "dir/f.yaml:9: receivers: command is missing");
  EXPECT_THAT(Mistake(With("protocol: zipkin", "protocol: zipkn")),
              HasSubstr("dir/f.yaml:16: unknown protocol zipkn; there are otlp_grpc, "));
  EXPECT_THAT(Mistake(With("{otlp_grpc: \"127.0.0.1:1\"}", "{otpl: x}")),
              HasSubstr("dir/f.yaml:12: unknown protocol otpl"));
  EXPECT_EQ(Mistake(With("receivers: [b]", "receivers: [c]")),
            "dir/f.yaml:15: slow: there is no receiver c");
  EXPECT_EQ(Mistake(With("name: b", "name: a")), "dir/f.yaml:4: receivers: a stands twice");
  EXPECT_EQ(Mistake(With("spans: 512", "requests: 1")),
            "dir/f.yaml:14: fast: requests or duration, not both");
  EXPECT_THAT(Mistake(With("${weft}", "${wfet}")),
              HasSubstr("dir/f.yaml:5: unknown ${wfet}: set it under variables or with --var"));
  EXPECT_EQ(Mistake(With("[cat]", "[\"${sink\"]")), "dir/f.yaml:10: ${ without }");
  EXPECT_THAT(Mistake(With("delay_ms", "delay")), HasSubstr("dir/f.yaml:15: sink: unknown key"));
}

TEST(CompareConfig, WhatIsNoYamlOrNoMapIsAMistake) {
  EXPECT_THAT(Mistake("receivers: [\n"), HasSubstr("dir/f.yaml:"));
  EXPECT_EQ(Mistake(""), "dir/f.yaml:1: file: a map is expected");
  EXPECT_EQ(Mistake("[1, 2]"), "dir/f.yaml:1: file: a map is expected");
  EXPECT_EQ(Mistake("receivers: []\nloads: []\n"), "dir/f.yaml:1: receivers: empty");
}

TEST(CompareConfig, ExpandReplacesEveryNameAndLeavesOtherTextAlone) {
  auto value = [](std::string_view name) { return "<" + std::string(name) + ">"; };
  EXPECT_EQ(Expand("a ${x} b${port:y}${z}", value), "a <x> b<port:y><z>");
  EXPECT_EQ(Expand("$x {y} ${", value), "$x {y} ${");
  EXPECT_EQ(Expand("", value), "");
}

RunResult Result(size_t receiver, double figure, double lost = 0) {
  RunResult run;
  run.receiver = receiver;
  run.spans_sent = 1000, run.requests = 10, run.lost = lost;
  run.spans_per_cpu_second = figure;
  return run;
}

TEST(CompareTable, MediansSpreadRatioAndValidRunsOfEachReceiver) {
  Comparison c;
  ASSERT_EQ(ReadComparison("f.yaml", kGood, {}, &c), "");
  std::vector<RunResult> runs = {Result(0, 100), Result(1, 40),     Result(0, 300),
                                 Result(1, 60),  Result(0, 200, 5), Result(1, 50)};
  RunResult failed = Result(1, 0);
  failed.wrong = "it \"ended\"";
  runs.push_back(failed);
  const std::vector<Row> rows = Rows(c, runs);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].spans_per_cpu_second.median, 200);
  EXPECT_EQ(rows[0].spans_per_cpu_second.least, 100);
  EXPECT_EQ(rows[0].spans_per_cpu_second.most, 300);
  EXPECT_EQ(rows[0].requests_per_cpu_second.median, 2);
  EXPECT_EQ(rows[0].valid, 2u);  // one lost spans
  EXPECT_EQ(rows[0].lost, 5);
  EXPECT_EQ(rows[1].spans_per_cpu_second.median, 50);  // the failed run is no zero
  EXPECT_EQ(rows[1].runs, 4u);
  EXPECT_EQ(rows[1].valid, 3u);
  EXPECT_EQ(rows[1].ratio, 0.25);
  EXPECT_THAT(TableText(c, rows), HasSubstr("[100 – 300]"));
  EXPECT_THAT(TableText(c, rows), HasSubstr("fast, b: it \"ended\""));
  EXPECT_THAT(Json(c, rows, runs), HasSubstr("\"wrong\": \"it \\\"ended\\\"\""));
  EXPECT_THAT(PlotSvg(c, rows), HasSubstr("(2/3 valid)"));
}

}  // namespace
}  // namespace weft::bench
