// Stamper: attributes of the node for the Resource of everything that leaves, where the sender has
// not set the same key (docs/adr/0016).
#pragma once

#include <string>
#include <vector>

#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "base/result.h"
#include "model/otlp_batch.h"
#include "model/sink.h"
#include "protocols/otlp/resource_stamp.h"

namespace weft::exporters::resource {

struct Options {
  std::vector<std::string> attributes = {};  // "key=value"
  bool enabled() const { return !attributes.empty(); }
};

// The block resource; points into `options`.
base::ConfigBlock Describe(Options& options);

// Fails: an entry that is not "key=value" in UTF-8, a key twice, more entries than a stamp takes.
base::Status Check(const Options& options);

// Everything outlives the stamper.
struct Deps {
  base::LedgerRow& ledger;  // "resource", in spans, data points, log records
  base::MetricRegistry& metrics;
  model::Sink<model::OtlpBatch>& out;
};

// Threads: the data thread. Cost: a copy of each Resource; of all bytes for metrics and logs.
// Profiles pass.
class Stamper final : public model::Sink<model::OtlpBatch> {
 public:
  // `options` has passed Check.
  Stamper(const Options& options, Deps deps);
  // As the sink behind it answers; when that is busy the batch is as it was.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;

 private:
  model::PushResult PushTraces(model::OtlpBatch&& batch);
  model::PushResult PushOther(model::OtlpBatch&& batch);

  protocols::otlp::ResourceStamp stamp_;
  Deps deps_;
  base::Metric& skipped_;
  std::vector<model::ResourceGroup> before_;  // of the batch in work; reused
};

}  // namespace weft::exporters::resource
