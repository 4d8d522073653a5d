// What Jaeger clients say about spans that they lost themselves (queue full, too large for a
// datagram, send failed), as counters. The clients send totals with every batch, so differences are
// counted, per client; this is the only way to see UDP loss end to end. The rules are the Jaeger
// agent's: a client's first batch is the base line, batches that arrive out of order are ignored, a
// client that was silent for an hour is forgotten.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "base/metrics.h"
#include "protocols/jaeger/transcode.h"

namespace weft::sources::jaeger_udp {

// Threads: one. Cost: a hash hit per datagram that carries statistics. Bounded: kMaxClients; more
// are not followed.
class ClientLosses {
 public:
  static constexpr size_t kMaxClients = 1024;
  static constexpr size_t kMaxUuidBytes = 64;

  explicit ClientLosses(base::MetricRegistry& metrics);
  void Note(const protocols::jaeger::ClientStats& stats, uint64_t now_ns);
  size_t clients() const { return clients_.size(); }

 private:
  struct Client {
    int64_t sequence = 0, full_queue = 0, too_large = 0, send_failed = 0;
    uint64_t seen_ns = 0;
  };
  void Forget(uint64_t now_ns);

  std::unordered_map<std::string, Client> clients_;
  std::string key_;  // re-used, so that a known client costs no allocation
  uint64_t next_sweep_ns_ = 0;
  base::Metric& connected_;
  base::Metric& received_;
  base::Metric& sent_;
  base::Metric& full_queue_;
  base::Metric& too_large_;
  base::Metric& send_failed_;
};

}  // namespace weft::sources::jaeger_udp
