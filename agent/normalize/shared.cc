#include "normalize/shared.h"

#include <utility>

namespace weft::normalize {

void Shared::Open(const model::Span& span) {
  ++counts.opened;
  model::Span& copy = out.items.emplace_back();
  copy.phase = model::SpanPhase::kOpened;
  copy.role = span.role;
  copy.exchange_id = span.exchange_id;
  copy.process = span.process;
  copy.thread = span.thread;
  copy.context = span.context;
  copy.request_first_ns = span.request_first_ns;
  copy.client = span.client;
  copy.server = span.server;
  copy.netns = span.netns;
  copy.request_sequence = span.request_sequence;
  copy.stream_id = span.stream_id;
  copy.is_tls = span.is_tls;
  copy.method = span.method;
  copy.target = span.target;
}

void Shared::Finish(model::Span&& span) {
  ++counts.finished;
  span.phase = model::SpanPhase::kFinished;
  out.items.push_back(std::move(span));
}

}  // namespace weft::normalize
