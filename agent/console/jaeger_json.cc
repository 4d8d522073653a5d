#include "console/jaeger_json.h"

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "protocols/otlp/view.h"

namespace weft::console {
namespace {

namespace otlp = protocols::otlp;
constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;  // of JavaScript

void Tag(JsonWriter* json, std::string_view key, std::string_view text) {
  json->Open('{')
      .Key("key")
      .String(key)
      .Key("type")
      .String("string")
      .Key("value")
      .String(text)
      .Close('}');
}

void Tag(JsonWriter* json, const otlp::AttributeView& a) {
  using Kind = otlp::ValueView::Kind;
  switch (a.value.kind) {
    case Kind::kBool:
      json->Open('{')
          .Key("key")
          .String(a.key)
          .Key("type")
          .String("bool")
          .Key("value")
          .Bool(a.value.number != 0)
          .Close('}');
      return;
    case Kind::kInt:
      json->Open('{').Key("key").String(a.key).Key("type").String("int64").Key("value");
      if (a.value.number > kMaxSafeInteger || a.value.number < -kMaxSafeInteger) {
        json->String(
            std::to_string(a.value.number));  // as Jaeger does: a browser would round the number
      } else {
        json->Int(a.value.number);
      }
      json->Close('}');
      return;
    case Kind::kDouble:
      json->Open('{')
          .Key("key")
          .String(a.key)
          .Key("type")
          .String("float64")
          .Key("value")
          .Double(a.value.real)
          .Close('}');
      return;
    default:
      Tag(json, a.key, a.ToText());
  }
}

void Reference(JsonWriter* json, std::string_view type, const base::TraceId& trace,
               const base::SpanId& span) {
  json->Open('{').Key("refType").String(type).Key("traceID").String(trace.Hex());
  json->Key("spanID").String(span.Hex()).Close('}');
}

void Tags(const otlp::SpanView& span, const otlp::ScopeSpansView& scope, JsonWriter* json) {
  json->Key("tags").Open('[');
  if (!scope.name.empty()) Tag(json, "otel.scope.name", scope.name);
  if (!scope.version.empty()) Tag(json, "otel.scope.version", scope.version);
  for (const auto& a : span.attributes) Tag(json, a);
  if (std::string_view kind = KindName(span.kind); !kind.empty()) Tag(json, "span.kind", kind);
  if (span.status_code == 2) {
    Tag(json, "otel.status_code", "ERROR");
    json->Open('{')
        .Key("key")
        .String("error")
        .Key("type")
        .String("bool")
        .Key("value")
        .Bool(true)
        .Close('}');
  } else if (span.status_code == 1) {
    Tag(json, "otel.status_code", "OK");
  }
  if (!span.status_message.empty()) Tag(json, "otel.status_description", span.status_message);
  if (!span.trace_state.empty()) Tag(json, "w3c.tracestate", span.trace_state);
  json->Close(']');
}

void Logs(const otlp::SpanView& span, JsonWriter* json) {
  json->Key("logs").Open('[');
  for (const auto& event : span.events) {
    json->Open('{').Key("timestamp").Uint(event.time_ns / 1000).Key("fields").Open('[');
    if (!event.name.empty()) Tag(json, "event", event.name);
    for (const auto& a : event.attributes) Tag(json, a);
    json->Close(']').Close('}');
  }
  json->Close(']');
}

void Span(const otlp::SpanView& span, const otlp::ScopeSpansView& scope, std::string_view process,
          JsonWriter* json) {
  const uint64_t duration_ns = span.end_ns > span.start_ns ? span.end_ns - span.start_ns : 0;
  json->Open('{')
      .Key("traceID")
      .String(span.trace_id.Hex())
      .Key("spanID")
      .String(span.span_id.Hex());
  json->Key("flags").Uint(span.flags & 0xFF).Key("operationName").String(span.name);
  json->Key("references").Open('[');
  if (!span.parent_id.IsZero()) Reference(json, "CHILD_OF", span.trace_id, span.parent_id);
  for (const auto& link : span.links) Reference(json, "FOLLOWS_FROM", link.trace_id, link.span_id);
  json->Close(']')
      .Key("startTime")
      .Uint(span.start_ns / 1000)
      .Key("duration")
      .Uint(duration_ns / 1000);
  Tags(span, scope, json);
  Logs(span, json);
  json->Key("processID").String(process).Key("warnings").Null().Close('}');
}

// The JSON of a process: its identity too, so that equal resources become one.
std::string ProcessJson(const otlp::ResourceSpansView& resource) {
  std::string text;
  JsonWriter json(&text);
  json.Open('{').Key("serviceName").String(resource.ServiceName()).Key("tags").Open('[');
  for (const auto& a : resource.attributes) {
    if (a.key != "service.name") Tag(&json, a);
  }
  json.Close(']').Close('}');
  return text;
}

const otlp::SpanView* FirstSpan(const std::vector<otlp::ResourceSpansView>& resources) {
  for (const auto& resource : resources) {
    for (const auto& scope : resource.scopes) {
      if (!scope.spans.empty()) return &scope.spans[0];
    }
  }
  return nullptr;
}

// What a list shows of one trace, gathered span by span.
struct Summary {
  uint64_t first_ns = std::numeric_limits<uint64_t>::max(), last_ns = 0;
  uint64_t spans = 0, errors = 0, kernel = 0, merged = 0;
  std::map<std::string, uint64_t> services;
  const otlp::SpanView* root = nullptr;
  std::string root_service;

  void Add(const otlp::SpanView& span, const std::string& service) {
    ++spans;
    ++services[service];
    first_ns = std::min(first_ns, span.start_ns);
    last_ns = std::max({last_ns, span.start_ns, span.end_ns});
    if (span.status_code == 2) ++errors;
    if (const otlp::ValueView* origin = span.Find("weft.origin")) {
      if (origin->text == "kernel") ++kernel;
      if (origin->text == "merged") ++merged;
    }
    // The earliest span without a parent; where the parent of all is elsewhere, the earliest span.
    auto rank = [](const otlp::SpanView& s) {
      return std::pair(!s.parent_id.IsZero(), s.start_ns);
    };
    if (root == nullptr || rank(span) < rank(*root)) {
      root = &span;
      root_service = service;
    }
  }
};

}  // namespace

std::string_view KindName(int otlp_kind) {
  static constexpr std::string_view kNames[] = {"",       "internal", "server",
                                                "client", "producer", "consumer"};
  return otlp_kind >= 0 && otlp_kind < 6 ? kNames[otlp_kind] : std::string_view();
}

bool AppendJaegerTrace(base::ByteView trace, JsonWriter* json) {
  std::vector<otlp::ResourceSpansView> resources;
  if (!otlp::Decode(trace, &resources)) return false;
  const otlp::SpanView* first = FirstSpan(resources);
  if (first == nullptr) return false;
  std::vector<std::string> processes;
  json->Open('{').Key("traceID").String(first->trace_id.Hex()).Key("spans").Open('[');
  for (const auto& resource : resources) {
    std::string process = ProcessJson(resource);
    auto found = std::find(processes.begin(), processes.end(), process);
    const std::string id = "p" + std::to_string(found - processes.begin() + 1);
    if (found == processes.end()) processes.push_back(std::move(process));
    for (const auto& scope : resource.scopes) {
      for (const auto& span : scope.spans) Span(span, scope, id, json);
    }
  }
  json->Close(']').Key("processes").Open('{');
  for (size_t i = 0; i < processes.size(); ++i)
    json->Key("p" + std::to_string(i + 1)).Raw(processes[i]);
  json->Close('}').Key("warnings").Null().Close('}');
  return true;
}

bool AppendTraceSummary(base::ByteView trace, JsonWriter* json) {
  std::vector<otlp::ResourceSpansView> resources;
  if (!otlp::Decode(trace, &resources)) return false;
  Summary sum;
  for (const auto& resource : resources) {
    const std::string service = resource.ServiceName();
    for (const auto& scope : resource.scopes) {
      for (const auto& span : scope.spans) sum.Add(span, service);
    }
  }
  if (sum.root == nullptr) return false;
  json->Open('{')
      .Key("traceID")
      .String(sum.root->trace_id.Hex())
      .Key("rootService")
      .String(sum.root_service);
  json->Key("rootName").String(sum.root->name).Key("startTime").Uint(sum.first_ns / 1000);
  json->Key("duration").Uint((sum.last_ns - sum.first_ns) / 1000).Key("spans").Uint(sum.spans);
  json->Key("errors").Uint(sum.errors).Key("services").Open('[');
  for (const auto& [name, spans] : sum.services) {
    json->Open('{').Key("name").String(name).Key("spans").Uint(spans).Close('}');
  }
  json->Close(']')
      .Key("origins")
      .Open('{')
      .Key("kernel")
      .Uint(sum.kernel)
      .Key("merged")
      .Uint(sum.merged);
  json->Key("sdk").Uint(sum.spans - sum.kernel - sum.merged).Close('}').Close('}');
  return true;
}

}  // namespace weft::console
