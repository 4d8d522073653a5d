// Traces made for tests of the console and for the demo server: encoded with the OTLP writer, held
// in a TraceQuery.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "model/lookup.h"
#include "net/listener.h"
#include "protocols/otlp/write.h"

namespace weft::console {

inline base::TraceId TestTrace(uint8_t last) {
  base::TraceId id;
  id.bytes[15] = last;
  return id;
}
inline base::SpanId TestSpan(uint8_t last) {
  base::SpanId id;
  id.bytes[7] = last;
  return id;
}

// Builds one request; the usual fields have setters, the rest goes through writer().
class RequestBuilder {
 public:
  RequestBuilder() : request_(bytes_) {}
  RequestBuilder& Service(std::string_view name) {
    namespace otlp = protocols::otlp;
    otlp::WriteAttribute(request_.BeginResource(), otlp::field::kResourceAttribute, "service.name",
                         name);
    return *this;
  }
  RequestBuilder& Scope(std::string_view name, std::string_view version) {
    request_.BeginScope(name, version);
    return *this;
  }
  protocols::otlp::Writer& Span(const base::TraceId& trace, const base::SpanId& span,
                                const base::SpanId& parent, std::string_view name, int kind,
                                uint64_t start_ns, uint64_t end_ns) {
    namespace field = protocols::otlp::field;
    protocols::otlp::Writer& w = request_.BeginSpan(trace, span, parent, name);
    w.Uint(field::kKind, static_cast<uint64_t>(kind));
    w.Fixed64(field::kStart, start_ns);
    w.Fixed64(field::kEnd, end_ns);
    return w;
  }
  base::ByteBuffer Finish() {
    request_.Finish();
    return std::move(bytes_);
  }

 private:
  base::ByteBuffer bytes_;
  protocols::otlp::RequestWriter request_;
};

inline void SpanStatus(protocols::otlp::Writer& w, int code, std::string_view message) {
  namespace field = protocols::otlp::field;
  size_t begin = w.Begin(field::kStatus);
  if (!message.empty()) w.Text(field::kStatusMessage, message);
  w.Uint(field::kStatusCode, static_cast<uint64_t>(code));
  w.End(begin);
}

// Answers with what it was given and remembers the last filter.
class FakeTraces final : public model::TraceQuery {
 public:
  void Add(const base::TraceId& id, base::ByteBuffer bytes) {
    traces_.emplace_back(id, std::move(bytes));
  }

  std::vector<std::string> Services() const override { return services; }
  std::vector<std::pair<std::string, int>> Operations(std::string_view service) const override {
    auto found = operations.find(std::string(service));
    return found == operations.end() ? std::vector<std::pair<std::string, int>>() : found->second;
  }
  std::vector<TraceBytes> Find(const Filter& filter) const override {
    last_filter = filter;
    std::vector<TraceBytes> out;
    for (const auto& [id, bytes] : traces_) {
      if (out.size() < filter.limit) out.push_back(Copy(bytes));
    }
    return out;
  }
  std::optional<TraceBytes> Get(const base::TraceId& wanted) const override {
    for (const auto& [id, bytes] : traces_) {
      if (id == wanted) return Copy(bytes);
    }
    return std::nullopt;
  }
  std::vector<Dependency> Dependencies() const override { return dependencies; }

  std::vector<std::string> services;
  std::map<std::string, std::vector<std::pair<std::string, int>>> operations;
  std::vector<Dependency> dependencies;
  mutable Filter last_filter;

 private:
  static TraceBytes Copy(const base::ByteBuffer& bytes) {
    TraceBytes copy;
    copy.Append(bytes.view());
    return copy;
  }
  std::vector<std::pair<base::TraceId, base::ByteBuffer>> traces_;
};

// A request as the listener hands it over.
inline net::Request Get(std::string target, net::HeaderList headers = {}) {
  net::Request request;
  request.method = "GET";
  size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  request.headers = std::move(headers);
  return request;
}

inline std::string HeaderOf(const net::Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace weft::console
