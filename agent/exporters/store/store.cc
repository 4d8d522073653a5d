#include "exporters/store/store.h"

#include <map>

#include "exporters/store/query.h"
#include "exporters/store/split.h"

namespace weft::exporters::store {
namespace {

constexpr size_t kPage = 64;

}  // namespace

base::ConfigBlock Describe(Options& o) {
  return {"exporters.store",
          {{.key = "enabled", .value = &o.enabled, .doc = "keep recent traces for the page"},
           {.key = "max_bytes",
            .value = &o.max_bytes,
            .doc = "bytes; of traces kept, the oldest go first",
            .min = 64 << 10},
           {.key = "queue_bytes",
            .value = &o.queue_bytes,
            .doc = "bytes; waiting to be stored, beyond it spans are shed",
            .min = 64 << 10}}};
}

Store::Store(Options options, Deps deps)
    : options_(std::move(options)),
      deps_(deps),
      bytes_(deps.metrics.Get(base::MetricKind::kGauge, "weft_exporter_store_bytes",
                              "bytes of the traces kept")),
      traces_(
          deps.metrics.Get(base::MetricKind::kGauge, "weft_exporter_store_traces", "traces kept")),
      evicted_traces_(deps.metrics.Get(base::MetricKind::kCounter,
                                       "weft_exporter_store_forgotten_traces_total",
                                       "traces that made room for newer ones")),
      table_(static_cast<uint64_t>(options_.max_bytes)),
      queue_(
          deps.ledger,
          deps.metrics.Get(base::MetricKind::kGauge, "weft_exporter_store_queue_bytes",
                           "bytes of batches that wait to be stored"),
          static_cast<uint64_t>(options_.queue_bytes), "store_queue_full",
          [this](model::OtlpBatch&& batch, uint64_t spans) { Insert(std::move(batch), spans); }) {}

Store::~Store() { Stop(std::chrono::steady_clock::now()); }

// Spans that leave the store, for whatever reason, were kept as long as it promised: they are out.
void Store::Insert(model::OtlpBatch&& batch, uint64_t spans) {
  std::vector<TracePart> parts = SplitByTrace(batch);
  batch = {};  // gives the bytes back before the lock is taken
  TraceTable::Change sum;
  uint64_t kept = 0;
  {
    std::lock_guard lock(mutex_);
    for (TracePart& part : parts) {
      kept += part.spans.size();
      TraceTable::Change change = table_.Insert(std::move(part));
      sum.replaced += change.replaced;
      sum.evicted += change.evicted;
      sum.evicted_traces += change.evicted_traces;
      sum.refused += change.refused;
    }
    bytes_.Set(static_cast<int64_t>(table_.bytes()));
    traces_.Set(static_cast<int64_t>(table_.traces()));
  }
  uint64_t out = spans - kept + sum.replaced + sum.evicted;
  deps_.ledger.Out(out);
  if (sum.refused > 0) deps_.ledger.Lose(base::Loss::kEvicted, "trace_too_large", sum.refused);
  deps_.ledger.Held(-static_cast<int64_t>(out + sum.refused));
  evicted_traces_.Add(sum.evicted_traces);
}

std::vector<std::string> Store::Services() const {
  std::lock_guard lock(mutex_);
  return table_.Services();
}

std::vector<std::pair<std::string, int>> Store::Operations(std::string_view service) const {
  std::lock_guard lock(mutex_);
  return table_.Operations(service);
}

std::vector<TraceSnapshot> Store::Page(const Filter& filter, size_t limit, uint64_t* cursor) const {
  std::lock_guard lock(mutex_);
  return table_.Page(filter, limit, cursor);
}

std::vector<Store::TraceBytes> Store::Find(const Filter& filter) const {
  std::vector<TraceBytes> out;
  uint64_t cursor = UINT64_MAX;
  while (out.size() < filter.limit) {
    std::vector<TraceSnapshot> page = Page(filter, kPage, &cursor);
    if (page.empty()) break;
    for (const TraceSnapshot& trace : page) {
      if (out.size() == filter.limit) break;
      if (filter.tags.empty() || HasMatchingSpan(trace, filter)) out.push_back(Join(trace));
    }
  }
  return out;
}

std::optional<Store::TraceBytes> Store::Get(const base::TraceId& id) const {
  TraceSnapshot trace;
  {
    std::lock_guard lock(mutex_);
    trace = table_.Get(id);
  }
  TraceBytes bytes = Join(trace);
  if (bytes.empty()) return std::nullopt;
  return bytes;
}

std::vector<Store::Dependency> Store::Dependencies() const {
  std::map<std::pair<std::string, std::string>, uint64_t> calls;
  uint64_t cursor = UINT64_MAX;
  while (true) {
    std::vector<TraceSnapshot> page = Page(Filter{}, kPage, &cursor);
    if (page.empty()) break;
    for (const TraceSnapshot& trace : page) CountCalls(trace, &calls);
  }
  std::vector<Dependency> out;
  for (auto& [pair, count] : calls) out.push_back({pair.first, pair.second, count});
  return out;
}

}  // namespace weft::exporters::store
