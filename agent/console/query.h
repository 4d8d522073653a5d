// QueryApi: the answers of the query port, as a function from request to response: the part of
// Jaeger's query API that its UI and Grafana's Jaeger data source use, two calls of our own for the
// page (/api/weft/…), and the page itself.
#pragma once

#include "console/console.h"
#include "console/query_params.h"
#include "net/listener.h"

namespace weft::console {

// Threads: one (the console's). Owns: nothing; `deps` must outlive it.
class QueryApi {
 public:
  explicit QueryApi(const Deps& deps) : deps_(deps) {}
  net::Response Answer(const net::Request& request) const;

 private:
  net::Response Api(std::string_view path, const QueryParams& params) const;
  net::Response Services() const;
  net::Response OperationNames(std::string_view service) const;
  net::Response Operations(const QueryParams& params) const;
  net::Response Search(const QueryParams& params) const;
  net::Response ById(const std::vector<std::string_view>& ids, bool single) const;
  net::Response Summaries(const QueryParams& params) const;
  net::Response Dependencies(const QueryParams& params) const;

  const Deps& deps_;
};

}  // namespace weft::console
