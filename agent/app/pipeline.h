// Pipeline: the whole program, built from the far end to the near end, one line a stage. Start
// opens everything or says why not; Run is the data thread's life; Shutdown stops the sources,
// empties the stages and lets the exporters finish.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/about/features.h"
#include "app/settings.h"
#include "base/result.h"

namespace weft::app {

// What a start would find, without starting: for `weft doctor` when no weft runs.
std::vector<Feature> ProbeFeatures(const Settings& settings);

// Order: Start Run. Threads: one builds, starts and runs it; Shutdown and finished() from any.
class Pipeline {
 public:
  explicit Pipeline(const Settings& settings);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  // Fails: an endpoint that cannot be bound, an exporter that cannot be set up. Capture that does
  // not work here is no failure: weft then receives and forwards.
  base::Status Start();
  // Until Shutdown and the drain that follows it.
  void Run();
  void Shutdown();
  bool finished() const;

  // For the terminal: what is on, what is off and why, where to look.
  std::string StatusBlock() const;
  // After Run: the books.
  std::string Totals() const;
  // What /metrics shows.
  std::string MetricsText() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace weft::app
