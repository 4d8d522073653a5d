// ProcPeers: whose socket is at the other end, when there is no eBPF to ask: /proc/net/{tcp,udp}*
// gives the inode of the socket with that local address, /proc/PID/fd its owner. Sees weft's own
// network namespace only. Looking through the descriptors of all processes can take long, so it is
// done in steps, between which the data thread does its work.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "model/lookup.h"

namespace weft::workload {

struct ProcPeersOptions {
  std::string proc_root = "/proc";
};

// Threads: one. Cost: a hash hit for peers that are known or known to be elsewhere; for others a
// step of about kStepNs, or as long as the kernel takes to write its tables, and then none for 50
// times as long, so that at most 2 % of the time goes into it. A peer stays unknown meanwhile.
class ProcPeers final : public model::PeerLookup {
 public:
  static constexpr uint64_t kStepNs = 2'000'000;
  static constexpr uint64_t kAbsentNs = 10'000'000'000;  // that an answer of "not here" is good for
  static constexpr size_t kMaxAbsent = 4096;

  // `processes` must outlive this.
  ProcPeers(ProcPeersOptions options, model::WorkloadLookup& processes, const base::Clock& clock);

  model::ProcessRef TcpPeer(const model::Endpoint& peer) override { return Find(tcp_, peer); }
  model::ProcessRef UdpPeer(const model::Endpoint& peer) override { return Find(udp_, peer); }

 private:
  struct Table {
    std::unordered_map<model::Endpoint, uint64_t, model::EndpointHash> inodes;  // by local address
    std::unordered_map<model::Endpoint, uint64_t, model::EndpointHash> absent;  // until when
  };

  model::ProcessRef Find(Table& table, const model::Endpoint& peer);
  // The socket's; 0: there is none.
  uint64_t InodeOf(const Table& table, const model::Endpoint& peer) const;
  // A step of the search. Returns the pid, 0 when it is not known (yet).
  uint32_t Search(Table& table, const model::Endpoint& peer, uint64_t now_ns);
  void ReadTables(uint64_t now_ns);
  void ReadTable(const char* name, Table* table);
  void StartScan();
  void ScanProcess(uint32_t pid);
  bool IsAbsent(const Table& table, const model::Endpoint& peer, uint64_t now_ns) const;
  void NoteAbsent(Table& table, const model::Endpoint& peer, uint64_t now_ns);

  const ProcPeersOptions options_;
  model::WorkloadLookup& processes_;
  const base::Clock& clock_;
  Table tcp_, udp_;
  std::unordered_set<model::Endpoint, model::EndpointHash> addresses_;  // of both, with port 0
  std::unordered_map<uint64_t, uint32_t> owners_;  // inode → pid; 0: not seen yet
  std::vector<uint32_t> pids_;                     // still to be looked at, from the back
  uint64_t read_ns_ = 0, next_step_ns_ = 0;        // 0: never
};

}  // namespace weft::workload
