#include "protocols/jaeger/sampling.h"

#include <gtest/gtest.h>

#include "oracle/api_v2.pb.h"

namespace weft::protocols::jaeger {
namespace {

constexpr char kFile[] = R"({
  "service_strategies": [
    {"service": "foo", "type": "probabilistic", "param": 0.8,
     "operation_strategies": [{"operation": "op1", "type": "probabilistic", "param": 0.2},
                              {"operation": "op2", "type": "ratelimiting", "param": 5}]},
    {"service": "bar", "type": "ratelimiting", "param": 5},
    {"service": "odd", "type": "never heard of"}
  ],
  "default_strategy": {"type": "probabilistic", "param": 0.5,
     "operation_strategies": [{"operation": "/health", "type": "probabilistic", "param": 0.0},
                              {"operation": "op1", "type": "probabilistic", "param": 0.9}]}
})";

SamplingStrategies Read(std::string_view json) {
  SamplingStrategies out;
  std::string error;
  EXPECT_TRUE(SamplingStrategies::Parse(json, &out, &error)) << error;
  return out;
}

TEST(Sampling, TheFileIsReadAsJaegerDoes) {
  const SamplingStrategies file = Read(kFile);
  EXPECT_EQ(SamplingJson(file.For("foo"), false),
            R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.8},)"
            R"("operationSampling":{"defaultSamplingProbability":0.8,)"
            R"("defaultLowerBoundTracesPerSecond":0,"perOperationStrategies":[)"
            R"({"operation":"op1","probabilisticSampling":{"samplingRate":0.2}},)"
            R"({"operation":"/health","probabilisticSampling":{"samplingRate":0}}],)"
            R"("defaultUpperBoundTracesPerSecond":0}})");
  EXPECT_EQ(SamplingJson(file.For("bar"), false),
            R"({"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":5}})");
  EXPECT_EQ(file.For("anybody").default_rate, 0.5);
  EXPECT_EQ(file.For("anybody").operations.size(), 2u);
}

TEST(Sampling, WithoutAStrategyItIsOneInAThousand) {
  EXPECT_EQ(SamplingJson(Read("{}").For("x"), false),
            R"({"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.001}})");
  EXPECT_EQ(Read(R"({"default_strategy": null, "service_strategies": null})").For("x").rate, 0.001);
}

TEST(Sampling, TheLegacyFormHasNumbersForTypes) {
  const SamplingStrategies file = Read(kFile);
  EXPECT_EQ(SamplingJson(file.For("bar"), true),
            R"({"strategyType":1,"rateLimitingSampling":{"maxTracesPerSecond":5}})");
}

TEST(Sampling, ABadFileChangesNothing) {
  SamplingStrategies out = Read(kFile);
  for (const char* bad : {"", "[", "[]", R"({"default_strategy": 5})",
                          R"({"service_strategies": 5})", R"({"service_strategies": [5]})",
                          R"({"service_strategies": [{"type": "probabilistic"}]})"}) {
    std::string error;
    EXPECT_FALSE(SamplingStrategies::Parse(bad, &out, &error)) << bad;
    EXPECT_FALSE(error.empty());
  }
  EXPECT_EQ(out.For("bar").traces_per_second, 5);
}

TEST(Sampling, ProtobufAgreesInBothDirections) {
  const SamplingStrategies file = Read(kFile);
  for (const char* service : {"foo", "bar", "odd", "anybody"}) {
    const SamplingStrategy& strategy = file.For(service);
    base::ByteBuffer bytes;
    AppendSamplingProto(strategy, &bytes);
    jaeger_oracle::SamplingStrategyResponse message;
    ASSERT_TRUE(message.ParseFromString(std::string(base::AsText(bytes.view()))));
    EXPECT_EQ(static_cast<int>(message.strategytype()), static_cast<int>(strategy.type));
    EXPECT_EQ(message.ratelimitingsampling().maxtracespersecond(), strategy.traces_per_second);
    EXPECT_EQ(message.has_operationsampling(), strategy.has_operations);
    EXPECT_EQ(static_cast<size_t>(message.operationsampling().peroperationstrategies_size()),
              strategy.operations.size());
    SamplingStrategy back;
    const std::string theirs = message.SerializeAsString();
    ASSERT_TRUE(ReadSamplingProto(base::AsBytes(theirs), &back));
    EXPECT_EQ(SamplingJson(back, false), SamplingJson(strategy, false));
  }
  base::ByteBuffer question;
  AppendSamplingParameters("shop", &question);
  jaeger_oracle::SamplingStrategyParameters parameters;
  ASSERT_TRUE(parameters.ParseFromString(std::string(base::AsText(question.view()))));
  EXPECT_EQ(parameters.servicename(), "shop");
  std::string service;
  EXPECT_TRUE(ReadSamplingParameters(question.view(), &service));
  EXPECT_EQ(service, "shop");
  EXPECT_FALSE(ReadSamplingParameters(base::AsBytes("\x0a\x7f"), &service));
}

}  // namespace
}  // namespace weft::protocols::jaeger
