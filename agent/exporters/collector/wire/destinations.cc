#include "exporters/collector/wire/destinations.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "net/address.h"

namespace weft::exporters::collector {

Destinations::Destinations(net::EventLoop& loop, std::chrono::seconds period, Report report)
    : loop_(loop), period_(period), report_(std::move(report)) {}

Destinations::~Destinations() { loop_.Cancel(timer_); }

void Destinations::Add(Destination fixed) { fixed_.push_back(std::move(fixed)); }

void Destinations::AddName(std::string prefix, std::string host, uint16_t port) {
  names_.push_back(std::make_unique<Name>(Name{std::move(prefix), std::move(host), port}));
}

void Destinations::Start() {
  Tell();
  if (names_.empty()) return;
  Ask();
  timer_ = loop_.RunEvery(period_, [this] { Ask(); });
}

void Destinations::Ask() {
  for (auto& owned : names_) {
    Name* name = owned.get();
    if (name->question != nullptr) continue;  // a slow resolver is waited for
    name->question = net::Resolve(
        loop_, name->host, name->port, [this, name](base::Result<net::Addresses> addresses) {
          name->question = nullptr;
          if (!addresses.ok() || addresses->empty()) {
            spdlog::warn(
                "collector name {} cannot be resolved: {}", name->host,
                addresses.ok() ? std::string("no address") : addresses.status().ToString());
            return;
          }
          std::vector<Destination> found;
          for (const model::Endpoint& address : *addresses) {
            std::string text = address.AddressText();
            if (address.family == 6) text = "[" + text + "]";
            found.push_back({name->prefix + text + ":" + std::to_string(address.port), name->host});
          }
          std::sort(found.begin(), found.end(), [](const Destination& a, const Destination& b) {
            return a.endpoint < b.endpoint;
          });
          found.erase(std::unique(found.begin(), found.end()), found.end());
          if (found == name->found) return;
          name->found = std::move(found);
          Tell();
        });
  }
}

void Destinations::Tell() {
  std::vector<Destination> all = fixed_;
  for (const auto& name : names_) all.insert(all.end(), name->found.begin(), name->found.end());
  report_(all);
}

}  // namespace weft::exporters::collector
