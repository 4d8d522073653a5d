// The inside of Merge: the window, the tables and the flow of entries through them. One class,
// three sources: state.cc (kernel views in, time), sdk_batches.cc (SDK spans in), output.cc (spans
// out). Private to this room.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "merge/encoder.h"
#include "merge/linker.h"
#include "merge/matcher.h"
#include "merge/merge.h"
#include "merge/process_table.h"
#include "merge/recent_keys.h"
#include "merge/window.h"

namespace weft::merge {

// What happened since the last CountPass.
struct Counts {
  uint64_t opened = 0, merged = 0;
  uint64_t hits[2] = {};  // by Role
  uint64_t late = 0, edge = 0, ambiguous = 0, unsampled = 0, overflow = 0, forgotten = 0;
  uint64_t emitted = 0, adopted = 0;
  uint64_t delivered = 0, shed = 0;  // emitted spans that the next stage took, or never will
  uint64_t passed = 0;               // SDK spans
};

class Merge::State {
 public:
  State(Options options, Deps deps);
  ~State();

  model::Sink<model::SpanBatch>& spans();
  model::Sink<model::OtlpBatch>& batches();

  model::PushResult PushSpans(model::SpanBatch&& batch);
  model::PushResult PushBatch(model::OtlpBatch&& batch);
  void Tick();
  bool Flush();

 private:
  class SpanDoor;
  class BatchDoor;

  // state.cc
  void OnOpened(model::Span&& span, uint64_t now_ns);
  void OnFinished(model::Span&& span, uint64_t now_ns);
  Entry& Enter(model::Span&& span, uint64_t now_ns);
  void AbsorbLate(Entry& entry, uint64_t now_ns);
  void Settled(Entry& entry);
  void OnUncovered();
  bool IsBlocked(const Entry& entry, uint64_t now_ns) const;
  void SettleFinished(uint64_t now_ns);
  bool EmitOldest(uint64_t now_ns);
  void EmitOrDrop(Entry& entry, uint64_t now_ns);
  void Release(uint64_t now_ns);
  void EnforceLimit(uint64_t now_ns);
  void Emit(Entry& entry, uint64_t now_ns);
  void Drop(Entry& entry, uint64_t now_ns);

  // sdk_batches.cc
  void Patch(model::OtlpBatch* batch);
  const base::SpanId* AdoptRoot(const model::SpanRef& span, Entry& entry);
  void Undo(model::OtlpBatch* batch);
  void Commit(ProcessState* sender, uint64_t now_ns);
  void CommitHit(const model::SpanRef& span, Entry& entry, uint64_t now_ns);
  void Remember(const model::SpanRef& span, const ProcessState& sender, uint64_t now_ns);

  // output.cc
  void Send();
  void DrainOutbox();
  void CountPass();

  struct Due {
    uint64_t due_ns;
    uint64_t exchange_id;
  };
  // What Patch changed, in order.
  struct Append {
    uint32_t span;
    size_t old_size;  // of the string that was there before; 0 = there was none
  };
  struct Adoption {
    TraceRef trace;
    base::TraceId old_id;
    bool was_fixed;
    Entry* client;
  };
  struct Parcel {
    model::OtlpBatch batch;
    uint64_t spans;
    size_t bytes;
  };
  struct Meters {
    base::LedgerRow &exchanges, &sdk_spans;
    base::Metric *hits[2], *late, *edge, *ambiguous, *unsampled, *overflow, *forgotten, *emitted,
        *adopted, *held, *held_bytes, *uncovered, *processes;
    explicit Meters(Deps& deps);
  };

  const Options options_;
  Deps deps_;
  const uint64_t hold_ns_;
  const size_t max_bytes_;
  Meters meters_;
  ProcessTable processes_;
  Window window_;
  Linker linker_;
  Matcher matcher_;
  RecentKeys recent_;
  Encoder encoder_;
  std::deque<Due> hold_;          // finished entries in order of time
  std::deque<uint64_t> blocked_;  // held long enough, but their parent is not decided
  std::vector<uint64_t> finished_now_;
  MatchResult match_;
  std::vector<Append> appended_;
  std::vector<Adoption> adoptions_;
  bool was_edited_ = false;
  std::vector<model::SpanRef> pushed_;  // copies: of match_.hits, then of match_.unmatched
  std::vector<KernelSpan> ready_;
  std::deque<Parcel> outbox_;
  size_t outbox_bytes_ = 0;
  Counts counts_;
  int64_t waiting_ = 0;       // entries in the window that are not decided
  int64_t outbox_spans_ = 0;  // emitted, not taken yet; those of ready_ included
  int64_t reported_held_ = 0;
  std::unique_ptr<SpanDoor> span_door_;
  std::unique_ptr<BatchDoor> batch_door_;
};

}  // namespace weft::merge
