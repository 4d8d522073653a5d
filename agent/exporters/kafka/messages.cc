#include "exporters/kafka/messages.h"

#include <span>
#include <unordered_map>
#include <utility>

#include "protocols/jaeger/from_otlp.h"
#include "protocols/otlp/gather.h"

namespace weft::exporters::kafka {
namespace {

namespace otlp = protocols::otlp;

// Where a span is.
struct Place {
  uint32_t resource = 0, scope = 0, span = 0;
};
using Places = std::span<const Place>;

// The live spans of each trace, in order.
struct Trace {
  base::TraceId id;
  std::vector<Place> places;
};

std::vector<Trace> TracesOf(const model::OtlpBatch& batch) {
  std::unordered_map<base::TraceId, size_t, base::IdHash> number;
  std::vector<Trace> traces;
  for (uint32_t r = 0; r < batch.resources.size(); ++r) {
    const model::ResourceGroup& resource = batch.resources[r];
    for (uint32_t s = resource.first_scope; s < resource.first_scope + resource.scope_count; ++s) {
      const model::ScopeGroup& scope = batch.scopes[s];
      for (uint32_t i = scope.first_span; i < scope.first_span + scope.span_count; ++i) {
        if (batch.spans[i].dropped) continue;
        const base::TraceId& id = batch.spans[i].trace_id;
        const auto [at, fresh] = number.emplace(id, traces.size());
        if (fresh) traces.push_back({id, {}});
        traces[at->second].places.push_back({r, s, i});
      }
    }
  }
  return traces;
}

model::Slice CopySlice(const model::OtlpBatch& from, model::Slice slice, model::OtlpBatch* to) {
  if (slice.size == 0) return {};
  if ((slice.offset & model::kExtra) == 0) return slice;
  const auto offset = static_cast<uint32_t>(to->extra.size());
  to->extra.append(from.extra, slice.offset & ~model::kExtra, slice.size);
  return {offset | model::kExtra, slice.size};
}

// As otlp::Select, at the cost of what is taken and not of the whole batch.
model::OtlpBatch Take(const model::OtlpBatch& batch, Places places) {
  model::OtlpBatch out;
  out.bytes = batch.bytes;
  out.edited = true;
  const Place* before = nullptr;
  for (const Place& place : places) {
    const bool same_resource = before != nullptr && before->resource == place.resource;
    if (!same_resource) {
      const model::ResourceGroup& resource = batch.resources[place.resource];
      out.resources.push_back({CopySlice(batch, resource.head, &out),
                               CopySlice(batch, resource.tail, &out),
                               static_cast<uint32_t>(out.scopes.size()), 0});
    }
    if (!same_resource || before->scope != place.scope) {
      const model::ScopeGroup& scope = batch.scopes[place.scope];
      out.scopes.push_back({CopySlice(batch, scope.head, &out), CopySlice(batch, scope.tail, &out),
                            static_cast<uint32_t>(out.spans.size()), 0});
      ++out.resources.back().scope_count;
    }
    model::SpanRef span = batch.spans[place.span];
    if (span.append != 0) {
      out.appends.push_back(batch.appends[span.append - 1]);
      span.append = static_cast<uint32_t>(out.appends.size());
    }
    out.spans.push_back(span);
    ++out.scopes.back().span_count;
    before = &place;
  }
  return out;
}

// The messages of one batch, up to a number of bytes.
struct Output {
  uint64_t left = 0;
  std::vector<Message> messages = {};

  bool Add(Message&& message) {
    if (message.payload.size() > left) return left = 0, false;
    left -= message.payload.size();
    messages.push_back(std::move(message));
    return true;
  }
};

void ByTrace(const model::OtlpBatch& batch, uint64_t max_bytes, Output* out) {
  const auto message_of = [](const base::Gathered& payload, const Trace& trace, size_t spans) {
    return Message{trace.id.Hex(), otlp::Flatten(payload), spans};
  };
  for (const Trace& trace : TracesOf(batch)) {
    const Places places = trace.places;
    const base::Gathered whole = otlp::Gather(Take(batch, places));
    if (whole.size <= max_bytes || places.size() == 1) {
      if (whole.size > out->left || !out->Add(message_of(whole, trace, places.size()))) return;
      continue;
    }
    for (size_t i = 0; i < places.size(); ++i) {
      const base::Gathered one = otlp::Gather(Take(batch, places.subspan(i, 1)));
      if (one.size > out->left || !out->Add(message_of(one, trace, 1))) return;
    }
  }
}

void BySpan(const model::OtlpBatch& batch, Output* out) {
  const base::ByteBuffer request = otlp::Flatten(otlp::Gather(batch));
  const bool whole = protocols::jaeger::ForEachJaegerSpan(
      request.view(), [out](const base::TraceId& trace, base::ByteView span) {
        if (span.size() > out->left) return;
        Message message;
        message.key = protocols::jaeger::JaegerTraceKey(trace);
        message.spans = 1;
        message.payload.Append(span);
        (void)out->Add(std::move(message));
      });
  if (!whole) out->messages.clear();
}

}  // namespace

std::vector<Message> MakeMessages(const model::OtlpBatch& batch, Encoding encoding,
                                  uint64_t max_bytes, uint64_t max_total) {
  Output out{max_total};
  if (batch.bytes == nullptr) return {};
  if (encoding == Encoding::kOtlpProto)
    ByTrace(batch, max_bytes, &out);
  else
    BySpan(batch, &out);
  return std::move(out.messages);
}

}  // namespace weft::exporters::kafka
