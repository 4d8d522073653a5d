// None: an exporter that takes everything and keeps nothing; for measurements and for agents that
// only derive.
#pragma once

#include "base/ledger.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::exporters::none {

// Threads: the data thread. `ledger` ("exporter none", in spans) outlives it.
class None final : public model::Sink<model::OtlpBatch> {
 public:
  explicit None(base::LedgerRow& ledger) : ledger_(ledger) {}
  // Always kTaken. The spans count as out: to discard them is what was asked for.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;

 private:
  base::LedgerRow& ledger_;
};

}  // namespace weft::exporters::none
