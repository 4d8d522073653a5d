#include "merge/merge.h"

#include <utility>

#include "merge/state.h"

namespace weft::merge {

Merge::Merge(Options options, Deps deps)
    : state_(std::make_unique<State>(std::move(options), std::move(deps))) {}
Merge::~Merge() = default;

model::Sink<model::SpanBatch>& Merge::spans() { return state_->spans(); }
model::Sink<model::OtlpBatch>& Merge::batches() { return state_->batches(); }
void Merge::Tick() { state_->Tick(); }
bool Merge::Flush() { return state_->Flush(); }

}  // namespace weft::merge
