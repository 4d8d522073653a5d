#include "protocols/jaeger/sampling.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "base/coding/json_text.h"
#include "protocols/otlp/wire.h"

namespace weft::protocols::jaeger {
namespace {

namespace dom = simdjson::dom;
using otlp::BytesTag;
using otlp::Field;
using otlp::ForEachField;
using otlp::VarintTag;

constexpr uint32_t DoubleTag(uint32_t field) {
  return otlp::TagOf(field, otlp::WireType::kFixed64);
}

std::string_view TextOf(dom::object object, std::string_view key) {
  std::string_view text;
  if (object[key].get(text)) return {};
  return text;
}
double NumberOf(dom::object object, std::string_view key) {
  double number = 0;
  return object[key].get(number) ? 0 : number;
}

void ReadOperations(dom::array list, SamplingStrategy* out) {
  out->has_operations = true;
  out->default_rate = out->type == SamplingStrategy::Type::kProbabilistic ? out->rate : 0.001;
  for (dom::element item : list) {
    dom::object operation;
    if (item.get(operation) || TextOf(operation, "type") != "probabilistic") continue;
    out->operations.push_back({std::string(TextOf(operation, "operation")),
                               std::clamp(NumberOf(operation, "param"), 0.0, 1.0)});
  }
}

SamplingStrategy ReadStrategy(dom::object object) {
  SamplingStrategy out;
  const std::string_view type = TextOf(object, "type");
  if (type == "probabilistic") {
    out.rate = std::clamp(NumberOf(object, "param"), 0.0, 1.0);
  } else if (type == "ratelimiting") {
    out.type = SamplingStrategy::Type::kRateLimiting;
    out.traces_per_second =
        static_cast<int32_t>(std::clamp(NumberOf(object, "param"), 0.0, 2147483647.0));
  }
  dom::array operations;
  if (!object["operation_strategies"].get(operations) && operations.size() > 0)
    ReadOperations(operations, &out);
  return out;
}

// The operations of the default strategy, for those that the service does not name.
void Inherit(const SamplingStrategy& base, SamplingStrategy* service) {
  if (!base.has_operations) return;
  if (!service->has_operations) {
    if (service->type != SamplingStrategy::Type::kProbabilistic) return;
    service->has_operations = true;
    service->default_rate = service->rate;
  }
  const size_t own = service->operations.size();
  for (const auto& operation : base.operations) {
    const auto end = service->operations.begin() + static_cast<std::ptrdiff_t>(own);
    const bool named = std::any_of(service->operations.begin(), end,
                                   [&](const auto& o) { return o.name == operation.name; });
    if (!named) service->operations.push_back(operation);
  }
}

void AppendNumber(double value, std::string* out) {
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out->append(text, end);
}

}  // namespace

bool SamplingStrategies::Parse(std::string_view json, SamplingStrategies* out, std::string* error) {
  dom::parser parser;
  dom::element document;
  dom::object root;
  if (const auto code = parser.parse(json.data(), json.size()).get(document))
    return *error = simdjson::error_message(code), false;
  if (document.get(root)) return *error = "not a JSON object", false;
  SamplingStrategies parsed;
  dom::object object;
  dom::element member;
  if (!root["default_strategy"].get(member) && !member.is_null()) {
    if (member.get(object)) return *error = "default_strategy: not an object", false;
    parsed.default_ = ReadStrategy(object);
  }
  if (!root["service_strategies"].get(member) && !member.is_null()) {
    dom::array list;
    if (member.get(list)) return *error = "service_strategies: not an array", false;
    for (dom::element item : list) {
      if (item.get(object)) return *error = "service_strategies: expected objects", false;
      const std::string_view service = TextOf(object, "service");
      if (service.empty()) return *error = "service_strategies: one without a service", false;
      SamplingStrategy strategy = ReadStrategy(object);
      Inherit(parsed.default_, &strategy);
      parsed.services_[std::string(service)] = std::move(strategy);
    }
  }
  *out = std::move(parsed);
  return true;
}

const SamplingStrategy& SamplingStrategies::For(std::string_view service) const {
  const auto found = services_.find(service);
  return found == services_.end() ? default_ : found->second;
}

std::string SamplingJson(const SamplingStrategy& strategy, bool numeric_type) {
  const bool limits = strategy.type == SamplingStrategy::Type::kRateLimiting;
  std::string out = "{\"strategyType\":";
  out += numeric_type ? (limits ? "1" : "0") : limits ? "\"RATE_LIMITING\"" : "\"PROBABILISTIC\"";
  if (limits) {
    out += ",\"rateLimitingSampling\":{\"maxTracesPerSecond\":" +
           std::to_string(strategy.traces_per_second) + "}";
  } else {
    out += ",\"probabilisticSampling\":{\"samplingRate\":";
    AppendNumber(strategy.rate, &out);
    out += "}";
  }
  if (strategy.has_operations) {
    out += ",\"operationSampling\":{\"defaultSamplingProbability\":";
    AppendNumber(strategy.default_rate, &out);
    out += ",\"defaultLowerBoundTracesPerSecond\":";
    AppendNumber(strategy.lower_bound, &out);
    out += ",\"perOperationStrategies\":[";
    for (const auto& operation : strategy.operations) {
      if (out.back() != '[') out += ',';
      out += "{\"operation\":";
      base::AppendJsonText(operation.name, &out);
      out += ",\"probabilisticSampling\":{\"samplingRate\":";
      AppendNumber(operation.rate, &out);
      out += "}}";
    }
    out += "],\"defaultUpperBoundTracesPerSecond\":";
    AppendNumber(strategy.upper_bound, &out);
    out += "}";
  }
  return out + "}";
}

void AppendSamplingProto(const SamplingStrategy& strategy, base::ByteBuffer* out) {
  otlp::Writer w(*out);
  const bool limits = strategy.type == SamplingStrategy::Type::kRateLimiting;
  if (limits) w.Uint(1, 1);
  const size_t branch = w.Begin(limits ? 3 : 2);
  if (limits) {
    w.Uint(1, static_cast<uint64_t>(strategy.traces_per_second));
  } else {
    w.Double(1, strategy.rate);
  }
  w.End(branch);
  if (!strategy.has_operations) return;
  const size_t operations = w.Begin(4);
  w.Double(1, strategy.default_rate);
  w.Double(2, strategy.lower_bound);
  for (const auto& operation : strategy.operations) {
    const size_t item = w.Begin(3);
    w.Text(1, operation.name);
    const size_t rate = w.Begin(2);
    w.Double(1, operation.rate);
    w.End(rate);
    w.End(item);
  }
  w.Double(4, strategy.upper_bound);
  w.End(operations);
}

bool ReadSamplingProto(base::ByteView bytes, SamplingStrategy* out) {
  *out = {};
  out->rate = 0;
  const auto rate_of = [](base::ByteView message, double* rate) {
    return ForEachField(message, [&](const Field& f) {
      if (f.tag == DoubleTag(1)) *rate = std::bit_cast<double>(f.number);
      return true;
    });
  };
  const auto operation = [&](const Field& f) {
    if (f.tag == DoubleTag(1)) out->default_rate = std::bit_cast<double>(f.number);
    if (f.tag == DoubleTag(2)) out->lower_bound = std::bit_cast<double>(f.number);
    if (f.tag == DoubleTag(4)) out->upper_bound = std::bit_cast<double>(f.number);
    if (f.tag != BytesTag(3)) return true;
    auto& item = out->operations.emplace_back();
    return ForEachField(f.view(), [&](const Field& g) {
      if (g.tag == BytesTag(1)) item.name = g.text();
      return g.tag != BytesTag(2) || rate_of(g.view(), &item.rate);
    });
  };
  return ForEachField(bytes, [&](const Field& f) {
    if (f.tag == VarintTag(1)) {
      out->type = f.number == 1 ? SamplingStrategy::Type::kRateLimiting
                                : SamplingStrategy::Type::kProbabilistic;
    }
    if (f.tag == BytesTag(2)) return rate_of(f.view(), &out->rate);
    if (f.tag == BytesTag(3)) {
      return ForEachField(f.view(), [&](const Field& g) {
        if (g.tag == VarintTag(1)) out->traces_per_second = static_cast<int32_t>(g.number);
        return true;
      });
    }
    if (f.tag != BytesTag(4)) return true;
    out->has_operations = true;
    return ForEachField(f.view(), operation);
  });
}

void AppendSamplingParameters(std::string_view service, base::ByteBuffer* out) {
  otlp::Writer(*out).Text(1, service);
}

bool ReadSamplingParameters(base::ByteView bytes, std::string* service) {
  return ForEachField(bytes, [&](const Field& f) {
    if (f.tag == BytesTag(1)) *service = f.text();
    return true;
  });
}

}  // namespace weft::protocols::jaeger
