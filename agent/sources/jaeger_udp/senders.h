// Private to sources/jaeger_udp: which process is behind a source address, remembered for a moment
// so that a stream of datagrams asks the lookup once a second and not once a datagram.
#pragma once

#include <array>
#include <cstdint>

#include "model/lookup.h"

namespace weft::sources::jaeger_udp {

// Threads: one. Cost: a hash and a comparison; no allocation.
class Senders {
 public:
  explicit Senders(model::PeerLookup* peers) : peers_(peers) {}

  const model::ProcessRef& Find(const model::Endpoint& peer, uint64_t now_ns) {
    Entry& entry = entries_[model::EndpointHash()(peer) >> 32 & (kEntries - 1)];
    if (entry.peer == peer && now_ns < entry.until_ns) return entry.process;
    entry.peer = peer;
    entry.process = peers_ != nullptr ? peers_->UdpPeer(peer) : nullptr;
    // A port may get another owner, and an owner that is not known yet soon may be.
    entry.until_ns = now_ns + (entry.process ? kKnownNs : kUnknownNs);
    return entry.process;
  }

 private:
  static constexpr size_t kEntries = 64;
  static constexpr uint64_t kKnownNs = 1'000'000'000, kUnknownNs = 100'000'000;
  struct Entry {
    model::Endpoint peer;
    model::ProcessRef process;
    uint64_t until_ns = 0;
  };
  model::PeerLookup* const peers_;
  std::array<Entry, kEntries> entries_;
};

}  // namespace weft::sources::jaeger_udp
