#include "merge/sdk/span_facts.h"

#include <algorithm>
#include <charconv>

#include "protocols/otlp/wire.h"

namespace weft::merge {
namespace {

namespace otlp = protocols::otlp;

// A string or an integer; other kinds of value do not matter here.
struct Value {
  std::string_view text;
  uint64_t number = 0;
};

Value ReadValue(base::ByteView any) {
  Value out;
  otlp::ForEachField(any, [&](const otlp::Field& f) {
    if (f.tag == otlp::BytesTag(otlp::field::kTextValue)) out = {f.text(), 0};
    if (f.tag == otlp::VarintTag(otlp::field::kIntValue)) out = {{}, f.number};
    return true;
  });
  return out;
}

uint16_t PortOf(const Value& value) {
  uint64_t port = value.number;
  if (!value.text.empty()) {
    std::from_chars(value.text.data(), value.text.data() + value.text.size(), port);
  }
  return port <= UINT16_MAX ? static_cast<uint16_t>(port) : 0;
}

std::string_view WithoutQuery(std::string_view target) {
  return target.substr(0, target.find_first_of("?#"));
}

// Takes path and port out of an absolute URL.
void TakeUrl(std::string_view url, SpanFacts* facts) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return;
  const bool is_https = url.substr(0, scheme) == "https";
  url.remove_prefix(scheme + 3);
  const size_t slash = std::min(url.find_first_of("/?#"), url.size());
  const std::string_view authority = url.substr(0, slash);
  if (facts->path.empty()) {
    facts->path = WithoutQuery(url.substr(slash));
    if (facts->path.empty()) facts->path = "/";
  }
  if (facts->server_port != 0) return;
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && authority.back() != ']';
  facts->server_port = has_port ? PortOf({authority.substr(colon + 1), 0}) : is_https ? 443 : 80;
}

void Take(std::string_view key, const Value& value, std::string_view* url, SpanFacts* facts) {
  if (key == "http.request.method_original") {
    facts->method = value.text;
  } else if (key == "http.request.method" || key == "http.method") {
    // What is no method of the conventions is said by the attribute above, before or after.
    if (value.text != "_OTHER" && facts->method.empty()) facts->method = value.text;
  } else if (key == "url.path" || key == "http.target") {
    if (value.text.starts_with('/')) facts->path = WithoutQuery(value.text);
  } else if (key == "url.full" || key == "http.url") {
    *url = value.text;
  } else if (key == "network.peer.address" || key == "net.peer.ip" || key == "net.sock.peer.addr") {
    facts->has_peer_address = true;
  } else if (key == "network.peer.port" || key == "net.sock.peer.port" || key == "net.peer.port") {
    facts->peer_port = PortOf(value);
  } else if (key == "server.port") {
    facts->server_port = PortOf(value);
  } else if (key == "rpc.system" || key == "rpc.system.name") {
    facts->is_grpc = value.text == "grpc";
    facts->is_other_protocol |= !facts->is_grpc;
  } else if (key == "rpc.service") {
    facts->rpc_service = value.text;
  } else if (key == "rpc.method") {
    facts->rpc_method = value.text;
  } else if (key.starts_with("db.") || key.starts_with("messaging.")) {
    facts->is_other_protocol = true;
  }
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The next byte of a percent-encoded text; moves `p`.
char NextDecoded(std::string_view text, size_t* p) {
  const char c = text[(*p)++];
  if (c != '%' || *p + 2 > text.size()) return c;
  const int high = HexDigit(text[*p]), low = HexDigit(text[*p + 1]);
  if (high < 0 || low < 0) return c;
  *p += 2;
  return static_cast<char>(high << 4 | low);
}

bool SameMethod(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x & ~0x20) == (y & ~0x20); });
}

}  // namespace

bool FitsRequest(const SpanFacts& facts, std::string_view method, std::string_view path) {
  if (facts.is_grpc) {
    if (!SameMethod("POST", method)) return false;
    if (facts.rpc_method.empty()) return true;
    std::string_view rest = path;
    const auto skip = [&rest](std::string_view part) {
      if (!rest.starts_with(part)) return false;
      rest.remove_prefix(part.size());
      return true;
    };
    if (!skip("/")) return false;
    if (!facts.rpc_service.empty() && !skip(facts.rpc_service)) return false;
    if (!facts.rpc_service.empty() && !skip("/")) return false;
    return rest == facts.rpc_method;
  }
  if (!facts.method.empty() && !SameMethod(facts.method, method)) return false;
  return facts.path.empty() || SamePath(facts.path, path);
}

uint32_t HashRequest(std::string_view method, std::string_view path) {
  uint32_t hash = 2166136261u;  // FNV-1a
  const auto add = [&hash](char c) { hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u; };
  for (char c : method) add(static_cast<char>(c & ~0x20));
  for (size_t i = 0; i < path.size();) add(NextDecoded(path, &i));
  return hash;
}

std::optional<uint32_t> HashRequest(const SpanFacts& facts) {
  if (facts.is_grpc || facts.method.empty() || facts.path.empty()) return std::nullopt;
  return HashRequest(facts.method, facts.path);
}

SpanFacts ReadSpanFacts(base::ByteView body) {
  SpanFacts facts;
  std::string_view url;
  otlp::ForEachField(body, [&](const otlp::Field& f) {
    if (f.tag != otlp::BytesTag(otlp::field::kAttribute)) return true;
    std::string_view key;
    base::ByteView any;
    otlp::ForEachField(f.view(), [&](const otlp::Field& kv) {
      if (kv.tag == otlp::BytesTag(otlp::field::kKey)) key = kv.text();
      if (kv.tag == otlp::BytesTag(otlp::field::kValue)) any = kv.view();
      return true;
    });
    // Every key of interest begins with one of these.
    if (key.size() > 3 && std::string_view("hnsurdm").find(key[0]) != std::string_view::npos) {
      Take(key, ReadValue(any), &url, &facts);
    }
    return true;
  });
  if (!url.empty()) TakeUrl(url, &facts);
  return facts;
}

bool SamePath(std::string_view a, std::string_view b) {
  if (a == b) return true;
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (NextDecoded(a, &i) != NextDecoded(b, &j)) return false;
  }
  return i == a.size() && j == b.size();
}

}  // namespace weft::merge
