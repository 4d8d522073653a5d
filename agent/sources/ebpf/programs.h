// Programs: the BPF side as one object: it loads and attaches the programs of bpf/, makes the
// rings, and is the only file that knows libbpf. Which kernel hook carries the data is decided here
// (the hook ladder) and nowhere else; this version has one rung.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "model/segment.h"
#include "sources/ebpf/capture.h"

namespace weft::sources::ebpf {

// What the kernel side has counted since the load.
struct KernelCounters {
  uint64_t records = 0, unread_buffers = 0;
  // One per drop reason, in the order of DropReasonNames(); the last one is runs of a program that
  // the kernel skipped because it was already running on that CPU.
  std::vector<uint64_t> drops;
};
std::vector<std::string> DropReasonNames();

// Threads: one. Owns: everything in the kernel; destruction detaches and frees it.
// Order: Load Attach? (Consume | …)*.
class Programs {
 public:
  // Fails: with the reason and nothing left behind.
  static base::Result<std::unique_ptr<Programs>> Load(uint32_t head_bytes, uint64_t ring_bytes);
  base::Status Attach();
  void Detach();
  ~Programs();

  // Visits every record that lies in the rings, ring by ring. Stops at `limit_bytes`.
  void Consume(uint64_t limit_bytes, const std::function<void(base::ByteView)>& visit);
  KernelCounters Counters() const;
  void SetMessageEnd(model::ConnectionId connection, model::Direction direction, uint64_t position);
  void ClearMessageEnds(model::ConnectionId connection);

 private:
  struct State;
  explicit Programs(std::unique_ptr<State> state);
  base::Status MakeRings(uint64_t ring_bytes);
  std::unique_ptr<State> state_;
};

// `data_hook` is the outcome of the one rung that is built.
std::vector<FeatureReport> DescribeFeatures(const base::Status& data_hook);

// `wanted` cut so that all rings together stay within 64 MiB; a power of two.
uint64_t RingBytes(uint64_t wanted, unsigned cpus);

}  // namespace weft::sources::ebpf
