#include "merge/linker.h"

#include <algorithm>

#include "merge/attribute_keys.h"

namespace weft::merge {
namespace {

using model::Role;

// Of the inbound requests that brought the same context.
constexpr int kMaxLooks = 32;

bool SameContext(const Entry& a, const Entry& b) {
  return a.span.context && b.span.context && a.span.context->trace_id == b.span.context->trace_id &&
         a.span.context->span_id == b.span.context->span_id;
}

// Both ends of one exchange are stamped after their calls, in either order.
bool BeganBefore(const Entry& inbound, const Entry& call) {
  const bool is_same_exchange = call.end_hash != 0 && inbound.end_hash == call.end_hash;
  return !is_same_exchange && inbound.span.request_first_ns < call.span.request_first_ns;
}

// An earlier thing that is stamped later than what follows from it is moved there.
void MoveBefore(uint64_t& cause, uint64_t effect) {
  if (cause != 0 && effect != 0 && cause > effect) cause = effect;
}

}  // namespace

IdentityRef Linker::NewIdentity(const Entry& entry) {
  IdentityRef identity = window_.NewIdentity();
  identity->trace = window_.NewTrace();
  const auto& context = entry.span.context;
  identity->trace->id = context ? context->trace_id : base::NewTraceId();
  identity->trace->is_fixed = context.has_value();
  identity->trace->is_unsampled = entry.is_unsampled();
  identity->span_id = context && entry.is_client() ? context->span_id : base::NewSpanId();
  return identity;
}

void Linker::OnOpened(Entry& entry) {
  entry.self = NewIdentity(entry);
  if (entry.is_client()) OpenClient(entry);
  LinkEnds(entry);
  if (!entry.process->is_uncovered()) {
    entry.counted = RootOf(entry.self->trace);
    ++entry.counted->covered;
  }
}

void Linker::OpenClient(Entry& entry) {
  if (entry.span.context) {
    if (IdentityRef inbound = Forwarded(entry)) {
      SetParent(entry, inbound, Parenthood::kForwarded);
      entry.self->span_id = base::NewSpanId();
      entry.process->forwards_contexts = true;
      return;
    }
    processes_.OnOwnContext(*entry.process);
  }
  if (IdentityRef inbound = ThreadParent(entry)) {
    SetParent(entry, inbound, Parenthood::kThread);
    entry.is_weak = entry.process->multiplexes;
  }
}

void Linker::SetParent(Entry& entry, const IdentityRef& parent, Parenthood parenthood) {
  entry.parent = parent;
  entry.parenthood = parenthood;
  if (!entry.span.context) Join(entry.self->trace, parent->trace);
}

IdentityRef Linker::ThreadParent(const Entry& entry) const {
  const auto& threads = entry.process->open_by_thread;
  auto it = threads.find(entry.span.thread);
  if (it == threads.end() || it->second.count != 1) return nullptr;
  if (entry.process->multiplexes && entry.process->open_requests != 1) return nullptr;
  const Entry& inbound = *it->second.newest;
  return BeganBefore(inbound, entry) ? inbound.self : nullptr;
}

// The inbound request of the same process that brought the context before the call went out; of
// several the one that the thread works on, else the newest. What comes later may be the call
// itself, that a process makes to itself, directly or through a proxy.
IdentityRef Linker::Forwarded(const Entry& entry) const {
  const model::WireContext& context = *entry.span.context;
  const Entry *newest = nullptr, *on_thread = nullptr;
  if (entry.process->with_context[static_cast<size_t>(Role::kServer)] != 0) {
    Entry* head = window_.WithContext(context.trace_id, context.span_id, Role::kServer);
    window_.ForEachNear(head, entry.span.request_first_ns, kMaxLooks, [&](const Entry& e) {
      if (e.process != entry.process || !BeganBefore(e, entry)) return true;
      if (newest == nullptr || BeganBefore(*newest, e)) newest = &e;
      const bool is_at_work = e.span.thread == entry.span.thread && !e.is_finished();
      if (is_at_work && (on_thread == nullptr || BeganBefore(*on_thread, e))) on_thread = &e;
      return !is_at_work;
    });
  }
  if (on_thread != nullptr) return on_thread->self;
  if (newest != nullptr) return newest->self;
  const Window::Memory* past = window_.Past(*entry.process, context, Role::kServer);
  return past != nullptr && past->first_ns < entry.span.request_first_ns ? past->identity : nullptr;
}

void Linker::LinkEnds(Entry& entry) {
  Entry* other = window_.OtherEnd(entry);
  if (other == nullptr || other->pair != nullptr) return;
  entry.pair = other;
  other->pair = &entry;
  Clamp(entry);
  Entry& server = entry.is_client() ? *other : entry;
  Entry& client = entry.is_client() ? entry : *other;
  if (!server.is_waiting() && &server != &entry) return;
  if (server.span.context && !SameContext(server, client)) return;
  SetParent(server, client.self, Parenthood::kPair);
}

void Linker::Clamp(Entry& entry) {
  if (entry.pair == nullptr) return;
  model::Span& client = entry.is_client() ? entry.span : entry.pair->span;
  model::Span& server = entry.is_client() ? entry.pair->span : entry.span;
  MoveBefore(client.request_first_ns, server.request_first_ns);
  MoveBefore(client.request_last_ns, server.request_last_ns);
  MoveBefore(server.cut_ns, client.cut_ns);
  // The answer was not received before the request: then one of the two was seen in part only.
  if (client.response_first_ns < server.request_first_ns) return;
  MoveBefore(server.response_first_ns, client.response_first_ns);
  MoveBefore(server.response_last_ns, client.response_last_ns);
}

// Whether the id S of a client's context names another span already.
bool Linker::IsTaken(const Entry& entry) const {
  const model::WireContext& context = *entry.span.context;
  return window_.WithContext(context.trace_id, context.span_id, Role::kClient)->id_is_taken ||
         window_.Past(*entry.process, context, Role::kClient) != nullptr;
}

void Linker::SettleClient(Entry& entry, Ids* ids) {
  const model::WireContext& context = *entry.span.context;
  if (entry.parenthood != Parenthood::kForwarded) {
    if (IdentityRef inbound = Forwarded(entry)) {
      SetParent(entry, inbound, Parenthood::kForwarded);
      entry.self->span_id = base::NewSpanId();
    }
  }
  if (entry.parenthood == Parenthood::kForwarded) {
    ids->parent_id = entry.parent->span_id;
  } else if (IsTaken(entry)) {
    entry.self->span_id = base::NewSpanId();
    ids->parent_id = context.span_id;
  } else if (entry.parent != nullptr && RootOf(entry.parent->trace)->id == context.trace_id) {
    ids->parent_id = entry.parent->span_id;
    ids->confidence = entry.is_weak ? kWeakConfidence : kThreadConfidence;
  }
}

Ids Linker::Settle(Entry& entry) {
  Ids ids;
  const auto& context = entry.span.context;
  if (context && entry.is_client()) {
    SettleClient(entry, &ids);
  } else if (context) {
    const bool in_pair = entry.parenthood == Parenthood::kPair;
    ids.parent_id = in_pair ? entry.parent->span_id : context->span_id;
  } else if (entry.parent != nullptr) {
    entry.self->trace = RootOf(entry.parent->trace);
    ids.parent_id = entry.parent->span_id;
    if (entry.parenthood == Parenthood::kThread) {
      ids.confidence = entry.is_weak ? kWeakConfidence : kThreadConfidence;
    }
  }
  ids.has_remote_parent = !entry.is_client() && !ids.parent_id.IsZero();
  const TraceRef& trace = RootOf(entry.self->trace);
  trace->is_fixed = true;
  ids.trace_id = trace->id;
  ids.span_id = entry.self->span_id;
  return ids;
}

bool Linker::IsUnsampled(const Entry& entry) {
  if (entry.span.context) return entry.is_unsampled();
  return RootOf(entry.parent != nullptr ? entry.parent->trace : entry.self->trace)->is_unsampled;
}

}  // namespace weft::merge
