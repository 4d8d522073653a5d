// SDK spans on their way through merge: match, patch, pass on, and only then let the kernel views
// go.
#include <utility>

#include "merge/state.h"

namespace weft::merge {

using model::Role;
using model::SpanKind;

model::PushResult Merge::State::PushBatch(model::OtlpBatch&& batch) {
  // Metrics, logs and profiles have no other view to be merged with.
  if (batch.signal != model::Signal::kTraces) return deps_.next.Push(std::move(batch));
  const uint64_t spans = batch.spans.size();
  ProcessState* sender = nullptr;
  if (batch.sender != nullptr) {
    sender = &processes_.Get(MergeKey(batch.sender->key));
    processes_.OnExport(*sender);
  }
  // A sender without exchanges of its own may be a collector that forwards.
  const bool is_of_interest =
      (sender != nullptr && sender->had_entries) || (sender == nullptr && window_.size() != 0) ||
      window_.has_context(Role::kClient) || window_.has_context(Role::kServer);
  if (!is_of_interest) {
    const model::PushResult result = deps_.next.Push(std::move(batch));
    if (result == model::PushResult::kTaken) {
      meters_.sdk_spans.In(spans);
      meters_.sdk_spans.Out(spans);
    }
    return result;
  }
  match_.clear();
  matcher_.Match(batch, sender, &match_);
  Patch(&batch);
  pushed_.clear();
  for (const Hit& hit : match_.hits) pushed_.push_back(batch.spans[hit.span]);
  for (uint32_t i : match_.unmatched) pushed_.push_back(batch.spans[i]);
  if (deps_.next.Push(std::move(batch)) == model::PushResult::kBusy) {
    Undo(&batch);
    return model::PushResult::kBusy;
  }
  Commit(pushed_, sender, deps_.clock.MonotonicNs());
  meters_.sdk_spans.In(spans);
  meters_.sdk_spans.Out(spans);
  CountPass();
  return model::PushResult::kTaken;
}

void Merge::State::Patch(model::OtlpBatch* batch) {
  appended_.clear();
  adoptions_.clear();
  was_edited_ = batch->edited;
  for (const Hit& hit : match_.hits) {
    model::SpanRef& span = batch->spans[hit.span];
    const base::SpanId* parent = AdoptRoot(span, *hit.entry);
    std::string fields = MergedFields(
        hit.entry->span, batch->bytes->view().subspan(span.body.offset, span.body.size), parent);
    if (span.append == 0) {
      appended_.push_back({hit.span, 0});
      batch->appends.push_back(std::move(fields));
      span.append = static_cast<uint32_t>(batch->appends.size());
    } else {
      std::string& before = batch->appends[span.append - 1];
      appended_.push_back({hit.span, before.size()});
      before += fields;
    }
    batch->edited = true;
  }
}

// The SDK span of an entry service is a root because its caller has no SDK; but the kernel saw the
// call. If nothing has been said about that call yet, it joins the SDK's trace as the parent.
const base::SpanId* Merge::State::AdoptRoot(const model::SpanRef& span, Entry& entry) {
  Entry* client = entry.pair;
  if (entry.is_client() || entry.span.context || !span.parent_id.IsZero()) return nullptr;
  if (client == nullptr || client->span.context || client->is_claimed || !client->is_waiting()) {
    return nullptr;
  }
  // Its own SDK will speak of the call, under an id that nobody knows yet.
  if (client->process->coverage == Coverage::kExports) return nullptr;
  const TraceRef& trace = RootOf(client->self->trace);
  if (trace->is_fixed && trace->id != span.trace_id) return nullptr;
  adoptions_.push_back({trace, trace->id, trace->is_fixed, client});
  trace->id = span.trace_id;
  trace->is_fixed = true;
  client->id_is_given_out = true;
  return &client->self->span_id;
}

// The batch goes back as it came; the client will send it again.
void Merge::State::Undo(model::OtlpBatch* batch) {
  for (auto it = appended_.rbegin(); it != appended_.rend(); ++it) {
    model::SpanRef& span = batch->spans[it->span];
    if (it->old_size != 0) {
      batch->appends[span.append - 1].resize(it->old_size);
    } else {
      batch->appends.pop_back();
      span.append = 0;
    }
  }
  for (auto it = adoptions_.rbegin(); it != adoptions_.rend(); ++it) {
    it->trace->id = it->old_id;
    it->trace->is_fixed = it->was_fixed;
    it->client->id_is_given_out = false;
  }
  batch->edited = was_edited_;
  for (const Hit& hit : match_.hits) hit.entry->is_claimed = false;
}

void Merge::State::Commit(const std::vector<model::SpanRef>& spans, ProcessState* sender,
                          uint64_t now_ns) {
  for (Entry* head : match_.taken) head->id_is_taken = true;
  for (const Adoption& adoption : adoptions_) {
    adoption.client->self->trace = RootOf(adoption.client->self->trace);
  }
  counts_.adopted += adoptions_.size();
  counts_.edge += match_.edge;
  counts_.ambiguous += match_.ambiguous;
  const size_t hits = match_.hits.size();
  for (size_t i = 0; i < hits; ++i) CommitHit(spans[i], *match_.hits[i].entry, now_ns);
  // Of others no view comes late, and theirs would push out those of which one may.
  if (sender == nullptr || !sender->had_entries) return;
  for (size_t i = hits; i < spans.size(); ++i) Remember(spans[i], *sender, now_ns);
}

void Merge::State::CommitHit(const model::SpanRef& span, Entry& entry, uint64_t now_ns) {
  ++counts_.merged;
  ++counts_.hits[static_cast<size_t>(entry.span.role)];
  processes_.OnExport(*entry.process);
  entry.self->span_id = span.span_id;
  Settled(entry);
  TraceRef trace = RootOf(entry.self->trace);
  const bool was_adopted = trace->is_fixed && trace->id == span.trace_id;
  // A root beside a caller that it does not belong to must not pull that one into its trace.
  const bool is_lone_root = !entry.is_client() && span.parent_id.IsZero() && entry.pair != nullptr;
  if (!was_adopted && (trace->is_fixed || is_lone_root)) {
    trace = entry.self->trace = window_.NewTrace();
  }
  trace->id = span.trace_id;
  trace->is_fixed = true;
  if (entry.is_finished()) window_.Remove(entry, now_ns);
}

void Merge::State::Remember(const model::SpanRef& span, const ProcessState& sender,
                            uint64_t now_ns) {
  const bool is_client = span.kind == SpanKind::kClient;
  const base::SpanId& wire_id = is_client ? span.span_id : span.parent_id;
  if (wire_id.IsZero()) return;
  const ContextKey key{span.trace_id, wire_id, is_client ? Role::kClient : Role::kServer};
  if (recent_.Remember(key, sender.key, span.span_id, span.end_ns, now_ns)) ++counts_.forgotten;
}

}  // namespace weft::merge
