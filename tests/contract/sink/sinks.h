// The sinks that the contract suite runs against. Each row knows how to make one with little room,
// how to let it work, and how to end it; the suite knows nothing else about them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ledger.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::contract {

// One sink under test with everything it needs.
class SinkUnderTest {
 public:
  virtual ~SinkUnderTest() = default;
  virtual model::Sink<model::OtlpBatch>& sink() = 0;
  // Lets what is behind the sink make some progress, good or bad by `dice`.
  virtual void Work(uint32_t dice) = 0;
  // Ends it: all that is possible leaves within `budget`, the rest is counted.
  virtual void Drain(std::chrono::milliseconds budget) = 0;

  base::LedgerRow row{"sink", "spans"};
  base::MetricRegistry metrics;
};

struct SinkRow {
  std::string name;  // of the plug-in folder
  std::function<std::unique_ptr<SinkUnderTest>()> make;
  // After Drain nothing is held, except by a sink whose purpose is to hold.
  bool keeps_spans = false;
};

const std::vector<SinkRow>& Sinks();

}  // namespace weft::contract
