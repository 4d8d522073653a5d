#include "merge/encoder.h"

#include <algorithm>
#include <optional>

#include "merge/attribute_keys.h"
#include "merge/sdk/span_facts.h"
#include "merge/span_writer.h"
#include "protocols/otlp/write.h"

namespace weft::merge {
namespace {

namespace otlp = protocols::otlp;
namespace field = protocols::otlp::field;
using protocols::otlp::WriteAttribute;

constexpr uint32_t kFlagSampled = 1, kFlagHasIsRemote = 0x100, kFlagIsRemote = 0x200;
constexpr uint64_t kStatusError = 2;
// Longer ones are not passed on: W3C asks for 512 to be kept at least (case F50).
constexpr size_t kMaxTraceState = 512;

[[gnu::always_inline]] inline void WriteKnown(SpanWriter& w, std::string_view key, uint64_t value) {
  if (value != 0) w.Attribute(key, static_cast<int64_t>(value));
}

// Here zero is an answer too.
void WriteCount(SpanWriter& w, std::string_view key, std::optional<uint32_t> count) {
  if (count) w.Attribute(key, static_cast<int64_t>(*count));
}

void WriteWireFacts(SpanWriter& w, std::string_view origin, const model::Span& seen) {
  w.Attribute(kOriginKey, origin);
  WriteKnown(w, kRequestFirstKey, seen.request_first_ns);
  WriteKnown(w, kRequestLastKey, seen.request_last_ns);
  WriteKnown(w, kResponseFirstKey, seen.response_first_ns);
  WriteKnown(w, kResponseLastKey, seen.response_last_ns);
  WriteKnown(w, kRequestBytesKey, seen.request_bytes);
  WriteKnown(w, kResponseBytesKey, seen.response_bytes);
  WriteKnown(w, kStreamKey, seen.stream_id);
  WriteCount(w, kRequestMessagesKey, seen.request_messages);
  WriteCount(w, kResponseMessagesKey, seen.response_messages);
}

// What weft knows better than the environment of a process.
bool IsOwnKey(std::string_view key) {
  return key == "service.name" || key == "process.pid" || key == "process.executable.name" ||
         key == "telemetry.sdk.name" || key == "telemetry.sdk.version" ||
         key.starts_with("telemetry.distro.");
}

void WriteResource(otlp::Writer& w, const model::Process* process,
                   const std::vector<std::pair<std::string, std::string>>& node,
                   std::string_view version) {
  constexpr uint32_t kIn = field::kResourceAttribute;
  WriteAttribute(w, kIn, "service.name", process ? process->service_name : "unknown_service");
  if (process != nullptr) {
    WriteAttribute(w, kIn, "process.pid", static_cast<int64_t>(process->key.pid));
    if (!process->executable_name.empty()) {
      WriteAttribute(w, kIn, "process.executable.name", process->executable_name);
    }
    for (const auto& [key, value] : process->resource) {
      if (!IsOwnKey(key)) WriteAttribute(w, kIn, key, value);
    }
  }
  const auto of_process = [&](std::string_view key) {
    return process != nullptr && std::any_of(process->resource.begin(), process->resource.end(),
                                             [&](const auto& pair) { return pair.first == key; });
  };
  for (const auto& [key, value] : node) {
    if (!of_process(key)) WriteAttribute(w, kIn, key, value);
  }
  WriteAttribute(w, kIn, "telemetry.sdk.name", "weft");
  WriteAttribute(w, kIn, "telemetry.sdk.version", version);
  WriteAttribute(w, kIn, "telemetry.distro.name", "weft");
  WriteAttribute(w, kIn, "telemetry.distro.version", version);
}

uint32_t FlagsOf(const model::Span& span, const Ids& ids) {
  uint32_t flags = span.context ? span.context->flags : kFlagSampled;
  if (!ids.parent_id.IsZero()) flags |= kFlagHasIsRemote;
  if (ids.has_remote_parent) flags |= kFlagIsRemote;
  return flags;
}

std::string_view NameOf(const model::Span& span) {
  if (!span.name.empty()) return span.name;
  return span.method.empty() ? std::string_view("HTTP") : std::string_view(span.method);
}

// Its body is for the caller to say.
model::SpanRef Summary(const model::Span& span, const Ids& ids) {
  model::SpanRef ref;
  ref.trace_id = ids.trace_id;
  ref.span_id = ids.span_id;
  ref.parent_id = ids.parent_id;
  ref.start_ns = span.request_first_ns;
  const uint64_t last = std::max(
      {span.request_first_ns, span.request_last_ns, span.response_first_ns, span.response_last_ns});
  ref.end_ns = std::max(span.response_last_ns != 0 ? span.response_last_ns : last, span.cut_ns);
  ref.flags = FlagsOf(span, ids);
  const bool is_client = span.role == model::Role::kClient;
  ref.kind = is_client ? model::SpanKind::kClient : model::SpanKind::kServer;
  return ref;
}

void WriteSpan(SpanWriter& w, const model::Span& span, const Ids& ids, const model::SpanRef& ref) {
  w.Bytes(field::kTraceId, ref.trace_id.view());
  w.Bytes(field::kSpanId, ref.span_id.view());
  if (!ref.parent_id.IsZero()) w.Bytes(field::kParentSpanId, ref.parent_id.view());
  w.Text(field::kName, NameOf(span));
  w.Uint(field::kKind, static_cast<uint64_t>(ref.kind));
  w.Fixed64(field::kStart, ref.start_ns);
  w.Fixed64(field::kEnd, ref.end_ns);
  span.attributes.ForEach([&w](std::string_view key, auto value) { w.Attribute(key, value); });
  WriteWireFacts(w, kOriginKernel, span);
  if (ids.confidence > 0) {
    w.Attribute(kParentRuleKey, kRuleThread);
    w.Attribute(kParentCandidatesKey, int64_t{1});
    w.Attribute(kParentConfidenceKey, ids.confidence);
  }
  if (span.context && !span.context->trace_state.empty() &&
      span.context->trace_state.size() <= kMaxTraceState) {
    w.Text(field::kTraceState, span.context->trace_state);
  }
  if (span.is_error) {
    constexpr uint8_t kError[] = {field::kStatusCode << 3, kStatusError};
    w.Bytes(field::kStatus, kError);
  }
  w.Fixed32(field::kFlags, ref.flags);
}

model::Slice SliceOf(size_t begin, size_t end) {
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin)};
}

// Ends a message whose bytes begin at `begin`. By how much they were moved.
uint32_t EndMoving(otlp::Writer& w, size_t begin) {
  const size_t size = w.out().size() - begin;
  w.End(begin);
  return static_cast<uint32_t>(otlp::VarintSize(size) - 1);
}

}  // namespace

std::string MergedFields(const model::Span& seen, base::ByteView body, const base::SpanId* parent) {
  base::ByteBuffer out(512);
  SpanWriter w(out);
  WriteWireFacts(w, kOriginMerged, seen);
  const model::Endpoint& peer = seen.role == model::Role::kClient ? seen.server : seen.client;
  if (peer.known() && !ReadSpanFacts(body).has_peer_address) {
    w.Attribute("network.peer.address", std::string_view(peer.AddressText()));
    w.Attribute("network.peer.port", static_cast<int64_t>(peer.port));
  }
  if (parent != nullptr) w.Bytes(field::kParentSpanId, parent->view());
  return std::string(base::AsText(out.view()));
}

model::OtlpBatch Encoder::Encode(const std::vector<KernelSpan>& spans) {
  order_.clear();
  for (const KernelSpan& k : spans) {
    order_.emplace_back(k.entry->span.process.get(), static_cast<uint32_t>(order_.size()));
  }
  std::sort(order_.begin(), order_.end());
  base::ByteBuffer bytes(spans.size() * 768 + 512);
  model::OtlpBatch batch;
  batch.spans.reserve(spans.size());
  for (auto first = order_.cbegin(); first != order_.cend();) {
    const auto last = std::find_if(first, order_.cend(),
                                   [&](const auto& item) { return item.first != first->first; });
    EncodeGroup(spans, first, last, &bytes, &batch);
    first = last;
  }
  batch.bytes = base::Share(std::move(bytes));
  return batch;
}

void Encoder::EncodeGroup(const std::vector<KernelSpan>& spans, Order::const_iterator first,
                          Order::const_iterator last, base::ByteBuffer* out,
                          model::OtlpBatch* batch) {
  otlp::Writer w(*out);
  const size_t resource_spans = w.Begin(field::kResourceSpans);
  const size_t resource = w.Begin(field::kResource);
  WriteResource(w, first->first, resource_, version_);
  w.End(resource);
  const size_t resource_end = out->size();
  const size_t scope_spans = w.Begin(field::kScopeSpans);
  const size_t scope = w.Begin(field::kScope);
  w.Text(field::kScopeName, "weft");
  if (!version_.empty()) w.Text(field::kScopeVersion, version_);
  w.End(scope);
  const size_t scope_end = out->size();
  const size_t first_span = batch->spans.size();
  SpanWriter writer(*out);
  for (auto it = first; it != last; ++it) {
    const KernelSpan& k = spans[it->second];
    model::SpanRef& ref = batch->spans.emplace_back(Summary(k.entry->span, k.ids));
    writer.Begin();
    WriteSpan(writer, k.entry->span, k.ids, ref);
    const size_t begin = writer.End();
    ref.body = SliceOf(begin, out->size());
  }
  // The lengths of the envelopes need more than the byte that was left for them.
  const uint32_t by_scope = EndMoving(w, scope_spans);
  const uint32_t by_resource = EndMoving(w, resource_spans);
  const uint32_t moved = by_scope + by_resource;
  for (size_t i = first_span; i < batch->spans.size(); ++i) batch->spans[i].body.offset += moved;
  const auto span_count = static_cast<uint32_t>(batch->spans.size() - first_span);
  model::ResourceGroup group;
  group.head = SliceOf(resource_spans + by_resource, resource_end + by_resource);
  group.tail = SliceOf(out->size(), out->size());
  group.first_scope = static_cast<uint32_t>(batch->scopes.size());
  group.scope_count = 1;
  batch->resources.push_back(group);
  model::ScopeGroup scope_group;
  scope_group.head = SliceOf(scope_spans + moved, scope_end + moved);
  scope_group.tail = group.tail;
  scope_group.first_span = static_cast<uint32_t>(first_span);
  scope_group.span_count = span_count;
  batch->scopes.push_back(scope_group);
}

}  // namespace weft::merge
