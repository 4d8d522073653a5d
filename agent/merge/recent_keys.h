// RecentKeys: the ids of SDK spans that have passed without a kernel view, for the short time in
// which one may still come. A table of fixed size, four places a bucket; the oldest of a full
// bucket makes room and is counted. Private to this room.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "merge/window.h"
#include "model/process.h"

namespace weft::merge {

// Threads: one. Cost: one cache line or two a call; the memory is taken at the first Remember.
class RecentKeys {
 public:
  struct Slot {
    ContextKey context;  // client: the span's own id; server: its parent's
    model::ProcessKey process;
    base::SpanId span_id;  // of the SDK span
    uint64_t end_ns = 0;   // of the SDK span, Unix
    uint64_t due_ns = 0;   // 0 = empty
    bool is_used = false;  // a kernel view was absorbed
  };

  RecentKeys(size_t keys, uint64_t lifetime_ns)
      : buckets_(std::bit_ceil(std::max<size_t>(keys / kWays, 1))), lifetime_ns_(lifetime_ns) {}

  // True if a key that was still alive had to go.
  bool Remember(const ContextKey& context, const model::ProcessKey& process,
                const base::SpanId& span_id, uint64_t end_ns, uint64_t now_ns) {
    if (slots_.empty()) slots_.resize(buckets_ * kWays);
    Slot* bucket = Bucket(context);
    Slot* oldest = std::min_element(
        bucket, bucket + kWays, [](const Slot& a, const Slot& b) { return a.due_ns < b.due_ns; });
    const bool evicts = oldest->due_ns > now_ns;
    *oldest = {context, process, span_id, end_ns, now_ns + lifetime_ns_, false};
    return evicts;
  }
  // One that absorbed nothing yet if there is one; null if none is alive.
  Slot* Find(const ContextKey& context, const model::ProcessKey& process, uint64_t now_ns) {
    if (slots_.empty()) return nullptr;
    Slot* bucket = Bucket(context);
    Slot* found = nullptr;
    for (Slot* slot = bucket; slot != bucket + kWays; ++slot) {
      if (slot->due_ns <= now_ns || slot->context != context || slot->process != process) continue;
      if (found == nullptr || found->is_used) found = slot;
    }
    return found;
  }

 private:
  static constexpr size_t kWays = 4;
  Slot* Bucket(const ContextKey& context) {
    return &slots_[(HashKey(hash_, context) & (buckets_ - 1)) * kWays];
  }

  const size_t buckets_;
  const uint64_t lifetime_ns_;
  const SecretHash hash_;
  std::vector<Slot> slots_;
};

}  // namespace weft::merge
