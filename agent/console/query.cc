#include "console/query.h"

#include <algorithm>
#include <set>

#include "base/coding/percent.h"
#include "console/answers.h"
#include "console/jaeger_json.h"
#include "console/json.h"
#include "console/page.h"

namespace weft::console {
namespace {

// Of encoded traces in one answer, which is some four times as long; the rest is left out, and a
// header says so.
constexpr uint64_t kMaxAnswerBytes = 8 << 20;

// {"data":[ … ],"total":N,"limit":0,"offset":0,"errors":null}
class Envelope {
 public:
  Envelope() : json_(&body_) { json_.Open('{').Key("data").Open('['); }
  JsonWriter& json() { return json_; }
  void Error(int code, std::string_view message, std::string_view trace_id) {
    JsonWriter json(&errors_);
    if (!errors_.empty()) errors_.push_back(',');
    json.Open('{').Key("code").Int(code).Key("msg").String(message);
    json.Key("traceID").String(trace_id).Close('}');
  }
  // Whether a trace of so many encoded bytes may still be added. The first one always may.
  bool HasRoom(uint64_t bytes) {
    is_cut_ = bytes_ != 0 && bytes_ + bytes > kMaxAnswerBytes;
    bytes_ += bytes;
    return !is_cut_;
  }
  net::Response Finish(size_t total) {
    json_.Close(']').Key("total").Uint(total).Key("limit").Uint(0).Key("offset").Uint(0).Key(
        "errors");
    errors_.empty() ? json_.Null() : json_.Raw("[" + errors_ + "]");
    json_.Close('}');
    net::Response response = JsonAnswer(200, std::move(body_));
    if (is_cut_) response.headers.emplace_back("X-Weft-Truncated", "true");
    return response;
  }

 private:
  uint64_t bytes_ = 0;
  bool is_cut_ = false;
  std::string body_, errors_;
  JsonWriter json_;
};

// The service in "/api/services/{service}/operations"; empty when `path` is something else.
std::string_view ServiceInPath(std::string_view path) {
  constexpr std::string_view kHead = "/api/services/", kTail = "/operations";
  if (!path.starts_with(kHead) || !path.ends_with(kTail) ||
      path.size() <= kHead.size() + kTail.size())
    return {};
  return path.substr(kHead.size(), path.size() - kHead.size() - kTail.size());
}

net::Response BadRequest(const base::Status& status) {
  return ApiError(400, {status.message().data(), status.message().size()});
}

}  // namespace

net::Response QueryApi::Answer(const net::Request& request) const {
  if (auto refused = RefuseEarly(request)) return std::move(*refused);
  if (request.path.starts_with("/api/")) return Api(request.path, QueryParams(request.query));
  if (auto page = PageAnswer(request.path)) return std::move(*page);
  return TextAnswer(404, "no such page\n");
}

net::Response QueryApi::Api(std::string_view path, const QueryParams& params) const {
  if (path == "/api/weft/status") return JsonAnswer(200, deps_.status ? deps_.status() : "{}");
  if (deps_.traces == nullptr) {
    return ApiError(501,
                    "the store is off: set exporters.store.enabled to keep recent traces here");
  }
  if (path == "/api/services") return Services();
  if (path == "/api/operations") return Operations(params);
  if (path == "/api/traces") return Search(params);
  if (path == "/api/weft/traces") return Summaries(params);
  if (path == "/api/dependencies") return Dependencies(params);
  if (std::string_view service = ServiceInPath(path); !service.empty()) {
    return OperationNames(base::PercentDecode(service));
  }
  constexpr std::string_view kTrace = "/api/traces/";
  if (path.starts_with(kTrace)) return ById({path.substr(kTrace.size())}, true);
  return ApiError(404, "no such call");
}

net::Response QueryApi::Services() const {
  std::vector<std::string> services = deps_.traces->Services();
  std::sort(services.begin(), services.end());
  Envelope out;
  for (const auto& name : services) out.json().String(name);
  return out.Finish(services.size());
}

net::Response QueryApi::OperationNames(std::string_view service) const {
  std::set<std::string> names;
  for (auto& [name, kind] : deps_.traces->Operations(service)) names.insert(std::move(name));
  Envelope out;
  for (const auto& name : names) out.json().String(name);
  return out.Finish(names.size());
}

net::Response QueryApi::Operations(const QueryParams& params) const {
  std::string_view service = params.Get("service"), wanted = params.Get("spanKind");
  if (service.empty()) return ApiError(400, "parameter 'service' is required");
  auto operations = deps_.traces->Operations(service);
  std::sort(operations.begin(), operations.end());
  Envelope out;
  size_t total = 0;
  for (const auto& [name, kind] : operations) {
    if (!wanted.empty() && KindName(kind) != wanted) continue;
    out.json().Open('{').Key("name").String(name).Key("spanKind").String(KindName(kind)).Close('}');
    ++total;
  }
  return out.Finish(total);
}

net::Response QueryApi::Search(const QueryParams& params) const {
  if (auto ids = params.All("traceID"); !ids.empty()) return ById(ids, false);
  auto filter = ParseTraceFilter(params, deps_.clock.UnixNs());
  if (!filter.ok()) return BadRequest(filter.status());
  Envelope out;
  for (const auto& trace : deps_.traces->Find(*filter)) {
    if (!out.HasRoom(trace.size())) break;
    AppendJaegerTrace(trace.view(), &out.json());
  }
  return out.Finish(0);
}

net::Response QueryApi::ById(const std::vector<std::string_view>& ids, bool single) const {
  Envelope out;
  for (std::string_view text : ids) {
    auto id = ParseTraceId(text);
    if (!id.ok()) return BadRequest(id.status());
    auto trace = deps_.traces->Get(*id);
    if (trace && !out.HasRoom(trace->size())) break;
    if (trace && AppendJaegerTrace(trace->view(), &out.json())) continue;
    if (single) return ApiError(404, "trace not found");
    out.Error(404, "trace not found", id->Hex());
  }
  return out.Finish(0);
}

net::Response QueryApi::Summaries(const QueryParams& params) const {
  auto filter = ParseTraceFilter(params, deps_.clock.UnixNs());
  if (!filter.ok()) return BadRequest(filter.status());
  Envelope out;
  auto traces = deps_.traces->Find(*filter);
  for (const auto& trace : traces) AppendTraceSummary(trace.view(), &out.json());
  return out.Finish(traces.size());
}

net::Response QueryApi::Dependencies(const QueryParams& params) const {
  // endTs and lookback are accepted and not used: the store knows recent traces only.
  std::string_view service = params.Get("service");
  Envelope out;
  for (const auto& link : deps_.traces->Dependencies()) {
    if (!service.empty() && link.parent != service && link.child != service) continue;
    out.json().Open('{').Key("parent").String(link.parent).Key("child").String(link.child);
    out.json().Key("callCount").Uint(link.calls).Close('}');
  }
  return out.Finish(0);
}

}  // namespace weft::console
