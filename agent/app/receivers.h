// Receivers: builds and starts every network receiver that the settings switch on, all pushing into
// one sink.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "app/settings.h"
#include "base/result.h"
#include "model/sink.h"
#include "sources/otlp/intake.h"

namespace weft::app {

// Threads: the data thread. Owns: the receivers; `settings` and what `deps` refers to outlive it.
class Receivers {
 public:
  Receivers(const Settings& settings, sources::otlp::Deps deps,
            model::Sink<model::OtlpBatch>& next);
  // Fails: the first one that cannot start, by name.
  base::Status Start();
  void Stop(std::chrono::steady_clock::time_point deadline);

 private:
  // In the order of construction: those that serve others first.
  std::vector<std::unique_ptr<model::Source>> all_;
};

}  // namespace weft::app
