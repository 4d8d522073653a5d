#include "console/answers.h"

#include <algorithm>

#include "console/json.h"

namespace weft::console {
namespace {

net::Response Answer(int status, std::string_view type, std::string body) {
  net::Response response;
  response.status = status;
  response.content_type = type;
  response.body = std::move(body);
  response.headers = {{"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}};
  return response;
}

}  // namespace

net::Response TextAnswer(int status, std::string body) {
  return Answer(status, "text/plain; charset=utf-8", std::move(body));
}

net::Response JsonAnswer(int status, std::string body) {
  return Answer(status, "application/json", std::move(body));
}

net::Response ApiError(int status, std::string_view message) {
  std::string body;
  JsonWriter json(&body);
  json.Open('{').Key("data").Null().Key("total").Uint(0).Key("limit").Uint(0).Key("offset").Uint(0);
  json.Key("errors").Open('[').Open('{').Key("code").Int(status).Key("msg").String(message);
  json.Close('}').Close(']').Close('}');
  return JsonAnswer(status, std::move(body));
}

std::optional<net::Response> RefuseEarly(const net::Request& request) {
  if (request.method != "GET" && request.method != "HEAD") {
    net::Response response = TextAnswer(405, "only GET and HEAD\n");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  if (request.local.IsLoopback() && !IsLocalHost(request.Header("host"))) {
    return TextAnswer(
        403, "this port listens on loopback and answers to localhost or an IP address only\n");
  }
  return std::nullopt;
}

bool IsLocalHost(std::string_view host) {
  if (host.empty() || host[0] == '[') return true;  // IPv6 literals are in brackets
  host = host.substr(0, host.find(':'));
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace weft::console
