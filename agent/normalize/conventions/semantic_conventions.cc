#include "normalize/conventions/semantic_conventions.h"

#include <algorithm>
#include <charconv>

#include "normalize/conventions/redaction.h"
#include "normalize/normalizer.h"
#include "protocols/http1/head.h"

namespace weft::normalize {
namespace {

using model::Role;

constexpr std::string_view kKnownMethods[] = {"GET",   "POST",    "PUT",     "DELETE", "HEAD",
                                              "PATCH", "OPTIONS", "CONNECT", "TRACE",  "QUERY"};
constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kHttpsPort = 443;

bool IsKnownMethod(std::string_view method) {
  return std::find(std::begin(kKnownMethods), std::end(kKnownMethods), method) !=
         std::end(kKnownMethods);
}

std::string_view SchemeOf(const RequestFacts& request, const Target& target) {
  if (request.is_tls) return "https";
  return protocols::http1::EqualsIgnoreCase(target.scheme, "https") ? "https" : "http";
}

}  // namespace

Authority SplitAuthority(std::string_view text) {
  if (size_t at = text.rfind('@'); at != std::string_view::npos) text.remove_prefix(at + 1);
  Authority out;
  const size_t bracket = text.starts_with('[') ? text.find(']') : std::string_view::npos;
  const size_t colon = bracket == std::string_view::npos ? text.find(':') : text.find(':', bracket);
  out.host = text.substr(0, colon);
  if (bracket != std::string_view::npos) out.host = text.substr(1, bracket - 1);
  if (colon == std::string_view::npos) return out;
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error == std::errc() && end == digits.data() + digits.size()) out.port = port;
  return out;
}

Target SplitTarget(std::string_view method, std::string_view target) {
  Target out;
  if (method == "CONNECT") {
    out.has_userinfo = target.find('@') != std::string_view::npos;
    out.authority = target.substr(out.has_userinfo ? target.rfind('@') + 1 : 0);
    return out;
  }
  if (!target.starts_with('/') && target != "*") {
    const size_t scheme = target.find("://");
    if (scheme != std::string_view::npos && scheme < target.find_first_of("/?#")) {
      out.scheme = target.substr(0, scheme);
      target.remove_prefix(scheme + 3);
      const size_t end = std::min(target.find_first_of("/?#"), target.size());
      out.authority = target.substr(0, end);
      target.remove_prefix(end);
      if (size_t at = out.authority.rfind('@'); at != std::string_view::npos) {
        out.has_userinfo = true;
        out.authority.remove_prefix(at + 1);
      }
    }
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  out.path = target.substr(0, question);
  if (question != std::string_view::npos) out.query = target.substr(question + 1);
  if (out.path.empty()) out.path = "/";
  return out;
}

std::string_view SemanticConventions::Query(std::string_view query) {
  std::string_view clean = CleanText(query, query.size(), &clean_);
  RedactQuery(clean, options_.query_values_allowed, &query_);
  return query_;
}

void SemanticConventions::SetTarget(const RequestFacts& request, const Target& target,
                                    model::Span* span) {
  span->method = request.method;
  span->target =
      CleanText(target.path.empty() ? target.authority : target.path, kMaxUrlBytes, &clean_);
  span->attributes.Reserve(16, 192 + span->target.size());
}

void SemanticConventions::DescribeRequest(const RequestFacts& request, const Target& target,
                                          const ConnectionText& text, model::Span* span) {
  SetTarget(request, target, span);
  model::AttributeList& attributes = span->attributes;
  if (IsKnownMethod(request.method)) {
    attributes.Add("http.request.method", request.method);
  } else if (!request.method.empty()) {
    attributes.Add("http.request.method", "_OTHER");
    attributes.Add("http.request.method_original", request.method);
  }
  Authority authority = SplitAuthority(target.authority.empty() ? request.host : target.authority);
  // Without a usable name the socket is all there is.
  if (authority.port == 0) authority.port = span->server.port;
  const bool is_server = span->role == Role::kServer;
  if (authority.host.empty()) authority.host = is_server ? text.local_address : text.peer_address;
  if (is_server) {
    DescribeServer(request, target, text, span);
  } else {
    DescribeClient(request, target, authority, span);
  }
  DescribePeer(request, authority, text, span);
}

void SemanticConventions::DescribePeer(const RequestFacts& request, const Authority& authority,
                                       const ConnectionText& text, model::Span* span) {
  model::AttributeList& attributes = span->attributes;
  if (!authority.host.empty()) {
    attributes.Add("server.address", CleanText(authority.host, kMaxUserAgentBytes, &clean_));
    attributes.Add("server.port", static_cast<int64_t>(authority.port));
  }
  const model::Endpoint& peer = span->role == Role::kServer ? span->client : span->server;
  if (peer.known()) {
    attributes.Add("network.peer.address", text.peer_address);
    attributes.Add("network.peer.port", static_cast<int64_t>(peer.port));
  }
  if (!request.version.empty()) attributes.Add("network.protocol.version", request.version);
}

void SemanticConventions::DescribeServer(const RequestFacts& request, const Target& target,
                                         const ConnectionText& text, model::Span* span) {
  model::AttributeList& attributes = span->attributes;
  if (!target.path.empty()) attributes.Add("url.path", span->target);
  attributes.Add("url.scheme", SchemeOf(request, target));
  if (!target.query.empty()) attributes.Add("url.query", Query(target.query));
  std::string_view client = text.peer_address;
  if (options_.trust_forwarded && !request.forwarded_for.empty()) {
    client = request.forwarded_for.substr(0, request.forwarded_for.find(','));
    client = CleanText(client, kMaxUserAgentBytes, &clean_);
  }
  if (!client.empty()) attributes.Add("client.address", client);
  if (!request.user_agent.empty()) {
    attributes.Add("user_agent.original",
                   CleanText(request.user_agent, kMaxUserAgentBytes, &clean_));
  }
}

void SemanticConventions::DescribeClient(const RequestFacts& request, const Target& target,
                                         const Authority& authority, model::Span* span) {
  // Half a URL would be a wrong one.
  if (target.path.empty() && request.method != "CONNECT") return;
  const std::string_view scheme = SchemeOf(request, target);
  url_.assign(scheme).append("://");
  if (target.has_userinfo) url_ += "REDACTED:REDACTED@";
  const bool is_v6 = authority.host.find(':') != std::string_view::npos;
  if (is_v6) url_ += '[';
  url_ += CleanText(authority.host, kMaxUserAgentBytes, &clean_);
  if (is_v6) url_ += ']';
  if (authority.port != (scheme == "https" ? kHttpsPort : kHttpPort) && authority.port != 0)
    url_.append(":").append(std::to_string(authority.port));
  if (target.path.starts_with('/')) url_ += span->target;
  if (!target.query.empty()) url_.append("?").append(Query(target.query));
  span->attributes.Add("url.full", std::string_view(url_));
}

void SemanticConventions::DescribeResult(Outcome outcome, std::string_view cause,
                                         model::Span* span) {
  model::AttributeList& attributes = span->attributes;
  span->name = IsKnownMethod(span->method) ? std::string_view(span->method) : "HTTP";
  if (span->status_code != 0)
    attributes.Add("http.response.status_code", static_cast<int64_t>(span->status_code));
  const uint16_t first_error = span->role == Role::kServer ? 500 : 400;
  if (span->status_code >= first_error) {
    char text[8];
    auto [end, error] = std::to_chars(text, text + sizeof text, span->status_code);
    attributes.Add("error.type", std::string_view(text, static_cast<size_t>(end - text)));
    span->is_error = error == std::errc();
  } else if (outcome == Outcome::kCutShort) {
    attributes.Add("error.type", cause);
    span->is_error = true;
  }
}

}  // namespace weft::normalize
