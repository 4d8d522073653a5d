// What the Source suite needs of each plug-in: one to start, and a way to offer it units as its
// clients do.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/credit.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/segment.h"
#include "model/sink.h"
#include "net/event_loop.h"

namespace weft::contract {

// Takes or refuses by a fixed pseudo-random pattern, and counts. `refuse_percent` of the pushes are
// answered kBusy.
template <typename B>
class MoodySink final : public model::Sink<B> {
 public:
  model::PushResult Push(B&& batch) override {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    if ((state_ >> 33) % 100 < refuse_percent) return model::PushResult::kBusy;
    B taken = std::move(batch);
    ++batches;
    return model::PushResult::kTaken;
  }
  uint64_t refuse_percent = 0, batches = 0;

 private:
  uint64_t state_ = 1;
};

// Everything a source is given.
struct World {
  net::EventLoop loop;
  base::SystemClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  base::ByteCredit credit{64 << 20};
  MoodySink<model::OtlpBatch> batches;
  MoodySink<model::SegmentBatch> segments;
};

struct SourceRow {
  std::string plugin;
  std::function<std::unique_ptr<model::Source>(World&)> make;
  // Sends `count` units to a started source, as fast as it can; from any thread.
  std::function<void(model::Source&, int count)> offer;
  // Whether each unit is answered (OTLP): then none may go missing on the way.
  bool is_answered = false;
};

const std::vector<SourceRow>& Sources();

}  // namespace weft::contract
