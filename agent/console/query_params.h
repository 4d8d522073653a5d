// The parameters of a query string in the notation of Jaeger's query service: times in microseconds
// since the epoch, durations as "1.2ms", tags as {"k":"v"} or key:value. Pure functions over text
// from outside.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/lookup.h"

namespace weft::console {

// The decoded pairs of a query string, in order.
class QueryParams {
 public:
  explicit QueryParams(std::string_view query);
  // The first value of `key`; empty when absent.
  std::string_view Get(std::string_view key) const;
  std::vector<std::string_view> All(std::string_view key) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// "100us", "1.2ms", "2s", "1m30s", "1h" (ns, us, µs, μs, ms, s, m, h) → ns. Not negative; a bare
// "0" is allowed.
base::Result<uint64_t> ParseDuration(std::string_view text);
// A JSON object of strings: {"http.response.status_code":"500"}. Numbers and booleans are taken as
// their text.
base::Result<std::vector<std::pair<std::string, std::string>>> ParseTags(std::string_view json);
// 1 to 32 hex digits, zero-padded on the left, as Jaeger prints 64-bit ids.
base::Result<base::TraceId> ParseTraceId(std::string_view text);

// The filter of a trace search. `now_ns` is the end when the query has none; the start is then
// `lookback` (2 days) before the end. A missing service means any service, which Jaeger does not
// allow.
base::Result<model::TraceQuery::Filter> ParseTraceFilter(const QueryParams& params,
                                                         uint64_t now_ns);

}  // namespace weft::console
