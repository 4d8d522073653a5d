// ProcPeers: whose socket is at the other end, when there is no eBPF to ask: /proc/net/{tcp,udp}*
// gives the inode of the socket with that local address, /proc/PID/fd its owner. Sees weft's own
// network namespace only.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "model/lookup.h"

namespace weft::workload {

struct ProcPeersOptions {
  std::string proc_root = "/proc";
};

// Threads: one. Cost: a hash hit; for an address not yet known a scan of all descriptors of the
// machine (tens of ms), at most one a second, so an unknown peer may stay unknown for that long.
class ProcPeers final : public model::PeerLookup {
 public:
  // `processes` must outlive this.
  ProcPeers(ProcPeersOptions options, model::WorkloadLookup& processes, const base::Clock& clock);

  model::ProcessRef TcpPeer(const model::Endpoint& peer) override;
  model::ProcessRef UdpPeer(const model::Endpoint& peer) override;

 private:
  using Owners = std::unordered_map<model::Endpoint, uint32_t, model::EndpointHash>;  // → pid

  model::ProcessRef Find(Owners& owners, const model::Endpoint& peer);
  void Scan();

  const ProcPeersOptions options_;
  model::WorkloadLookup& processes_;
  const base::Clock& clock_;
  uint64_t scanned_ns_ = 0;  // 0 = never
  Owners tcp_, udp_;
};

}  // namespace weft::workload
