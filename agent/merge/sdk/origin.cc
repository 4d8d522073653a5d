#include "merge/sdk/origin.h"

#include <algorithm>
#include <string_view>

#include "protocols/otlp/wire.h"
#include "protocols/otlp/write.h"

namespace weft::merge {
namespace {

namespace otlp = protocols::otlp;
namespace field = protocols::otlp::field;

void Take(base::ByteView key_value, ResourceFacts* facts) {
  std::string_view key, text;
  uint64_t number = 0;
  otlp::ForEachField(key_value, [&](const otlp::Field& f) {
    if (f.tag == otlp::BytesTag(field::kKey)) key = f.text();
    if (f.tag != otlp::BytesTag(field::kValue)) return true;
    otlp::ForEachField(f.view(), [&](const otlp::Field& v) {
      if (v.tag == otlp::BytesTag(field::kTextValue)) text = v.text();
      if (v.tag == otlp::VarintTag(field::kIntValue)) number = v.number;
      return true;
    });
    return true;
  });
  if (key == "container.id") facts->container = text;
  if (key == "k8s.pod.uid") facts->pod = text;
  if (key == "service.name") facts->service = text;
  if (key == "process.pid") facts->pid = number;
}

void TakeAll(base::ByteView fields, ResourceFacts* facts) {
  otlp::ForEachField(fields, [&](const otlp::Field& f) {
    if (f.tag != otlp::BytesTag(field::kResource)) return true;
    otlp::ForEachField(f.view(), [&](const otlp::Field& a) {
      if (a.tag == otlp::BytesTag(field::kResourceAttribute)) Take(a.view(), facts);
      return true;
    });
    return true;
  });
}

base::ByteView BytesOf(const model::OtlpBatch& batch, const model::Slice& slice) {
  if ((slice.offset & model::kExtra) != 0) {
    return base::AsBytes(batch.extra).subspan(slice.offset & ~model::kExtra, slice.size);
  }
  return batch.bytes->view().subspan(slice.offset, slice.size);
}

// Groups are in order of their first child; the last one that begins at `index` or before.
template <typename Group, typename First>
const Group* GroupOf(const std::vector<Group>& groups, uint32_t index, First first) {
  auto it = std::upper_bound(groups.begin(), groups.end(), index,
                             [&](uint32_t i, const Group& g) { return i < first(g); });
  return it == groups.begin() ? nullptr : &*std::prev(it);
}

std::string_view Attribute(const model::Process& process, std::string_view key) {
  for (const auto& [k, v] : process.resource) {
    if (k == key) return v;
  }
  return {};
}

}  // namespace

const ResourceFacts& Resources::FactsOf(const model::OtlpBatch& batch, uint32_t span) {
  static constexpr ResourceFacts kNothing;
  const auto* scope =
      GroupOf(batch.scopes, span, [](const model::ScopeGroup& g) { return g.first_span; });
  if (scope == nullptr) return kNothing;
  const auto* resource =
      GroupOf(batch.resources, static_cast<uint32_t>(scope - batch.scopes.data()),
              [](const model::ResourceGroup& g) { return g.first_scope; });
  if (resource == nullptr) return kNothing;
  if (resource == last_) return facts_;
  last_ = resource;
  facts_ = {};
  TakeAll(BytesOf(batch, resource->head), &facts_);
  TakeAll(BytesOf(batch, resource->tail), &facts_);
  return facts_;
}

Origin OriginOf(const ResourceFacts& facts, const model::Process& process) {
  const auto verdict = [](bool is_same) { return is_same ? Origin::kSame : Origin::kOther; };
  const std::string_view container = Attribute(process, "container.id");
  const std::string_view pod = Attribute(process, "k8s.pod.uid");
  if (!facts.container.empty() && !container.empty()) return verdict(facts.container == container);
  if (!facts.pod.empty() && !pod.empty()) return verdict(facts.pod == pod);
  if (facts.pid != 0 && container.empty() && facts.container.empty()) {
    return verdict(facts.pid == process.key.pid);
  }
  const bool is_same_service = !facts.service.empty() && facts.service == process.service_name;
  return is_same_service ? Origin::kSame : Origin::kUnknown;
}

}  // namespace weft::merge
