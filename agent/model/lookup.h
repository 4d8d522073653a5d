// What rooms of the same level ask of one another, introduced in app: who is behind a pid or a peer
// address, and what the recent traces are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "model/endpoint.h"
#include "model/process.h"

namespace weft::model {

// Implemented by workload. Threads: the data thread. Cost: a hash hit; a few /proc reads for a
// process not yet known.
class WorkloadLookup {
 public:
  virtual ~WorkloadLookup() = default;
  // Never null; a process that is already gone gets a Process with what is known: its pid and
  // `comm`, the name that the kernel had for it (empty when not known).
  virtual ProcessRef Find(const ProcessKey& key, std::string_view comm) = 0;
};

// Whose socket is at the other end? Implemented by sources/ebpf (what the kernel saw, in any
// network namespace), with /proc as the second opinion. Threads: the data thread.
class PeerLookup {
 public:
  virtual ~PeerLookup() = default;
  // `peer` is the client's address as the receiver's socket shows it. Null when unknown or
  // ambiguous.
  virtual ProcessRef TcpPeer(const Endpoint& peer) = 0;
  virtual ProcessRef UdpPeer(const Endpoint& peer) = 0;
};

// The recent traces; implemented by exporters/store, asked by console. Threads: any.
class TraceQuery {
 public:
  struct Filter {
    std::string service;    // empty = any
    std::string operation;  // span name; empty = any
    std::vector<std::pair<std::string, std::string>>
        tags;  // attribute key = value (as text), all must match one span
    uint64_t start_min_ns = 0, start_max_ns = UINT64_MAX;  // of the trace's first span
    uint64_t duration_min_ns = 0, duration_max_ns = UINT64_MAX;
    size_t limit = 20;
  };
  // One trace: encoded TracesData / ExportTraceServiceRequest.
  using TraceBytes = base::ByteBuffer;

  virtual ~TraceQuery() = default;
  virtual std::vector<std::string> Services() const = 0;
  // {span name, kind as in OTLP}
  virtual std::vector<std::pair<std::string, int>> Operations(std::string_view service) const = 0;
  // Newest first.
  virtual std::vector<TraceBytes> Find(const Filter& filter) const = 0;
  virtual std::optional<TraceBytes> Get(const base::TraceId& id) const = 0;
  struct Dependency {
    std::string parent, child;
    uint64_t calls = 0;
  };
  virtual std::vector<Dependency> Dependencies() const = 0;
};

}  // namespace weft::model
