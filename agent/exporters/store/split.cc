#include "exporters/store/split.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"

namespace weft::exporters::store {
namespace {

namespace otlp = protocols::otlp;

// Length-delimited fields of a message, one after the other; others are passed over. The bytes have
// been validated by Index, so that anything odd simply ends the walk.
class Fields {
 public:
  explicit Fields(base::ByteView message) : in_(message) {}

  bool Next(uint64_t* field, base::ByteView* value) {
    while (in_.ok() && in_.left() > 0) {
      uint64_t tag = Varint();
      switch (tag & 7) {
        case 0:
          Varint();
          break;
        case 1:
          in_.Take(8);
          break;
        case 2:
          *value = in_.Take(Varint());
          *field = tag >> 3;
          return in_.ok();
        case 5:
          in_.Take(4);
          break;
        default:
          return in_.Fail();
      }
    }
    return false;
  }

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = in_.U8();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return in_.Fail();
  }

  base::ByteReader in_;
};

// The last length-delimited field of this number, as protobuf has it for scalars.
bool LastField(base::ByteView message, uint64_t wanted, std::string_view* out) {
  Fields fields(message);
  uint64_t field = 0;
  base::ByteView value;
  bool found = false;
  while (fields.Next(&field, &value)) {
    if (field != wanted) continue;
    *out = base::AsText(value);
    found = true;
  }
  return found;
}

std::string_view SpanName(const model::OtlpBatch& batch, const model::SpanRef& span) {
  constexpr uint64_t kName = 5;
  std::string_view name;
  LastField(SliceBytes(batch, span.body), kName, &name);
  if (span.append > 0) LastField(base::AsBytes(batch.appends[span.append - 1]), kName, &name);
  return name;
}

// Where a span stands in its batch.
struct Place {
  uint32_t resource = 0, scope = 0;
};

std::vector<Place> Places(const model::OtlpBatch& batch) {
  std::vector<Place> places(batch.spans.size());
  for (uint32_t r = 0; r < batch.resources.size(); ++r) {
    const model::ResourceGroup& resource = batch.resources[r];
    for (uint32_t s = resource.first_scope; s < resource.first_scope + resource.scope_count; ++s) {
      const model::ScopeGroup& scope = batch.scopes[s];
      for (uint32_t i = scope.first_span; i < scope.first_span + scope.span_count; ++i)
        places[i] = {r, s};
    }
  }
  return places;
}

// A batch with some spans of another one, in order; shares its bytes.
model::OtlpBatch Select(const model::OtlpBatch& batch, const std::vector<Place>& places,
                        const std::vector<uint32_t>& indexes) {
  model::OtlpBatch out;
  out.bytes = batch.bytes;
  out.extra = batch.extra;
  out.edited = true;
  uint32_t resource = UINT32_MAX, scope = UINT32_MAX;
  for (uint32_t i : indexes) {
    if (places[i].resource != resource) {
      resource = places[i].resource;
      const model::ResourceGroup& from = batch.resources[resource];
      out.resources.push_back({from.head, from.tail, static_cast<uint32_t>(out.scopes.size()), 0});
    }
    if (places[i].scope != scope) {
      scope = places[i].scope;
      const model::ScopeGroup& from = batch.scopes[scope];
      out.scopes.push_back({from.head, from.tail, static_cast<uint32_t>(out.spans.size()), 0});
      ++out.resources.back().scope_count;
    }
    out.spans.push_back(batch.spans[i]);
    ++out.scopes.back().span_count;
    if (uint32_t append = batch.spans[i].append; append > 0) {
      out.appends.push_back(batch.appends[append - 1]);
      out.spans.back().append = static_cast<uint32_t>(out.appends.size());
    }
  }
  return out;
}

// Keeps the last of the spans with one key.
void KeepLast(const model::OtlpBatch& batch, std::vector<uint32_t>* indexes) {
  if (indexes->size() < 2) return;
  std::unordered_set<SpanKey, SpanKeyHash> seen;
  auto repeated = [&](uint32_t i) {
    return !seen.insert({batch.spans[i].span_id, batch.spans[i].kind}).second;
  };
  auto kept = std::remove_if(indexes->rbegin(), indexes->rend(), repeated);
  indexes->erase(indexes->begin(), kept.base());
}

TracePart MakePart(const model::OtlpBatch& batch, const std::vector<Place>& places,
                   const std::vector<std::string_view>& services,
                   const std::vector<uint32_t>& indexes) {
  TracePart part;
  part.trace_id = batch.spans[indexes[0]].trace_id;
  for (uint32_t i : indexes) {
    const model::SpanRef& span = batch.spans[i];
    part.spans.push_back({span.span_id, span.kind});
    part.start_ns = std::min(part.start_ns, span.start_ns);
    part.end_ns = std::max(part.end_ns, span.end_ns);
    part.operations.push_back({std::string(services[places[i].resource]),
                               std::string(SpanName(batch, span)), static_cast<int>(span.kind)});
  }
  std::sort(part.operations.begin(), part.operations.end());
  part.operations.erase(std::unique(part.operations.begin(), part.operations.end()),
                        part.operations.end());
  part.bytes = base::Share(otlp::Flatten(otlp::Gather(Select(batch, places, indexes))));
  return part;
}

}  // namespace

base::ByteView SliceBytes(const model::OtlpBatch& batch, model::Slice slice) {
  if ((slice.offset & model::kExtra) != 0)
    return base::AsBytes(
        std::string_view(batch.extra).substr(slice.offset & ~model::kExtra, slice.size));
  return batch.bytes->view().subspan(slice.offset, slice.size);
}

std::string_view ServiceName(base::ByteView resource_fields) {
  std::string_view name;
  Fields fields(resource_fields);
  uint64_t field = 0;
  base::ByteView value;
  while (fields.Next(&field, &value)) {
    if (field != 1) continue;  // ResourceSpans.resource
    Fields attributes(value);
    base::ByteView attribute;
    while (attributes.Next(&field, &attribute)) {
      std::string_view key, any, text;
      if (field == 1 && LastField(attribute, 1, &key) && key == "service.name" &&
          LastField(attribute, 2, &any) && LastField(base::AsBytes(any), 1, &text))
        name = text;
    }
  }
  return name.empty() ? "unknown_service" : name;
}

std::vector<TracePart> SplitByTrace(const model::OtlpBatch& batch) {
  std::vector<Place> places = Places(batch);
  std::vector<std::string_view> services;
  for (const model::ResourceGroup& resource : batch.resources) {
    std::string_view name = ServiceName(SliceBytes(batch, resource.head));
    if (name == "unknown_service") name = ServiceName(SliceBytes(batch, resource.tail));
    services.push_back(name);
  }
  std::unordered_map<base::TraceId, size_t, base::IdHash> which;
  std::vector<std::vector<uint32_t>> groups;
  for (uint32_t i = 0; i < batch.spans.size(); ++i) {
    if (batch.spans[i].dropped) continue;
    auto [it, fresh] = which.try_emplace(batch.spans[i].trace_id, groups.size());
    if (fresh) groups.emplace_back();
    groups[it->second].push_back(i);
  }
  std::vector<TracePart> parts;
  for (std::vector<uint32_t>& indexes : groups) {
    KeepLast(batch, &indexes);
    parts.push_back(MakePart(batch, places, services, indexes));
  }
  return parts;
}

base::SharedBytes Without(const base::SharedBytes& bytes, const std::vector<SpanKey>& keys) {
  model::OtlpBatch batch;
  if (otlp::Index(bytes, &batch).status != otlp::IndexStatus::kDone) return nullptr;
  size_t left = 0;
  for (model::SpanRef& span : batch.spans) {
    if (std::find(keys.begin(), keys.end(), SpanKey{span.span_id, span.kind}) != keys.end())
      span.dropped = true;
    left += span.dropped ? 0 : 1;
  }
  if (left == 0) return nullptr;
  batch.edited = true;
  return base::Share(otlp::Flatten(otlp::Gather(batch)));
}

}  // namespace weft::exporters::store
