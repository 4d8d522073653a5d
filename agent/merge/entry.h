// The words inside merge: an Entry is one exchange as the kernel sees it from one side; its
// Identity is the ids under which the operation is (or will be) known and outlives the entry, so
// that children find their parent after it was emitted or merged; a Trace is the trace that a chain
// of exchanges without any wire context shares until somebody gives it an id. Private to this room.
#pragma once

#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "merge/containers/pool.h"
#include "merge/containers/time_index.h"
#include "model/span.h"

namespace weft::merge {

struct ProcessState;
struct OpenRequests;

// A set that grows by joining (union-find). It starts with a random id; the first SDK that speaks,
// or the first member that is emitted, fixes it.
struct Trace : Counted<Trace> {
  base::TraceId id;
  bool is_fixed = false;
  bool is_unsampled = false;
  uint32_t covered = 0;  // undecided members whose process may still export
  Ref<Trace> joined;     // not null: ask that one
};
using TraceRef = Ref<Trace>;

inline const TraceRef& RootOf(const TraceRef& trace) {
  const TraceRef* t = &trace;
  while ((*t)->joined != nullptr) t = &(*t)->joined;
  return *t;
}

// Makes both one. False if both are fixed and differ: then nothing is changed.
bool Join(const TraceRef& a, const TraceRef& b);

// How merge keys processes: the start time in steps of 10 ms, because that is all /proc tells, and
// a sender may be known from there while its exchanges are known from the kernel (case F46).
inline model::ProcessKey MergeKey(const model::ProcessKey& key) {
  return {key.pid, key.start_ns / 10'000'000};
}

struct Identity : Counted<Identity> {
  base::SpanId span_id;
  TraceRef trace;
  bool is_decided = false;  // the operation was emitted, merged or dropped
};
using IdentityRef = Ref<Identity>;

// Many entries that carried the same context, as load generators make them, in order of time.
struct Siblings : Counted<Siblings> {
  TimeIndex by_time;
};

enum class Parenthood : uint8_t {
  kNone,       // a root, or what the wire context says
  kThread,     // the only request that was open on the same thread (see Linker::ThreadParent)
  kPair,       // the other end of the same connection
  kForwarded,  // the request that brought the same header
};

struct Entry {
  model::Span span;  // the newest
  IdentityRef self;
  IdentityRef parent;  // what `parenthood` found; null for kNone
  Parenthood parenthood = Parenthood::kNone;
  ProcessState* process = nullptr;
  Entry* pair = nullptr;               // the other end of the connection, while it is in the window
  Entry* next_same_context = nullptr;  // chain of the window's index
  Entry* newer_same_context = nullptr;
  Ref<Siblings> siblings;  // of a long chain
  Entry* older_of_process = nullptr;
  Entry* newer_of_process = nullptr;
  // Server, while it is open: its place among those that the same thread has read.
  OpenRequests* on_thread = nullptr;
  Entry* older_on_thread = nullptr;
  Entry* newer_on_thread = nullptr;
  TraceRef counted;             // where it was added to Trace::covered
  uint64_t finished_at_ns = 0;  // monotonic; 0 while the exchange is open
  uint64_t indexed_at_ns = 0;   // key of ProcessState::bare and Siblings::by_time
  uint64_t end_hash = 0;        // of its place on the connection, the same at both ends
  size_t bytes = 0;
  // Server: when the next request was read on the same thread, of another stream; 0 = not yet.
  uint64_t next_on_thread_ns = 0;
  bool is_weak = false;     // the parent is inferred in a process that multiplexes
  bool is_claimed = false;  // by a span of the batch that is being matched
  // Client: a span has the id S of the wire context. Counts for the whole chain, if it is the head.
  bool id_is_taken = false;
  bool id_is_given_out = false;  // an SDK span was made its child

  bool is_finished() const { return finished_at_ns != 0; }
  bool is_waiting() const { return !self->is_decided; }
  bool is_client() const { return span.role == model::Role::kClient; }
  bool is_unsampled() const { return span.context && (span.context->flags & 1) == 0; }
};

// An entry that has left the window.
struct ReturnEntry {
  Pool<Entry>* pool;
  void operator()(Entry* entry) const { pool->Delete(entry); }
};
using EntryPtr = std::unique_ptr<Entry, ReturnEntry>;

}  // namespace weft::merge
