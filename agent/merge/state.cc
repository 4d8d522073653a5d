#include "merge/state.h"

#include <algorithm>
#include <utility>

namespace weft::merge {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
// A little longer than the drain of the kernel's rings takes under load.
constexpr uint64_t kRememberNs = 2 * kSecondNs;
// How many hold windows a parent that is still open may delay its children.
constexpr uint64_t kMaxParentWindows = 10;
// About 10 ms of work.
constexpr size_t kMaxEarlyPerTick = 4096;
constexpr size_t kMaxProcesses = 16'384;
// SDK clocks and kernel stamps differ by this much at most.
constexpr uint64_t kSlackNs = 2'000'000;

uint64_t HoldNs(const Options& options) {
  return static_cast<uint64_t>(std::max<int64_t>(options.hold_seconds, 0)) * kSecondNs;
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {
      "merge",
      {{"hold_seconds", &options.hold_seconds,
        "seconds that a request seen by the kernel waits for the SDK's span of it", 0, 600},
       {"hold_max_bytes", &options.hold_max_bytes,
        "bytes of waiting requests; over it the oldest is emitted early", 1 << 16, 1ll << 40},
       {"remembered_keys", &options.remembered_keys,
        "SDK spans remembered for 2 s so that a late kernel view is no second span", 4, 1 << 24},
       {"unsampled",
        &options.unsampled,
        "requests whose trace context says \"not sampled\"",
        0,
        INT64_MAX,
        {"drop", "keep"}}}};
}

Merge::State::State(Options options, Deps deps)
    : options_(std::move(options)),
      deps_(std::move(deps)),
      hold_ns_(HoldNs(options_)),
      max_bytes_(static_cast<size_t>(options_.hold_max_bytes)),
      drops_unsampled_(options_.unsampled == "drop"),
      meters_(deps_),
      processes_(hold_ns_, kMaxProcesses),
      window_(2 * hold_ns_ + kRememberNs),
      linker_(window_, processes_),
      matcher_(window_),
      recent_(static_cast<size_t>(options_.remembered_keys), kRememberNs),
      encoder_(deps_.resource, deps_.version) {}

model::PushResult Merge::State::PushSpans(model::SpanBatch&& batch) {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  for (model::Span& span : batch.items) {
    if (span.phase == model::SpanPhase::kOpened) {
      OnOpened(std::move(span), now_ns);
    } else {
      OnFinished(std::move(span), now_ns);
    }
  }
  // Only now: both ends of a connection often finish in one batch, and their times are one story.
  for (Entry* entry : finished_now_) {
    Entry* pair = entry->pair;
    EmitEarly(*entry, now_ns);
    if (pair != nullptr) EmitEarly(*pair, now_ns);
    if (entry->is_waiting()) hold_.push_back({now_ns + hold_ns_, entry->span.exchange_id, entry});
  }
  finished_now_.clear();
  next_finished_ = 0;
  EnforceLimit(now_ns);
  Send();
  CountPass();
  return model::PushResult::kTaken;
}

void Merge::State::OnOpened(model::Span&& span, uint64_t now_ns) {
  // Beyond twice the limit nothing but open exchanges is held: their ends will have to do.
  if (window_.bytes() > 2 * max_bytes_ || window_.Find(span.exchange_id) != nullptr) return;
  Enter(std::move(span), now_ns);
  if (window_.bytes() > max_bytes_) EnforceLimit(now_ns);
}

Entry& Merge::State::Enter(model::Span&& span, uint64_t now_ns) {
  // Without a process nothing can be joined, so that each such exchange is a process of its own.
  const model::ProcessKey key =
      span.process ? MergeKey(span.process->key) : model::ProcessKey{0, span.exchange_id};
  ProcessState& process = processes_.Get(key);
  process.had_entries = true;
  Entry& entry = window_.Add(std::move(span), process);
  linker_.OnOpened(entry);
  ++counts_.opened;
  if (entry.span.context) AbsorbLate(entry, now_ns);
  return entry;
}

// The SDK's span has gone out already: this is no second one.
void Merge::State::AbsorbLate(Entry& entry, uint64_t now_ns) {
  const model::WireContext& context = *entry.span.context;
  RecentKeys::Slot* slot = recent_.Find({context.trace_id, context.span_id, entry.span.role},
                                        entry.process->key, now_ns);
  if (slot == nullptr) return;
  entry.id_is_taken = entry.is_client();
  if (slot->is_used || entry.span.request_first_ns > slot->end_ns + kSlackNs) return;
  slot->is_used = true;
  entry.self->span_id = slot->span_id;
  ++counts_.late;
  ++counts_.merged;
  Settled(entry);
}

void Merge::State::OnFinished(model::Span&& span, uint64_t now_ns) {
  Entry* entry = window_.Find(span.exchange_id);
  if (entry == nullptr) {
    entry = &Enter(std::move(span), now_ns);
  } else {
    window_.Update(*entry, std::move(span));
  }
  window_.Finish(*entry, now_ns);
  processes_.OnFinished(*entry->process, now_ns);
  Linker::Clamp(*entry);
  if (!entry->is_waiting()) {
    window_.Remove(*entry, now_ns);
    return;
  }
  finished_now_.push_back(entry);
}

// Its fate is known: nobody waits for it any more.
void Merge::State::Settled(Entry& entry) {
  entry.self->is_decided = true;
  if (entry.counted == nullptr) return;
  --RootOf(entry.counted)->covered;
  entry.counted.reset();
}

// Emits a finished view that no SDK will claim.
void Merge::State::EmitEarly(Entry& entry, uint64_t now_ns) {
  if (!entry.is_finished() || !entry.is_waiting()) return;
  if (drops_unsampled_ && Linker::IsUnsampled(entry)) {
    Drop(entry, now_ns);
    return;
  }
  // Nobody records what is not sampled, so nobody has to be waited for either.
  if (!entry.process->is_uncovered() && !entry.is_unsampled()) return;
  if (RootOf(entry.self->trace)->covered > (entry.counted ? 1u : 0u)) return;
  if (const Entry* pair = entry.pair) {
    if (!pair->is_finished()) return;
    if (!pair->process->is_uncovered() && !entry.is_unsampled()) return;
  }
  Emit(entry, now_ns);
}

void Merge::State::Tick() {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  OnUncovered(processes_.Tick(now_ns));
  EmitUncovered(now_ns);
  window_.ForgetPast(now_ns);
  Release(now_ns);
  Send();
  CountPass();
}

// What was held for an SDK that does not exist goes out.
void Merge::State::OnUncovered(const std::vector<ProcessState*>& processes) {
  std::vector<uint64_t> ids;
  for (const ProcessState* process : processes) {
    for (Entry* entry = process->newest; entry != nullptr; entry = entry->older_of_process) {
      if (entry->counted != nullptr) {
        --RootOf(entry->counted)->covered;
        entry->counted.reset();
      }
      if (entry->is_finished()) ids.push_back(entry->span.exchange_id);
    }
  }
  std::sort(ids.begin(), ids.end());
  early_.insert(early_.end(), ids.begin(), ids.end());
}

// In slices: tens of thousands of views may have been held, and the kernel's rings fill meanwhile.
void Merge::State::EmitUncovered(uint64_t now_ns) {
  for (size_t n = 0; n < kMaxEarlyPerTick && !early_.empty(); ++n) {
    Entry* entry = window_.Find(early_.front());
    early_.pop_front();
    if (entry == nullptr) continue;
    Entry* pair = entry->pair;
    EmitEarly(*entry, now_ns);
    if (pair != nullptr) EmitEarly(*pair, now_ns);
  }
}

bool Merge::State::IsBlocked(const Entry& entry, uint64_t now_ns) const {
  return entry.parent != nullptr && !entry.parent->is_decided &&
         now_ns < entry.finished_at_ns + kMaxParentWindows * hold_ns_;
}

// The oldest of the held, whose memory has not been touched for seconds. What comes next is known,
// so that its memory is under way meanwhile.
uint64_t Merge::State::PopHeld() {
  constexpr size_t kAhead = 8, kLine = 64;
  if (hold_.size() > kAhead) {
    const Due& later = hold_[kAhead];
    const auto* place = static_cast<const char*>(later.place);
    for (size_t at = 0; at < sizeof(Entry); at += kLine) __builtin_prefetch(place + at);
    window_.Prefetch(later.exchange_id);
  }
  const uint64_t id = hold_.front().exchange_id;
  hold_.pop_front();
  return id;
}

void Merge::State::Release(uint64_t now_ns) {
  for (; !hold_.empty() && hold_.front().due_ns <= now_ns; hold_.pop_front()) {
    blocked_.push_back(hold_.front().exchange_id);
  }
  // Once more for those whose parent stood behind them.
  for (bool again = true; again;) {
    again = false;
    std::deque<uint64_t> still;
    for (uint64_t id : blocked_) {
      Entry* entry = window_.Find(id);
      if (entry == nullptr || !entry->is_waiting()) continue;
      if (IsBlocked(*entry, now_ns)) {
        still.push_back(id);
        continue;
      }
      Emit(*entry, now_ns);
      again = true;
    }
    blocked_ = std::move(still);
    again = again && !blocked_.empty();
  }
}

void Merge::State::EnforceLimit(uint64_t now_ns) {
  while (window_.bytes() > max_bytes_) {
    Entry* entry;
    if (!blocked_.empty()) {
      entry = window_.Find(blocked_.front());
      blocked_.pop_front();
    } else if (!hold_.empty()) {
      entry = window_.Find(PopHeld());
    } else if (next_finished_ != finished_now_.size()) {
      entry = finished_now_[next_finished_++];  // in the middle of a batch
    } else {
      return;
    }
    if (entry == nullptr || !entry->is_waiting()) continue;
    ++counts_.overflow;
    Emit(*entry, now_ns);
  }
}

void Merge::State::Emit(Entry& entry, uint64_t now_ns) {
  if (drops_unsampled_ && Linker::IsUnsampled(entry)) {
    Drop(entry, now_ns);
    return;
  }
  const Ids ids = linker_.Settle(entry);
  Settled(entry);
  ready_.push_back({window_.Remove(entry, now_ns), ids});
}

void Merge::State::Drop(Entry& entry, uint64_t now_ns) {
  ++counts_.unsampled;
  Settled(entry);
  dropped_.push_back(window_.Remove(entry, now_ns));
}

bool Merge::State::Flush() {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  std::vector<uint64_t> ids;
  window_.ForEach([&](Entry& entry) { ids.push_back(entry.span.exchange_id); });
  std::sort(ids.begin(), ids.end());
  for (uint64_t id : ids) {
    Entry& entry = *window_.Find(id);
    if (entry.is_waiting()) {
      Emit(entry, now_ns);
    } else {
      window_.Remove(entry, now_ns);
    }
  }
  hold_.clear();
  blocked_.clear();
  early_.clear();
  Send();
  CountPass();
  return outbox_.empty();
}

Merge::Merge(Options options, Deps deps)
    : state_(std::make_unique<State>(std::move(options), std::move(deps))) {}
Merge::~Merge() = default;

model::Sink<model::SpanBatch>& Merge::spans() { return state_->spans(); }
model::Sink<model::OtlpBatch>& Merge::batches() { return state_->batches(); }
void Merge::Tick() { state_->Tick(); }
bool Merge::Flush() { return state_->Flush(); }
void Merge::Abandon() { state_->Abandon(); }

}  // namespace weft::merge
