// Programs: the BPF side as one: it loads and attaches the objects of bpf/, makes the rings and
// reads them. conn.bpf.c comes first and owns the maps; the hook ladder brings the data; further
// objects (uprobes) share the maps by Open.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/segment.h"
#include "sources/ebpf/capture.h"
#include "sources/ebpf/hook_ladder.h"
#include "sources/ebpf/object.h"

namespace weft::sources::ebpf {

// What the kernel side has counted since the load.
struct KernelCounters {
  uint64_t unread_buffers = 0;
  uint64_t short_heads = 0;  // cut for want of room
  // One per drop reason, in the order of DropReasonNames(); the last one is runs of a program that
  // the kernel skipped because it was already running on that CPU.
  std::vector<uint64_t> drops;
};
std::vector<std::string> DropReasonNames();

// Records that were dropped in the kernel when the rings were under pressure, of one cgroup.
struct CgroupDrops {
  uint64_t id = 0;
  // Since the kernel side remembers it; one per reason, without that of skipped runs.
  std::vector<uint64_t> drops;
};

// Threads: one. Owns: everything in the kernel; destruction detaches and frees it.
class Programs {
 public:
  // Loads; what carries the data is attached for a trial. `rungs` gets the outcome of every rung,
  // also where all failed. Fails: with the reason and nothing left behind.
  static base::Result<std::unique_ptr<Programs>> Start(const Options& options,
                                                       std::vector<RungReport>* rungs);
  // Records come from now on. Apart from the start, so that whatever takes long there is done first
  // and no ring runs full meanwhile.
  base::Status Attach();
  void Detach();
  ~Programs();

  // Another object that shares the maps, opened with the same settings and not yet loaded. It must
  // not outlive the Programs.
  base::Result<std::unique_ptr<Object>> Open(ElfBytes bytes) const;
  StateIn state_in() const;

  // Visits records, CPU by CPU: first those in outboxes, then those in rings, of which it takes
  // about `limit_bytes` in all. Returns until when every record has been visited;
  // RingTurns::kAllRead when none was left.
  uint64_t Consume(uint64_t limit_bytes, const std::function<void(base::ByteView)>& visit);
  // How full the fullest outbox was at the last Consume.
  unsigned outbox_percent() const;
  KernelCounters Counters() const;
  std::vector<CgroupDrops> DropsByCgroup() const;
  void SetMessageEnd(model::ConnectionId connection, model::Direction direction, uint64_t position);
  void ClearMessageEnds(model::ConnectionId connection);

 private:
  struct State;
  explicit Programs(std::unique_ptr<State> state);
  base::Result<const Object*> Conn(StateIn state_in);
  base::Status LoadConn(StateIn state_in);
  base::Status MakeRing(uint32_t place, uint64_t bytes);
  void ScaleMaps(Object& object) const;
  std::unique_ptr<State> state_;
};

// The capture itself, then every rung. `outcome` is that of the whole.
std::vector<FeatureReport> DescribeFeatures(const base::Status& outcome,
                                            const std::vector<RungReport>& rungs);

// `wanted` cut so that the rings together stay within 64 MiB; a power of two.
uint64_t RingBytes(uint64_t wanted, unsigned cpus);

}  // namespace weft::sources::ebpf
