#include "exporters/kafka/messages.h"

#include <unordered_map>
#include <utility>

#include "protocols/jaeger/from_otlp.h"
#include "protocols/otlp/gather.h"

namespace weft::exporters::kafka {
namespace {

namespace otlp = protocols::otlp;

Message OneRequest(const model::OtlpBatch& part, const base::TraceId& trace) {
  Message message;
  message.key = trace.Hex();
  message.spans = part.spans.size();
  message.payload = otlp::Flatten(otlp::Gather(part));
  return message;
}

void SpanBySpan(const model::OtlpBatch& part, const base::TraceId& trace,
                std::vector<Message>* out) {
  std::vector<uint32_t> place(part.spans.size());
  for (uint32_t i = 0; i < part.spans.size(); ++i) place[i] = i;
  for (uint32_t i = 0; i < part.spans.size(); ++i)
    out->push_back(OneRequest(otlp::Select(part, place, i), trace));
}

std::vector<Message> ByTrace(const model::OtlpBatch& batch, uint64_t max_bytes) {
  std::unordered_map<base::TraceId, uint32_t, base::IdHash> number;
  std::vector<uint32_t> part(batch.spans.size());
  std::vector<base::TraceId> traces;
  for (size_t i = 0; i < batch.spans.size(); ++i) {
    if (batch.spans[i].dropped) continue;
    auto [at, fresh] =
        number.emplace(batch.spans[i].trace_id, static_cast<uint32_t>(traces.size()));
    if (fresh) traces.push_back(at->first);
    part[i] = at->second;
  }
  std::vector<Message> out;
  for (uint32_t t = 0; t < traces.size(); ++t) {
    const model::OtlpBatch of_trace = otlp::Select(batch, part, t);
    Message message = OneRequest(of_trace, traces[t]);
    if (message.payload.size() > max_bytes && message.spans > 1)
      SpanBySpan(of_trace, traces[t], &out);
    else
      out.push_back(std::move(message));
  }
  return out;
}

std::vector<Message> BySpan(const model::OtlpBatch& batch) {
  std::vector<Message> out;
  const base::ByteBuffer request = otlp::Flatten(otlp::Gather(batch));
  const bool whole = protocols::jaeger::ForEachJaegerSpan(
      request.view(), [&out](const base::TraceId& trace, base::ByteView span) {
        Message message;
        message.key = protocols::jaeger::JaegerTraceKey(trace);
        message.spans = 1;
        message.payload.Append(span);
        out.push_back(std::move(message));
      });
  if (!whole) out.clear();
  return out;
}

}  // namespace

std::vector<Message> MakeMessages(const model::OtlpBatch& batch, Encoding encoding,
                                  uint64_t max_bytes) {
  if (batch.bytes == nullptr) return {};
  return encoding == Encoding::kOtlpProto ? ByTrace(batch, max_bytes) : BySpan(batch);
}

}  // namespace weft::exporters::kafka
