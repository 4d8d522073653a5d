#include "exporters/store/trace_table.h"

#include <algorithm>

namespace weft::exporters::store {
namespace {

// What the structures cost beside the encoded bytes, roughly.
constexpr int64_t kTraceOverhead = 512;
constexpr int64_t kPartOverhead = 96;
constexpr int64_t kSpanOverhead = 56;
constexpr int64_t kOperationOverhead = 40;

}  // namespace

void TraceTable::Charge(Trace& trace, int64_t bytes) {
  trace.bytes += static_cast<uint64_t>(bytes);
  bytes_ += static_cast<uint64_t>(bytes);
}

TraceTable::Change TraceTable::Insert(TracePart&& part) {
  Change change;
  std::unique_ptr<Trace>& slot = traces_[part.trace_id];
  if (!slot) {
    slot = std::make_unique<Trace>();
    slot->id = part.trace_id;
    Charge(*slot, kTraceOverhead);
  } else {
    by_touch_.erase(slot->touched);
  }
  Trace& trace = *slot;
  trace.touched = ++now_;
  by_touch_[trace.touched] = &trace;
  change.replaced = Replace(trace, part.spans);
  if (trace.bytes + part.bytes->size() > max_bytes_ / 2) {
    change.refused = part.spans.size();
  } else {
    auto index = static_cast<uint32_t>(trace.parts.size());
    for (const SpanKey& key : part.spans) trace.spans.emplace(key, index);
    trace.start_ns = std::min(trace.start_ns, part.start_ns);
    trace.end_ns = std::max(trace.end_ns, part.end_ns);
    Charge(trace, static_cast<int64_t>(part.bytes->capacity()) + kPartOverhead +
                      kSpanOverhead * static_cast<int64_t>(part.spans.size()));
    trace.parts.push_back(std::move(part.bytes));
    AddOperations(trace, std::move(part.operations));
  }
  while (bytes_ > max_bytes_ && !by_touch_.empty()) EvictOldest(&change);
  return change;
}

// Takes the spans in `keys` out of the parts that hold them.
uint64_t TraceTable::Replace(Trace& trace, const std::vector<SpanKey>& keys) {
  std::map<uint32_t, std::vector<SpanKey>> by_part;
  uint64_t replaced = 0;
  for (const SpanKey& key : keys) {
    auto found = trace.spans.find(key);
    if (found == trace.spans.end()) continue;
    by_part[found->second].push_back(key);
    trace.spans.erase(found);
    ++replaced;
  }
  for (const auto& [index, gone] : by_part) {
    base::SharedBytes& bytes = trace.parts[index];
    auto before = static_cast<int64_t>(bytes->capacity());
    bytes = Without(bytes, gone);
    int64_t after = bytes ? static_cast<int64_t>(bytes->capacity()) : 0;
    Charge(trace, after - before - kSpanOverhead * static_cast<int64_t>(gone.size()));
  }
  return replaced;
}

void TraceTable::AddOperations(Trace& trace, std::vector<Operation>&& operations) {
  for (Operation& operation : operations) {
    auto size = static_cast<int64_t>(operation.service.size() + operation.name.size());
    auto [it, fresh] = operations_.try_emplace(std::move(operation), 0);
    if (!trace.operations.insert(&it->first).second) continue;
    ++it->second;
    // Each trace pays for the text: whichever of them goes last, it has been paid for.
    Charge(trace, size + kOperationOverhead);
  }
}

void TraceTable::EvictOldest(Change* change) {
  Trace* trace = by_touch_.begin()->second;
  by_touch_.erase(by_touch_.begin());
  for (const Operation* operation : trace->operations) {
    auto it = operations_.find(*operation);
    if (--it->second == 0) operations_.erase(it);
  }
  bytes_ -= trace->bytes;
  change->evicted += trace->spans.size();
  ++change->evicted_traces;
  traces_.erase(base::TraceId(trace->id));
}

bool TraceTable::CanMatch(const Trace& trace, const model::TraceQuery::Filter& filter) const {
  if (trace.spans.empty() || trace.start_ns < filter.start_min_ns ||
      trace.start_ns > filter.start_max_ns)
    return false;
  uint64_t duration = trace.end_ns > trace.start_ns ? trace.end_ns - trace.start_ns : 0;
  if (duration < filter.duration_min_ns || duration > filter.duration_max_ns) return false;
  if (filter.service.empty() && filter.operation.empty()) return true;
  return std::any_of(trace.operations.begin(), trace.operations.end(), [&](const Operation* o) {
    return (filter.service.empty() || o->service == filter.service) &&
           (filter.operation.empty() || o->name == filter.operation);
  });
}

std::vector<TraceSnapshot> TraceTable::Page(const model::TraceQuery::Filter& filter, size_t limit,
                                            uint64_t* cursor) const {
  std::vector<TraceSnapshot> out;
  auto it = by_touch_.lower_bound(*cursor);
  while (it != by_touch_.begin() && out.size() < limit) {
    --it;
    *cursor = it->first;
    if (CanMatch(*it->second, filter)) out.push_back({it->second->parts});
  }
  return out;
}

TraceSnapshot TraceTable::Get(const base::TraceId& id) const {
  auto found = traces_.find(id);
  return found == traces_.end() ? TraceSnapshot{} : TraceSnapshot{found->second->parts};
}

std::vector<std::string> TraceTable::Services() const {
  std::vector<std::string> out;
  for (const auto& [operation, traces] : operations_)
    if (out.empty() || out.back() != operation.service) out.push_back(operation.service);
  return out;
}

std::vector<std::pair<std::string, int>> TraceTable::Operations(std::string_view service) const {
  std::vector<std::pair<std::string, int>> out;
  Operation first{std::string(service), "", INT32_MIN};
  for (auto it = operations_.lower_bound(first);
       it != operations_.end() && it->first.service == service; ++it)
    out.emplace_back(it->first.name, it->first.kind);
  return out;
}

}  // namespace weft::exporters::store
