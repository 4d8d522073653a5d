#include "merge/window.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "merge/sdk/span_facts.h"

namespace weft::merge {
namespace {

// Index nodes and allocator overhead of one entry, roughly.
constexpr size_t kEntryOverhead = 384;
// Contexts of past entries; a few MiB.
constexpr size_t kMaxPast = 16'384;

// Entries of one context that are looked through one after the other.
constexpr size_t kMaxShortChain = 8;

// Threads whose lists are kept for their next request, per process.
constexpr size_t kMaxIdleThreads = 8;

size_t Index(model::Role role) { return static_cast<size_t>(role); }

uint64_t Word(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

// Loopback addresses exist in every network namespace.
uint64_t NetnsOf(const model::Span& span) { return span.client.IsLoopback() ? span.netns : 0; }

bool SameEnd(const model::Span& a, const model::Span& b) {
  return a.request_sequence == b.request_sequence && a.stream_id == b.stream_id &&
         a.client == b.client && NetnsOf(a) == NetnsOf(b);
}

}  // namespace

SecretHash::SecretHash() {
  std::random_device random;
  first_ = uint64_t{random()} << 32 | random();
  second_ = uint64_t{random()} << 32 | random();
}

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

Window::~Window() {
  entries_.ForEach([this](Entry& entry) { entry_pool_.Delete(&entry); });
}

uint64_t HashKey(const SecretHash& hash, const ContextKey& key) {
  const uint8_t* trace = key.trace_id.bytes.data();
  return hash(hash(Word(trace), Word(trace + 8)), Word(key.span_id.bytes.data()) + Index(key.role));
}

uint64_t Window::HashEnd(const Entry& entry) const {
  const model::Span& span = entry.span;
  const uint8_t* address = span.client.address.data();
  const uint64_t client = hash_(Word(address) + span.client.port, Word(address + 8));
  const uint64_t place = uint64_t{span.stream_id} << 32 | span.request_sequence;
  return hash_(client ^ NetnsOf(span), place);
}

ContextKey Window::KeyOf(const Entry& entry) {
  return {entry.span.context->trace_id, entry.span.context->span_id, entry.span.role};
}

Entry& Window::Add(model::Span&& span, ProcessState& process) {
  Entry& entry = *entry_pool_.New();
  entry.span = std::move(span);
  entries_.Insert(HashId(entry.span.exchange_id), &entry);
  entry.process = &process;
  entry.indexed_at_ns = entry.span.request_first_ns;
  const model::Role role = entry.span.role;
  ++process.entries;
  entry.older_of_process = std::exchange(process.newest, &entry);
  if (entry.older_of_process != nullptr) entry.older_of_process->newer_of_process = &entry;
  if (const auto& context = entry.span.context) {
    if (EntryTable::Slot* head = FindContext(context->trace_id, context->span_id, role)) {
      Chain(entry, *std::exchange(head->entry, &entry));
    } else {
      contexts_.Insert(HashKey(hash_, KeyOf(entry)), &entry);
    }
    ++with_context_[Index(role)];
    ++process.with_context[Index(role)];
  } else {
    process.bare[Index(role)].Add(entry.span.request_first_ns, &entry,
                                  HashRequest(entry.span.method, entry.span.target));
  }
  if (entry.span.client.known()) EnterEnd(entry);
  if (!entry.is_client()) EnterThread(entry);
  Measure(entry);
  return entry;
}

// The newest one with the same key is found.
void Window::EnterEnd(Entry& entry) {
  entry.end_hash = HashEnd(entry);
  if (EntryTable::Slot* slot = FindEnd(entry, entry.span.role)) {
    slot->entry = &entry;
  } else {
    ends_.Insert(entry.end_hash, &entry);
  }
}

Entry* Window::Find(uint64_t exchange_id) {
  EntryTable::Slot* slot = entries_.Find(HashId(exchange_id), [exchange_id](const Entry& entry) {
    return entry.span.exchange_id == exchange_id;
  });
  return slot == nullptr ? nullptr : slot->entry;
}

EntryTable::Slot* Window::FindContext(const base::TraceId& trace, const base::SpanId& span,
                                      model::Role role) {
  return contexts_.Find(HashKey(hash_, {trace, span, role}), [&](const Entry& entry) {
    return entry.span.role == role && entry.span.context->span_id == span &&
           entry.span.context->trace_id == trace;
  });
}

EntryTable::Slot* Window::FindEnd(const Entry& entry, model::Role role) {
  return ends_.Find(entry.end_hash, [&](const Entry& other) {
    return other.span.role == role && SameEnd(other.span, entry.span);
  });
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
  OpenRequests& open = entry.process->open_by_thread[entry.span.thread];
  // Older ones than one that has been followed have been followed too.
  for (Entry* earlier = open.newest; earlier != nullptr && earlier->next_on_thread_ns == 0;
       earlier = earlier->older_on_thread) {
    const bool is_pipelined =
        entry.span.stream_id == 0 && earlier->span.client == entry.span.client;
    if (is_pipelined) break;  // and so are all before it that have not been followed
    earlier->next_on_thread_ns = std::max<uint64_t>(entry.span.request_first_ns, 1);
  }
  entry.on_thread = &open;
  entry.older_on_thread = open.newest;
  if (open.newest != nullptr) open.newest->newer_on_thread = &entry;
  open.newest = &entry;
  ++open.count;
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
  OpenRequests* open = std::exchange(entry.on_thread, nullptr);
  if (open == nullptr) return;
  Entry *older = entry.older_on_thread, *newer = entry.newer_on_thread;
  if (older != nullptr) older->newer_on_thread = newer;
  (newer != nullptr ? newer->older_on_thread : open->newest) = older;
  --entry.process->open_requests;
  auto& threads = entry.process->open_by_thread;
  if (--open->count == 0 && threads.size() > kMaxIdleThreads) threads.erase(entry.span.thread);
}

void Window::Chain(Entry& entry, Entry& head) {
  head.newer_same_context = &entry;
  entry.next_same_context = &head;
  entry.id_is_taken = head.id_is_taken;
  entry.siblings = head.siblings;
  if (entry.siblings != nullptr) {
    entry.siblings->by_time.Add(entry.indexed_at_ns, &entry, 0);
    return;
  }
  size_t length = 0;
  for (Entry* e = &entry; e != nullptr; e = e->next_same_context) ++length;
  if (length <= kMaxShortChain) return;
  const auto siblings = Ref<Siblings>::Make(siblings_pool_);
  for (Entry* e = &entry; e != nullptr; e = e->next_same_context) {
    siblings->by_time.Add(e->indexed_at_ns, e, 0);
    e->siblings = siblings;
  }
}

// In constant time: load generators send thousands of requests with one and the same context.
void Window::Unchain(Entry& entry) {
  Entry *older = entry.next_same_context, *newer = entry.newer_same_context;
  if (entry.siblings != nullptr) entry.siblings->by_time.Remove(entry.indexed_at_ns, &entry);
  if (older != nullptr) older->newer_same_context = newer;
  if (newer != nullptr) {
    newer->next_same_context = older;
    return;
  }
  const model::WireContext& context = *entry.span.context;
  EntryTable::Slot* head = FindContext(context.trace_id, context.span_id, entry.span.role);
  if (older != nullptr) {
    older->id_is_taken |= entry.id_is_taken;
    head->entry = older;
  } else {
    contexts_.Erase(head);
  }
}

EntryPtr Window::Remove(Entry& entry, uint64_t now_ns) {
  ProcessState& process = *entry.process;
  const size_t role = Index(entry.span.role);
  --process.entries;
  Entry *older = entry.older_of_process, *newer = entry.newer_of_process;
  if (older != nullptr) older->newer_of_process = newer;
  (newer != nullptr ? newer->older_of_process : process.newest) = older;
  if (entry.span.context) {
    Unchain(entry);
    --with_context_[role];
    --process.with_context[role];
    PastKey key{KeyOf(entry), process.key};
    past_[key] = {entry.self, entry.span.request_first_ns, now_ns + past_ns_};
    past_order_.push_back({now_ns + past_ns_, key});
  } else {
    process.bare[role].Remove(entry.indexed_at_ns, &entry);
  }
  const auto is_entry = [&entry](const Entry& e) { return &e == &entry; };
  if (EntryTable::Slot* slot = ends_.Find(entry.end_hash, is_entry)) ends_.Erase(slot);
  LeaveThread(entry);
  if (entry.pair != nullptr) std::exchange(entry.pair, nullptr)->pair = nullptr;
  bytes_ -= entry.bytes;
  entries_.Erase(entries_.Find(HashId(entry.span.exchange_id), is_entry));
  return EntryPtr(&entry, {&entry_pool_});
}

Entry* Window::WithContext(const base::TraceId& trace, const base::SpanId& span, model::Role role) {
  EntryTable::Slot* slot = FindContext(trace, span, role);
  return slot == nullptr ? nullptr : slot->entry;
}

const Window::Memory* Window::Past(const ProcessState& process, const model::WireContext& context,
                                   model::Role role) const {
  auto it = past_.find({{context.trace_id, context.span_id, role}, process.key});
  return it == past_.end() ? nullptr : &it->second;
}

Entry* Window::OtherEnd(const Entry& entry) {
  if (!entry.span.client.known()) return nullptr;
  const bool is_client = entry.is_client();
  EntryTable::Slot* slot = FindEnd(entry, is_client ? model::Role::kServer : model::Role::kClient);
  return slot == nullptr ? nullptr : slot->entry;
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
