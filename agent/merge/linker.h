// Linker: whose child a kernel view is, and under which ids it is known. What the wire says always
// wins; beyond it only two things are certain enough here: the other end of the same connection,
// and the only request that was open on the calling thread, until its response has gone out. In a
// process that multiplexes it must be the only one of the whole process. Ids are settled at
// emission, because a parent may become an SDK's span until then. Private to this room.
#pragma once

#include "base/ids.h"
#include "merge/window.h"

namespace weft::merge {

struct Ids {
  base::TraceId trace_id;
  base::SpanId span_id, parent_id;
  bool has_remote_parent = false;
  double confidence = 0;  // in the parent, if it is inferred; else 0
};

// Threads: one. `window` outlives it.
class Linker {
 public:
  Linker(Window& window, ProcessTable& processes) : window_(window), processes_(processes) {}

  // Gives a new entry its identity, its parent and its other end.
  void OnOpened(Entry& entry);
  // Times of both ends of a connection contain each other, although each is taken after its call.
  static void Clamp(Entry& entry);
  // The ids as they are now. They are then used: the trace is fixed.
  Ids Settle(Entry& entry);
  // Whether the context, or that of the trace it belongs to, says that nobody records.
  static bool IsUnsampled(const Entry& entry);

 private:
  IdentityRef NewIdentity(const Entry& entry);
  void OpenClient(Entry& entry);
  void SetParent(Entry& entry, const IdentityRef& parent, Parenthood parenthood);
  IdentityRef ThreadParent(const Entry& entry) const;
  IdentityRef Forwarded(const Entry& entry) const;
  void LinkEnds(Entry& entry);
  bool IsTaken(const Entry& entry) const;
  void SettleClient(Entry& entry, Ids* ids);

  Window& window_;
  ProcessTable& processes_;
};

}  // namespace weft::merge
