#include "merge/merge.h"

#include <utility>

#include "merge/state.h"

namespace weft::merge {

class Merge::State::SpanDoor final : public model::Sink<model::SpanBatch> {
 public:
  explicit SpanDoor(State& state) : state_(state) {}
  model::PushResult Push(model::SpanBatch&& batch) override {
    return state_.PushSpans(std::move(batch));
  }

 private:
  State& state_;
};

class Merge::State::BatchDoor final : public model::Sink<model::OtlpBatch> {
 public:
  explicit BatchDoor(State& state) : state_(state) {}
  model::PushResult Push(model::OtlpBatch&& batch) override {
    return state_.PushBatch(std::move(batch));
  }

 private:
  State& state_;
};

Merge::Merge(Options options, Deps deps)
    : state_(std::make_unique<State>(std::move(options), std::move(deps))) {
  state_->span_door_ = std::make_unique<State::SpanDoor>(*state_);
  state_->batch_door_ = std::make_unique<State::BatchDoor>(*state_);
}

Merge::~Merge() = default;

model::Sink<model::SpanBatch>& Merge::spans() { return *state_->span_door_; }
model::Sink<model::OtlpBatch>& Merge::batches() { return *state_->batch_door_; }
void Merge::Tick() { state_->Tick(); }
bool Merge::Flush() { return state_->Flush(); }

}  // namespace weft::merge
