// TraceTable: the traces that are kept, the index of services and operations over them, and the
// rule of what is forgotten. Plain data structure: no lock, no thread, no clock (order of insertion
// is its time).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "exporters/store/split.h"
#include "model/lookup.h"

namespace weft::exporters::store {

// The encoded parts of one trace; holds them while the table goes on.
struct TraceSnapshot {
  std::vector<base::SharedBytes> parts;
};

class TraceTable {
 public:
  // Units: bytes, of encoded spans and of the structures around them.
  explicit TraceTable(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // What an insertion made of spans: `replaced` were here before, `evicted` made room, `refused`
  // belong to a trace that fills half of the table by itself.
  struct Change {
    uint64_t replaced = 0, evicted = 0, evicted_traces = 0, refused = 0;
  };
  Change Insert(TracePart&& part);

  // Forwards-only paging from the newest trace: traces touched before `cursor` (UINT64_MAX at
  // first) that can match `filter` as far as the index tells.
  std::vector<TraceSnapshot> Page(const model::TraceQuery::Filter& filter, size_t limit,
                                  uint64_t* cursor) const;
  // Null parts when unknown.
  TraceSnapshot Get(const base::TraceId& id) const;
  std::vector<std::string> Services() const;
  std::vector<std::pair<std::string, int>> Operations(std::string_view service) const;

  uint64_t bytes() const { return bytes_; }
  size_t traces() const { return traces_.size(); }

 private:
  struct Trace {
    base::TraceId id;
    std::vector<base::SharedBytes> parts;                      // null where every span was replaced
    std::unordered_map<SpanKey, uint32_t, SpanKeyHash> spans;  // to the index of its part
    std::unordered_set<const Operation*> operations;
    uint64_t start_ns = UINT64_MAX, end_ns = 0;
    uint64_t touched = 0;
    uint64_t bytes = 0;
  };

  uint64_t Replace(Trace& trace, const std::vector<SpanKey>& keys);
  void AddOperations(Trace& trace, std::vector<Operation>&& operations);
  void EvictOldest(Change* change);
  bool CanMatch(const Trace& trace, const model::TraceQuery::Filter& filter) const;
  void Charge(Trace& trace, int64_t bytes);

  const uint64_t max_bytes_;
  uint64_t bytes_ = 0;
  uint64_t now_ = 0;
  std::unordered_map<base::TraceId, std::unique_ptr<Trace>, base::IdHash> traces_;
  std::map<uint64_t, Trace*> by_touch_;
  std::map<Operation, uint64_t> operations_;  // to the number of traces
};

}  // namespace weft::exporters::store
