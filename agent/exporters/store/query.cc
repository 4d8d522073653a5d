#include "exporters/store/query.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "protocols/otlp/index.h"
#include "protocols/otlp/view.h"

namespace weft::exporters::store {
namespace {

namespace otlp = protocols::otlp;
using Filter = model::TraceQuery::Filter;

bool HasTag(const otlp::ResourceSpansView& resource, const otlp::SpanView& span,
            const std::string& key, const std::string& text) {
  constexpr int kError = 2;
  for (const otlp::ValueView* value : {span.Find(key), resource.Find(key)})
    if (value != nullptr && value->ToText() == text) return true;
  return key == "error" && (span.status_code == kError) == (text == "true") &&
         (text == "true" || text == "false");
}

bool SpanMatches(const otlp::ResourceSpansView& resource, const otlp::SpanView& span,
                 const Filter& filter) {
  return (filter.operation.empty() || span.name == filter.operation) &&
         std::all_of(filter.tags.begin(), filter.tags.end(), [&](const auto& tag) {
           return HasTag(resource, span, tag.first, tag.second);
         });
}

}  // namespace

bool HasMatchingSpan(const TraceSnapshot& trace, const Filter& filter) {
  for (const base::SharedBytes& part : trace.parts) {
    std::vector<otlp::ResourceSpansView> resources;
    if (!part || !otlp::Decode(part->view(), &resources)) continue;
    for (const otlp::ResourceSpansView& resource : resources) {
      if (!filter.service.empty() && resource.ServiceName() != filter.service) continue;
      for (const otlp::ScopeSpansView& scope : resource.scopes)
        for (const otlp::SpanView& span : scope.spans)
          if (SpanMatches(resource, span, filter)) return true;
    }
  }
  return false;
}

base::ByteBuffer Join(const TraceSnapshot& trace) {
  size_t size = 0;
  for (const base::SharedBytes& part : trace.parts) size += part ? part->size() : 0;
  base::ByteBuffer out(size);
  for (const base::SharedBytes& part : trace.parts)
    if (part) out.Append(part->view());
  return out;
}

void CountCalls(const TraceSnapshot& trace,
                std::map<std::pair<std::string, std::string>, uint64_t>* calls) {
  struct Call {
    base::SpanId parent;
    std::string service;
  };
  std::unordered_map<base::SpanId, std::string, base::IdHash> service_of;
  std::vector<Call> spans;
  for (const base::SharedBytes& part : trace.parts) {
    model::OtlpBatch batch;
    if (!part || otlp::Index(part, &batch).status != otlp::IndexStatus::kDone) continue;
    for (const model::ResourceGroup& resource : batch.resources) {
      std::string service(ServiceName(SliceBytes(batch, resource.head)));
      for (uint32_t s = 0; s < resource.scope_count; ++s) {
        const model::ScopeGroup& scope = batch.scopes[resource.first_scope + s];
        for (uint32_t i = 0; i < scope.span_count; ++i) {
          const model::SpanRef& span = batch.spans[scope.first_span + i];
          // Of an id that client and server share, children belong to the server.
          if (span.kind == model::SpanKind::kServer || !service_of.contains(span.span_id))
            service_of[span.span_id] = service;
          if (!span.parent_id.IsZero()) spans.push_back({span.parent_id, service});
        }
      }
    }
  }
  for (Call& call : spans) {
    auto parent = service_of.find(call.parent);
    if (parent != service_of.end() && parent->second != call.service)
      ++(*calls)[{parent->second, std::move(call.service)}];
  }
}

}  // namespace weft::exporters::store
