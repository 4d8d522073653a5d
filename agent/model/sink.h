// Source and Sink: two of the three interfaces of the pipeline (the third is Parser). A stage is a
// Sink<In> that was given a Sink<Out>& at construction; a queue is a Sink that hands over to
// another thread.
#pragma once

#include <chrono>
#include <string_view>

#include "base/result.h"

namespace weft::model {

enum class PushResult {
  kTaken,  // the batch belongs to the callee
  kBusy,   // no room now; the caller still owns the batch, unchanged
};

// B is SegmentBatch, SpanBatch or OtlpBatch. Never throws; never blocks longer than its edge's
// policy says.
template <typename B>
class Sink {
 public:
  virtual ~Sink() = default;
  [[nodiscard]] virtual PushResult Push(B&& batch) = 0;
};

// Owns a transport. Order: Start? Stop*. Stop without Start and Stop twice are safe; after Stop
// returns the source will not call its sink again.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::string_view Name() const = 0;
  virtual base::Status Start() = 0;
  virtual void Stop(std::chrono::steady_clock::time_point deadline) = 0;
};

}  // namespace weft::model
