#include "merge/window.h"

#include <algorithm>
#include <utility>

#include "merge/sdk/span_facts.h"

namespace weft::merge {
namespace {

// Index nodes and allocator overhead of one entry, roughly.
constexpr size_t kEntryOverhead = 384;
// Contexts of past entries; a few MiB.
constexpr size_t kMaxPast = 16'384;

size_t Index(model::Role role) { return static_cast<size_t>(role); }

}  // namespace

bool Join(const TraceRef& a, const TraceRef& b) {
  TraceRef x = RootOf(a), y = RootOf(b);
  if (x == y) return true;
  if (x->is_fixed && y->is_fixed && x->id != y->id) return false;
  if (!x->is_fixed) std::swap(x, y);
  x->is_unsampled |= y->is_unsampled;
  x->covered += y->covered;
  y->joined = x;
  return true;
}

Window::EndKey Window::EndOf(const Entry& entry) {
  const model::Span& span = entry.span;
  return {span.client, span.request_sequence, span.stream_id,
          span.client.IsLoopback() ? span.netns : 0};
}

ContextKey Window::KeyOf(const Entry& entry) {
  return {entry.span.context->trace_id, entry.span.context->span_id, entry.span.role};
}

Entry& Window::Add(model::Span&& span, ProcessState& process) {
  std::unique_ptr<Entry>& slot = entries_[span.exchange_id];
  slot = std::make_unique<Entry>();
  Entry& entry = *slot;
  entry.span = std::move(span);
  entry.process = &process;
  entry.indexed_at_ns = entry.span.request_first_ns;
  const size_t role = Index(entry.span.role);
  ++process.entries;
  if (entry.span.context) {
    Entry*& head = contexts_[KeyOf(entry)];
    entry.next_same_context = head;
    head = &entry;
    ++with_context_[role];
    ++process.with_context[role];
  } else {
    process.bare[role].Add(entry.span.request_first_ns, &entry,
                           HashRequest(entry.span.method, entry.span.target));
  }
  if (entry.span.client.known()) ends_[EndOf(entry)].by_role[role] = &entry;
  if (!entry.is_client()) EnterThread(entry);
  Measure(entry);
  return entry;
}

Entry* Window::Find(uint64_t exchange_id) {
  auto it = entries_.find(exchange_id);
  return it == entries_.end() ? nullptr : it->second.get();
}

void Window::Measure(Entry& entry) {
  const model::Span& span = entry.span;
  size_t bytes = sizeof(Entry) + kEntryOverhead + span.attributes.bytes() + span.name.capacity() +
                 span.method.capacity() + span.target.capacity();
  if (span.context) bytes += span.context->trace_state.capacity();
  bytes_ += bytes - entry.bytes;
  entry.bytes = bytes;
}

// The indexes were built from kOpened; whatever they are keyed by stays as it was.
void Window::Update(Entry& entry, model::Span&& finished) {
  model::Span& old = entry.span;
  finished.exchange_id = old.exchange_id;
  finished.role = old.role;
  finished.context = std::move(old.context);
  finished.client = old.client;
  finished.netns = old.netns;
  finished.request_sequence = old.request_sequence;
  finished.stream_id = old.stream_id;
  finished.request_first_ns = std::min(old.request_first_ns, finished.request_first_ns);
  finished.thread = old.thread;
  if (finished.process == nullptr) finished.process = std::move(old.process);
  old = std::move(finished);
  Measure(entry);
}

// Requests that wait on one HTTP/1 connection are answered one after the other, whoever reads them.
void Window::EnterThread(Entry& entry) {
  if (entry.span.thread == 0) return;
  auto& open = entry.process->open_by_thread[entry.span.thread];
  for (Entry* earlier : open) {
    const bool is_pipelined =
        entry.span.stream_id == 0 && earlier->span.client == entry.span.client;
    if (earlier->next_on_thread_ns == 0 && !is_pipelined) {
      earlier->next_on_thread_ns = std::max<uint64_t>(entry.span.request_first_ns, 1);
    }
  }
  open.push_back(&entry);
  ++entry.process->open_requests;
}

void Window::Finish(Entry& entry, uint64_t now_ns) {
  // Proof, not suspicion: the end of an earlier response may only have been seen late.
  if (entry.next_on_thread_ns != 0 && entry.next_on_thread_ns < entry.span.response_last_ns) {
    entry.process->multiplexes = true;
  }
  entry.finished_at_ns = std::max<uint64_t>(now_ns, 1);
  LeaveThread(entry);
}

void Window::LeaveThread(Entry& entry) {
  if (entry.is_client()) return;
  auto& threads = entry.process->open_by_thread;
  auto it = threads.find(entry.span.thread);
  if (it == threads.end()) return;
  entry.process->open_requests -= static_cast<uint32_t>(std::erase(it->second, &entry));
  if (it->second.empty()) threads.erase(it);
}

void Window::Unchain(Entry& entry) {
  auto it = contexts_.find(KeyOf(entry));
  if (it == contexts_.end()) return;
  Entry** link = &it->second;
  while (*link != nullptr && *link != &entry) link = &(*link)->next_same_context;
  if (*link != nullptr) *link = entry.next_same_context;
  if (it->second == nullptr) contexts_.erase(it);
}

model::Span Window::Remove(Entry& entry, uint64_t now_ns) {
  ProcessState& process = *entry.process;
  const size_t role = Index(entry.span.role);
  --process.entries;
  if (entry.span.context) {
    Unchain(entry);
    --with_context_[role];
    --process.with_context[role];
    PastKey key{KeyOf(entry), process.key};
    past_[key] = {entry.self, now_ns + past_ns_};
    past_order_.push_back({now_ns + past_ns_, key});
  } else {
    process.bare[role].Remove(entry.indexed_at_ns, &entry);
  }
  if (auto it = ends_.find(EndOf(entry)); it != ends_.end()) {
    Ends& ends = it->second;
    if (ends.by_role[role] == &entry) ends.by_role[role] = nullptr;
    if (ends.by_role[0] == nullptr && ends.by_role[1] == nullptr) ends_.erase(it);
  }
  LeaveThread(entry);
  if (entry.pair != nullptr) entry.pair->pair = nullptr;
  bytes_ -= entry.bytes;
  model::Span span = std::move(entry.span);
  entries_.erase(span.exchange_id);
  return span;
}

Entry* Window::WithContext(const base::TraceId& trace, const base::SpanId& span, model::Role role) {
  auto it = contexts_.find({trace, span, role});
  return it == contexts_.end() ? nullptr : it->second;
}

IdentityRef Window::Past(const ProcessState& process, const model::WireContext& context,
                         model::Role role) const {
  auto it = past_.find({{context.trace_id, context.span_id, role}, process.key});
  return it == past_.end() ? nullptr : it->second.identity;
}

Entry* Window::OtherEnd(const Entry& entry) {
  if (!entry.span.client.known()) return nullptr;
  auto it = ends_.find(EndOf(entry));
  if (it == ends_.end()) return nullptr;
  return it->second.by_role[1 - Index(entry.span.role)];
}

void Window::ForgetPast(uint64_t now_ns) {
  while (!past_order_.empty() &&
         (past_order_.front().due_ns <= now_ns || past_order_.size() > kMaxPast)) {
    const PastDue& oldest = past_order_.front();
    auto it = past_.find(oldest.key);
    if (it != past_.end() && it->second.due_ns == oldest.due_ns) past_.erase(it);
    past_order_.pop_front();
  }
}

}  // namespace weft::merge
