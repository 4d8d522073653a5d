// FanOut: one batch to several exporters. At most one of them (the collector) may answer kBusy and
// so hold up the pipeline; the others shed by their own cap and never do. The batch is offered to
// the strict one first: when that is busy nobody has it, and a retry duplicates nothing.
#pragma once

#include <functional>
#include <vector>

#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::app {

// Threads: the data thread. Cost: a copy of the index (not of the bytes) per further exporter.
class FanOut final : public model::Sink<model::OtlpBatch> {
 public:
  struct Branch {
    model::Sink<model::OtlpBatch>* sink;
    std::function<bool()> wanted;  // empty = always; false spares the copy
    // False: what becomes of this copy is no answer to the sender, so it travels without receipt.
    bool answers = true;
  };

  // `strict` may be null. All sinks must outlive the FanOut.
  FanOut(model::Sink<model::OtlpBatch>* strict, std::vector<Branch> shedding)
      : strict_(strict), shedding_(std::move(shedding)) {}

  model::PushResult Push(model::OtlpBatch&& batch) override {
    std::vector<const Branch*>& now = now_;
    now.clear();
    // Anything but traces only a collector understands; without one the receivers refuse it.
    if (batch.signal == model::Signal::kTraces)
      for (const Branch& branch : shedding_)
        if (!branch.wanted || branch.wanted()) now.push_back(&branch);
    if (strict_ != nullptr) {
      if (now.empty()) return strict_->Push(std::move(batch));
      model::OtlpBatch copy = batch;
      if (strict_->Push(std::move(copy)) == model::PushResult::kBusy)
        return model::PushResult::kBusy;
    }
    for (size_t i = 0; i < now.size(); ++i) {
      // The last one gets the original. These sinks always take.
      model::OtlpBatch part = i + 1 < now.size() ? batch : std::move(batch);
      if (!now[i]->answers) part.receipt = nullptr;
      (void)now[i]->sink->Push(std::move(part));
    }
    return model::PushResult::kTaken;
  }

 private:
  model::Sink<model::OtlpBatch>* const strict_;
  const std::vector<Branch> shedding_;
  std::vector<const Branch*> now_;  // reused between calls
};

}  // namespace weft::app
