// The inside of Merge: the window, the tables and the flow of entries through them. One class,
// three sources: state.cc (kernel views in, time), sdk_batches.cc (SDK spans in), output.cc (spans
// out). Private to this room.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
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
  uint64_t opened = 0, merged = 0, dropped = 0;
  uint64_t hits[2] = {};  // by Role
  uint64_t late = 0, edge = 0, ambiguous = 0, unsampled = 0, overflow = 0, forgotten = 0;
  uint64_t emitted = 0, adopted = 0;
};

class Merge::State {
 public:
  State(Options options, Deps deps);

  model::PushResult PushSpans(model::SpanBatch&& batch);
  model::PushResult PushBatch(model::OtlpBatch&& batch);
  void Tick();
  bool Flush();
  void Abandon() { ShedOutbox(0, "shutdown"); }
  model::Sink<model::SpanBatch>& spans() { return span_door_; }
  model::Sink<model::OtlpBatch>& batches() { return batch_door_; }

 private:
  // The two faces that Merge shows.
  class SpanDoor final : public model::Sink<model::SpanBatch> {
   public:
    explicit SpanDoor(State& state) : state_(state) {}
    model::PushResult Push(model::SpanBatch&& batch) override {
      return state_.PushSpans(std::move(batch));
    }

   private:
    State& state_;
  };
  class BatchDoor final : public model::Sink<model::OtlpBatch> {
   public:
    explicit BatchDoor(State& state) : state_(state) {}
    model::PushResult Push(model::OtlpBatch&& batch) override {
      return state_.PushBatch(std::move(batch));
    }

   private:
    State& state_;
  };

  // state.cc
  void OnOpened(model::Span&& span, uint64_t now_ns);
  void OnFinished(model::Span&& span, uint64_t now_ns);
  Entry& Enter(model::Span&& span, uint64_t now_ns);
  void AbsorbLate(Entry& entry, uint64_t now_ns);
  void Settled(Entry& entry);
  void EmitEarly(Entry& entry, uint64_t now_ns);
  void OnUncovered(const std::vector<ProcessState*>& processes);
  void EmitUncovered(uint64_t now_ns);
  bool IsBlocked(const Entry& entry, uint64_t now_ns) const;
  uint64_t PopHeld();
  void Release(uint64_t now_ns);
  void EnforceLimit(uint64_t now_ns);
  void Emit(Entry& entry, uint64_t now_ns);
  void Drop(Entry& entry, uint64_t now_ns);

  // sdk_batches.cc
  void Patch(model::OtlpBatch* batch);
  const base::SpanId* AdoptRoot(const model::SpanRef& span, Entry& entry);
  void Undo(model::OtlpBatch* batch);
  void Commit(const std::vector<model::SpanRef>& spans, ProcessState* sender, uint64_t now_ns);
  void CommitHit(const model::SpanRef& span, Entry& entry, uint64_t now_ns);
  void Remember(const model::SpanRef& span, const ProcessState& sender, uint64_t now_ns);

  // output.cc
  void Send();
  void DrainOutbox();
  void ShedOutbox(size_t limit_bytes, std::string_view reason);
  void CountPass();

  struct Due {
    uint64_t due_ns;
    uint64_t exchange_id;
    const void* place;  // of the entry, which may be gone: only to bring its memory near in time
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
  const bool drops_unsampled_;
  Meters meters_;
  ProcessTable processes_;
  Window window_;
  Linker linker_;
  Matcher matcher_;
  RecentKeys recent_;
  Encoder encoder_;
  std::deque<Due> hold_;              // finished entries in order of time
  std::deque<uint64_t> blocked_;      // held long enough, but their parent is not decided
  std::deque<uint64_t> early_;        // held views of processes that turned out to be uncovered
  std::vector<Entry*> finished_now_;  // in this batch; they are not in `hold_` yet
  size_t next_finished_ = 0;          // of those, for EnforceLimit
  MatchResult match_;
  std::vector<Append> appended_;
  std::vector<Adoption> adoptions_;
  bool was_edited_ = false;
  std::vector<model::SpanRef> pushed_;  // copies of the spans that were hit or not matched
  // What has left the window in this pass; the entries live until it is over.
  std::vector<KernelSpan> ready_;
  std::vector<EntryPtr> dropped_;
  std::deque<Parcel> outbox_;
  size_t outbox_bytes_ = 0;
  Counts counts_;
  SpanDoor span_door_{*this};
  BatchDoor batch_door_{*this};
};

}  // namespace weft::merge
