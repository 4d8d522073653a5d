#include "merge/encoder.h"

#include <algorithm>
#include <optional>

#include "merge/attribute_keys.h"
#include "merge/sdk/span_facts.h"
#include "protocols/otlp/index.h"
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

void WriteKnown(otlp::Writer& w, std::string_view key, uint64_t value) {
  if (value != 0) WriteAttribute(w, field::kAttribute, key, static_cast<int64_t>(value));
}

// Here zero is an answer too.
void WriteCount(otlp::Writer& w, std::string_view key, std::optional<uint32_t> count) {
  if (count) WriteAttribute(w, field::kAttribute, key, static_cast<int64_t>(*count));
}

void WriteWireFacts(otlp::Writer& w, std::string_view origin, const model::Span& seen) {
  WriteAttribute(w, field::kAttribute, kOriginKey, origin);
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

uint32_t FlagsOf(const KernelSpan& k) {
  uint32_t flags = k.span.context ? k.span.context->flags : kFlagSampled;
  if (!k.ids.parent_id.IsZero()) flags |= kFlagHasIsRemote;
  if (k.ids.has_remote_parent) flags |= kFlagIsRemote;
  return flags;
}

void WriteAttributes(otlp::Writer& w, const model::AttributeList& attributes) {
  for (size_t i = 0; i < attributes.size(); ++i) {
    const std::string_view key = attributes.key(i);
    std::visit([&](auto value) { WriteAttribute(w, field::kAttribute, key, value); },
               attributes.value(i));
  }
}

void WriteSpan(otlp::Writer& w, const KernelSpan& k) {
  const model::Span& span = k.span;
  const bool is_client = span.role == model::Role::kClient;
  const auto kind = is_client ? model::SpanKind::kClient : model::SpanKind::kServer;
  w.Uint(field::kKind, static_cast<uint64_t>(kind));
  const uint64_t last = std::max(
      {span.request_first_ns, span.request_last_ns, span.response_first_ns, span.response_last_ns});
  w.Fixed64(field::kStart, span.request_first_ns);
  const uint64_t end = span.response_last_ns != 0 ? span.response_last_ns : last;
  w.Fixed64(field::kEnd, std::max(end, span.cut_ns));
  WriteAttributes(w, span.attributes);
  WriteWireFacts(w, kOriginKernel, span);
  if (k.ids.confidence > 0) {
    WriteAttribute(w, field::kAttribute, kParentRuleKey, kRuleThread);
    WriteAttribute(w, field::kAttribute, kParentCandidatesKey, int64_t{1});
    WriteAttribute(w, field::kAttribute, kParentConfidenceKey, k.ids.confidence);
  }
  if (span.context && !span.context->trace_state.empty() &&
      span.context->trace_state.size() <= kMaxTraceState) {
    w.Text(field::kTraceState, span.context->trace_state);
  }
  if (span.is_error) {
    const size_t status = w.Begin(field::kStatus);
    w.Uint(field::kStatusCode, kStatusError);
    w.End(status);
  }
  w.Fixed32(field::kFlags, FlagsOf(k));
}

std::string_view NameOf(const model::Span& span) {
  if (!span.name.empty()) return span.name;
  return span.method.empty() ? std::string_view("HTTP") : std::string_view(span.method);
}

}  // namespace

std::string MergedFields(const model::Span& seen, base::ByteView body, const base::SpanId* parent) {
  base::ByteBuffer out(512);
  otlp::Writer w(out);
  WriteWireFacts(w, kOriginMerged, seen);
  const model::Endpoint& peer = seen.role == model::Role::kClient ? seen.server : seen.client;
  if (peer.known() && !ReadSpanFacts(body).has_peer_address) {
    WriteAttribute(w, field::kAttribute, "network.peer.address", peer.AddressText());
    WriteAttribute(w, field::kAttribute, "network.peer.port", static_cast<int64_t>(peer.port));
  }
  if (parent != nullptr) w.Bytes(field::kParentSpanId, parent->view());
  return std::string(base::AsText(out.view()));
}

model::OtlpBatch Encoder::Encode(std::vector<KernelSpan>* spans) const {
  std::stable_sort(spans->begin(), spans->end(), [](const KernelSpan& a, const KernelSpan& b) {
    return a.span.process.get() < b.span.process.get();
  });
  base::ByteBuffer bytes(spans->size() * 768 + 512);
  {
    otlp::RequestWriter request(bytes);
    const model::Process* process = nullptr;
    bool is_first = true;
    for (const KernelSpan& k : *spans) {
      if (is_first || k.span.process.get() != process) {
        process = k.span.process.get();
        is_first = false;
        WriteResource(request.BeginResource(), process, resource_, version_);
        request.BeginScope("weft", version_);
      }
      WriteSpan(request.BeginSpan(k.ids.trace_id, k.ids.span_id, k.ids.parent_id, NameOf(k.span)),
                k);
    }
  }
  model::OtlpBatch batch;
  // Always kDone: these are weft's own bytes; were they not, the batch would be empty.
  static_cast<void>(otlp::Index(base::Share(std::move(bytes)), &batch));
  return batch;
}

}  // namespace weft::merge
