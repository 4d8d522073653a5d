#include "sources/otlp/other_signals.h"

#include "protocols/otlp/wire.h"

namespace weft::sources::otlp {
namespace {

using base::ByteView;
using protocols::otlp::BytesTag;
using protocols::otlp::Field;
using protocols::otlp::ForEachField;

// In all three: request.1 = Resource…, .2 = Scope…, .2 = Metric, LogRecord or Profile.
constexpr uint32_t kResourceItems = 1, kScopeItems = 2, kItems = 2;
// Of Metric: gauge, sum, histogram, exponential_histogram and summary; each has its data points in
// field 1.
constexpr uint32_t kDataPoints = 1;
bool IsMetricData(uint32_t tag) {
  return tag == BytesTag(5) || tag == BytesTag(7) || tag == BytesTag(9) || tag == BytesTag(10) ||
         tag == BytesTag(11);
}

bool CountPoints(ByteView metric, uint64_t* items) {
  return ForEachField(metric, [&](const Field& f) {
    return !IsMetricData(f.tag) || ForEachField(f.view(), [&](const Field& g) {
      *items += g.tag == BytesTag(kDataPoints);
      return true;
    });
  });
}

}  // namespace

bool CountItems(model::Signal signal, ByteView request, uint64_t* items) {
  *items = 0;
  const bool is_metrics = signal == model::Signal::kMetrics;
  return ForEachField(request, [&](const Field& resource) {
    return resource.tag != BytesTag(kResourceItems) ||
           ForEachField(resource.view(), [&](const Field& scope) {
             return scope.tag != BytesTag(kScopeItems) ||
                    ForEachField(scope.view(), [&](const Field& item) {
                      if (item.tag != BytesTag(kItems)) return true;
                      if (is_metrics) return CountPoints(item.view(), items);
                      ++*items;
                      return true;
                    });
           });
  });
}

}  // namespace weft::sources::otlp
