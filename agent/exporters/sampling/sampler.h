// Sampler: head sampling on the way to an exporter, off by default. A trace is kept or not by its
// own randomness, so that all agents agree about it; a service may have a probability of its own,
// and a limit of spans a second. What a parent has decided is respected: a span whose tracestate
// says that it was sampled already is not sampled again by probability.
//
// A limit works by raising the threshold of a service to what its rate of the last second asks for,
// so that whole traces go and not spans here and there; only a burst beyond twice the limit within
// one second is cut off regardless of traces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "base/result.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::exporters::sampling {

struct Options {
  bool enabled = false;
  double probability = 1;                  // of services without an entry
  std::vector<std::string> services = {};  // "name=probability"
  int64_t spans_per_second = 0;            // of one service; 0 = no limit
  bool respect_parent = true;
};

// The block sampling; points into `options`.
base::ConfigBlock Describe(Options& options);

// Fails: an entry of `services` that is not "name=number between 0 and 1".
base::Status Check(const Options& options);

// Everything outlives the sampler.
struct Deps {
  base::LedgerRow& ledger;  // "sampling", in spans
  base::MetricRegistry& metrics;
  const base::Clock& clock;
  model::Sink<model::OtlpBatch>& out;
};

// Threads: the data thread. Other signals pass. Cost: a walk over each span's fields and, for those
// kept at less than 1, a new tracestate.
class Sampler final : public model::Sink<model::OtlpBatch> {
 public:
  Sampler(Options options, Deps deps);
  // As the sink behind it answers; when that is busy the batch is as it was.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;

 private:
  struct Service {
    uint64_t threshold = 0;        // of its probability
    uint64_t limit_threshold = 0;  // what the limit asks for in this second
    uint64_t second = 0, seen = 0, kept = 0;
  };
  struct Decision {
    uint64_t sampled_out = 0, over_limit = 0;
    std::vector<uint32_t> dropped;                          // spans
    std::vector<std::pair<uint32_t, uint32_t>> appended;    // span, its append before
    std::vector<std::pair<std::string, Service>> services;  // as they were
  };
  Service& Find(const std::string& name, Decision* decision);
  void NewSecond(Service* service);
  void Decide(model::OtlpBatch* batch, uint32_t span, Service* service, Decision* decision);
  void Undo(model::OtlpBatch* batch, const Decision& decision, bool edited, size_t appends);

  const Options options_;
  Deps deps_;
  base::Metric &dropped_, &limited_;
  uint64_t default_threshold_;
  std::unordered_map<std::string, uint64_t> thresholds_;  // by service
  std::unordered_map<std::string, Service> services_;
};

}  // namespace weft::exporters::sampling
