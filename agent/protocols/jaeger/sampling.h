// Remote sampling: what a Jaeger client is told about how many of its traces to keep. Strategies
// come from a file in Jaeger's format or from a collector's protobuf, and leave as JSON in the
// spelling that clients parse, or as protobuf. Field numbers: jaeger-idl,
// proto/api_v2/sampling.proto.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace weft::protocols::jaeger {

// A SamplingStrategyResponse.
struct SamplingStrategy {
  enum class Type : uint8_t { kProbabilistic = 0, kRateLimiting = 1 };
  struct Operation {
    std::string name;
    double rate = 0;
  };

  Type type = Type::kProbabilistic;
  double rate = 0.001;            // kProbabilistic: 0 to 1
  int32_t traces_per_second = 0;  // kRateLimiting
  // Per operation; clients look at these first.
  bool has_operations = false;
  double default_rate = 0, lower_bound = 0, upper_bound = 0;
  std::vector<Operation> operations = {};
};

// A strategies file: service_strategies[] {service, type, param, operation_strategies[]} and
// default_strategy. A service without a strategy gets the default one, and without that one in a
// thousand. Operations of the default strategy also hold for services that do not name them.
class SamplingStrategies {
 public:
  // False and `error` for what is not such a file; `out` is then unchanged. An unknown type counts
  // as the default strategy, rate limiting of an operation is left out: both as Jaeger has it.
  [[nodiscard]] static bool Parse(std::string_view json, SamplingStrategies* out,
                                  std::string* error);
  const SamplingStrategy& For(std::string_view service) const;

 private:
  SamplingStrategy default_;
  std::map<std::string, SamplingStrategy, std::less<>> services_;
};

// `numeric_type`: the older form, where strategyType is a number.
std::string SamplingJson(const SamplingStrategy& strategy, bool numeric_type);
void AppendSamplingProto(const SamplingStrategy& strategy, base::ByteBuffer* out);
// False for bytes that are no SamplingStrategyResponse.
[[nodiscard]] bool ReadSamplingProto(base::ByteView bytes, SamplingStrategy* out);

// SamplingStrategyParameters: the name of the service that asks.
void AppendSamplingParameters(std::string_view service, base::ByteBuffer* out);
[[nodiscard]] bool ReadSamplingParameters(base::ByteView bytes, std::string* service);

}  // namespace weft::protocols::jaeger
