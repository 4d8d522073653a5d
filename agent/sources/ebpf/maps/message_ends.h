// MessageEnds: what the agent tells the programs about where long messages end (docs/adr/0002). The
// programs look into the map only for connections whose place in a small table says that there may
// be something: most calls inside bodies are on others.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "base/result.h"
#include "model/segment.h"

namespace weft::sources::ebpf {

// Threads: one. Owns: the mapping, not the maps.
class MessageEnds {
 public:
  MessageEnds() = default;
  ~MessageEnds() { Unmap(); }
  MessageEnds(const MessageEnds&) = delete;
  MessageEnds& operator=(const MessageEnds&) = delete;

  // `ends` and `told`: descriptors of the maps message_ends and ends_told, which outlive this.
  base::Status Map(int ends, int told);
  // The message that now travels in this direction ends before `position`.
  void Set(model::ConnectionId connection, model::Direction direction, uint64_t position);
  void Clear(model::ConnectionId connection);

 private:
  void Unmap();

  int ends_ = -1;
  uint32_t* told_ = nullptr;
  std::unordered_set<model::ConnectionId> connections_;  // counted in told_
};

}  // namespace weft::sources::ebpf
