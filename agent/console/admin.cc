#include "console/admin.h"

#include <charconv>
#include <cstdio>
#include <ctime>

#include "console/answers.h"
#include "console/json.h"
#include "console/prometheus_text.h"
#include "console/query_params.h"

namespace weft::console {
namespace {

constexpr uint64_t kTailAnswerBytes = 1 << 20;  // of encoded spans; the text is about as long

constexpr char kIndex[] =
    "/               health, as the Jaeger agent's\n"
    "/healthz        200 while the process works\n"
    "/readyz         200 when it can take and forward spans\n"
    "/metrics        Prometheus text\n"
    "/debug/ledger   what came in, went out, was lost and is held; ?format=json\n"
    "/debug/status   what is on, what is off and why (JSON)\n"
    "/debug/tail     spans as they leave; ?cursor=N&format=text|json\n";

}  // namespace

std::string GoDuration(uint64_t ns) {
  char text[64];
  auto trimmed = [&](double value, const char* unit) {
    std::string number(text, static_cast<size_t>(std::snprintf(text, sizeof text, "%.9f", value)));
    number.erase(number.find_last_not_of('0') + 1);
    if (number.back() == '.') number.pop_back();
    return number + unit;
  };
  if (ns < 1'000'000'000) {
    if (ns == 0) return "0s";
    if (ns < 1'000) return std::to_string(ns) + "ns";
    if (ns < 1'000'000) return trimmed(static_cast<double>(ns) / 1e3, "\xC2\xB5s");
    return trimmed(static_cast<double>(ns) / 1e6, "ms");
  }
  const uint64_t minutes = ns / 60'000'000'000;
  std::string out;
  if (minutes >= 60) out += std::to_string(minutes / 60) + "h";
  if (minutes > 0) out += std::to_string(minutes % 60) + "m";
  return out + trimmed(static_cast<double>(ns % 60'000'000'000) / 1e9, "s");
}

std::string Rfc3339(uint64_t unix_ns) {
  std::time_t seconds = static_cast<std::time_t>(unix_ns / 1'000'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  n += static_cast<size_t>(std::snprintf(text + n, sizeof text - n, ".%09uZ",
                                         static_cast<unsigned>(unix_ns % 1'000'000'000)));
  return {text, n};
}

AdminApi::AdminApi(const Deps& deps, TailBuffer& tail)
    : deps_(deps), tail_(tail), started_ns_(deps.clock.MonotonicNs()) {}

net::Response AdminApi::Answer(const net::Request& request) {
  if (auto refused = RefuseEarly(request)) return std::move(*refused);
  const std::string& path = request.path;
  if (path == "/") return ServerStatus();
  if (path == "/healthz" || path == "/livez") {
    const bool ok = !deps_.healthy || deps_.healthy();
    return TextAnswer(ok ? 200 : 503, ok ? "ok\n" : "not healthy\n");
  }
  if (path == "/readyz") return Ready();
  if (path == "/metrics") {
    const double uptime = static_cast<double>(deps_.clock.MonotonicNs() - started_ns_) / 1e9;
    net::Response response = TextAnswer(200, PrometheusText(deps_.metrics, deps_.ledger, uptime));
    response.content_type = kPrometheusType;
    return response;
  }
  if (path == "/debug/ledger") return Ledger(request);
  if (path == "/debug/status") return JsonAnswer(200, deps_.status ? deps_.status() : "{}");
  if (path == "/debug/tail") return Tail(request);
  return TextAnswer(404, "no such page; there is:\n" + std::string(kIndex));
}

net::Response AdminApi::ServerStatus() const {
  const bool ready = !deps_.ready || deps_.ready().ready;
  std::string body;
  JsonWriter json(&body);
  json.Open('{').Key("status").String(ready ? "Server available" : "Server not available");
  json.Key("upSince").String(ready ? Rfc3339(deps_.clock.ToUnixNs(started_ns_))
                                   : "0001-01-01T00:00:00Z");
  json.Key("uptime")
      .String(ready ? GoDuration(deps_.clock.MonotonicNs() - started_ns_) : "")
      .Close('}');
  return JsonAnswer(ready ? 200 : 503, std::move(body));
}

net::Response AdminApi::Ready() const {
  Readiness state = deps_.ready ? deps_.ready() : Readiness{true, ""};
  if (state.ready) return TextAnswer(200, "ready\n");
  return TextAnswer(503, "not ready: " + state.reason + "\n");
}

net::Response AdminApi::Ledger(const net::Request& request) const {
  const bool json = QueryParams(request.query).Get("format") == "json" ||
                    request.Header("accept").find("application/json") != std::string_view::npos;
  return json ? JsonAnswer(200, deps_.ledger.Json()) : TextAnswer(200, deps_.ledger.Text());
}

net::Response AdminApi::Tail(const net::Request& request) {
  QueryParams params(request.query);
  std::string_view text = params.Get("cursor"), format = params.Get("format");
  uint64_t cursor = 0;
  if (!text.empty()) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cursor);
    if (error != std::errc() || end != text.data() + text.size())
      return TextAnswer(400, "cursor is not a number\n");
  }
  if (!format.empty() && format != "text" && format != "json")
    return TextAnswer(400, "format is text or json\n");
  TailBuffer::Page page = tail_.Read(cursor, kTailAnswerBytes);
  std::string lines;
  for (const base::SharedBytes& one : page.requests) {
    format == "json" ? AppendTailJson(one->view(), &lines) : AppendTailText(one->view(), &lines);
  }
  net::Response response = TextAnswer(200, std::move(lines));
  if (format == "json") response.content_type = "application/x-ndjson";
  response.headers.emplace_back("X-Weft-Cursor", std::to_string(page.next_cursor));
  if (page.skipped != 0)
    response.headers.emplace_back("X-Weft-Skipped", std::to_string(page.skipped));
  return response;
}

}  // namespace weft::console
