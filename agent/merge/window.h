// Window: the entries that merge holds, and the indexes by which they are found: exchange id, wire
// context, connection end (client address, port, sequence of the first byte), thread. It also
// remembers the ids of entries that have left, for contexts that are used again. Private to this
// room.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "merge/containers/entry_table.h"
#include "merge/entry.h"
#include "merge/process_table.h"

namespace weft::merge {

struct ContextKey {
  base::TraceId trace_id;
  base::SpanId span_id;
  model::Role role = model::Role::kServer;
  bool operator==(const ContextKey&) const = default;
};
// All of its bytes.
uint64_t HashKey(const SecretHash& hash, const ContextKey& key);

// Threads: one. Owns: its entries, and the memory of all identities and traces; addresses are
// stable until Remove.
class Window {
 public:
  // The last place of every entry with a context is remembered for `past_ns`.
  explicit Window(uint64_t past_ns) : past_ns_(past_ns) {}
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  // For what is known of an exchange beyond its time here.
  IdentityRef NewIdentity() { return IdentityRef::Make(identity_pool_); }
  TraceRef NewTrace() { return TraceRef::Make(trace_pool_); }

  Entry& Add(model::Span&& span, ProcessState& process);
  Entry* Find(uint64_t exchange_id);
  // Find will be asked for it soon.
  void Prefetch(uint64_t exchange_id) const { entries_.Prefetch(HashId(exchange_id)); }
  // Replaces the span of an open entry by the finished one.
  void Update(Entry& entry, model::Span&& finished);
  // Its request is not open any more.
  void Finish(Entry& entry, uint64_t now_ns);
  // Takes it out of every index. Whoever drops it drops its span.
  EntryPtr Remove(Entry& entry, uint64_t now_ns);

  // The chain of entries that carried this context, of every process and fate, newest first; may be
  // null. What its head says of the id counts for all of it, so that nobody has to walk it.
  Entry* WithContext(const base::TraceId& trace, const base::SpanId& span, model::Role role);
  // Those of the chain of `head` (which may be null) that are near to `at_ns` in time. `visit`
  // answers false when what is further away does not matter: a long chain is visited in order and
  // in part, a short one as a whole and in no order.
  template <typename Visit>
  void ForEachNear(Entry* head, uint64_t at_ns, int max_visits, Visit&& visit) const {
    if (head != nullptr && head->siblings != nullptr) {
      head->siblings->by_time.ForEachNear(
          at_ns, max_visits, [&](const TimeIndex::Item& item) { return visit(*item.entry); });
      return;
    }
    for (Entry* e = head; e != nullptr; e = e->next_same_context) visit(*e);
  }
  struct Memory {
    IdentityRef identity;
    uint64_t first_ns = 0;  // of its request
    uint64_t due_ns = 0;
  };
  // The newest past entry of that process with this context; may be null.
  const Memory* Past(const ProcessState& process, const model::WireContext& context,
                     model::Role role) const;
  // The entry of the other role at the same connection with the same first byte; null if none.
  Entry* OtherEnd(const Entry& entry);

  template <typename Visit>
  void ForEach(Visit&& visit) {
    entries_.ForEach(visit);
  }

  void ForgetPast(uint64_t now_ns);
  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }
  bool has_context(model::Role role) const { return with_context_[static_cast<int>(role)] != 0; }

 private:
  struct PastKey {
    ContextKey context;
    model::ProcessKey process;
    bool operator==(const PastKey&) const = default;
  };
  struct PastKeyHash {
    SecretHash hash;
    size_t operator()(const PastKey& k) const {
      return hash(HashKey(hash, k.context) ^ k.process.pid, k.process.start_ns);
    }
  };

  // A batch of views and a little more; a flood gives its memory back.
  static constexpr size_t kMaxFree = 1024;

  static ContextKey KeyOf(const Entry& entry);
  // Four that were opened one after the other share a cache line.
  uint64_t HashId(uint64_t exchange_id) const {
    return (hash_(exchange_id / 4, 0) & ~uint64_t{3}) | (exchange_id & 3);
  }
  uint64_t HashEnd(const Entry& entry) const;
  EntryTable::Slot* FindContext(const base::TraceId& trace, const base::SpanId& span,
                                model::Role role);
  // The entry of that role at the same end as `entry`.
  EntryTable::Slot* FindEnd(const Entry& entry, model::Role role);
  void EnterEnd(Entry& entry);
  void Measure(Entry& entry);
  void Chain(Entry& entry, Entry& head);
  void Unchain(Entry& entry);
  static void EnterThread(Entry& entry);
  static void LeaveThread(Entry& entry);

  const uint64_t past_ns_;
  const SecretHash hash_;
  // Before everything that holds what they made.
  Pool<Trace> trace_pool_{kMaxFree};
  Pool<Identity> identity_pool_{kMaxFree};
  Pool<Siblings> siblings_pool_{16};
  Pool<Entry> entry_pool_{kMaxFree};
  EntryTable entries_;   // by exchange id
  EntryTable contexts_;  // the heads of chains, by wire context and role
  EntryTable ends_;      // by connection end and role
  std::unordered_map<PastKey, Memory, PastKeyHash> past_{0, PastKeyHash{hash_}};
  struct PastDue {
    uint64_t due_ns;
    PastKey key;
  };
  std::deque<PastDue> past_order_;
  size_t bytes_ = 0;
  size_t with_context_[2] = {};
};

}  // namespace weft::merge
