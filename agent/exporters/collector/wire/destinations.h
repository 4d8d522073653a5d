// Destinations: the list of receivers behind names that stand for several (dns://host:port). It
// asks the resolver again and again and reports when the list has changed. A name that cannot be
// resolved keeps the addresses it had (case F14).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exporters/collector/collector.h"
#include "net/event_loop.h"

namespace weft::exporters::collector {

// Threads: the loop's. `loop` outlives it. Order: Add* Start.
class Destinations {
 public:
  using Report = std::function<void(const std::vector<Destination>&)>;
  Destinations(net::EventLoop& loop, std::chrono::seconds period, Report report);
  ~Destinations();
  Destinations(const Destinations&) = delete;
  Destinations& operator=(const Destinations&) = delete;

  void Add(Destination fixed);
  // Every address of `host`; each becomes `prefix`address:port.
  void AddName(std::string prefix, std::string host, uint16_t port);
  // Reports what is known, perhaps nothing, and then every change.
  void Start();

 private:
  struct Name {
    std::string prefix, host;
    uint16_t port = 0;
    std::vector<Destination> found = {};
    std::shared_ptr<void> question = nullptr;
  };
  void Ask();
  void Tell();

  net::EventLoop& loop_;
  const std::chrono::seconds period_;
  const Report report_;
  std::vector<Destination> fixed_;
  std::vector<std::unique_ptr<Name>> names_;
  net::EventLoop::TimerId timer_ = 0;
};

}  // namespace weft::exporters::collector
