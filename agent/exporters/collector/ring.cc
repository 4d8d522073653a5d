#include "exporters/collector/ring.h"

#include <algorithm>

#include "base/coding/crc.h"

namespace weft::exporters::collector {
namespace {

constexpr uint32_t kPlaces = 36'000;
constexpr int kPointsPerMember = 100;

}  // namespace

Ring::Ring(std::vector<std::pair<std::string, uint32_t>> members) {
  // Where two members claim a place the first one by name has it, on every agent.
  std::sort(members.begin(), members.end());
  std::vector<bool> taken(kPlaces);
  for (const auto& [name, number] : members) {
    for (int i = 0; i < kPointsPerMember; ++i) {
      std::string key = name;
      key.push_back(static_cast<char>(i));
      const uint32_t place = base::Crc32(0, base::AsBytes(key)) % kPlaces;
      if (taken[place]) continue;
      taken[place] = true;
      points_.push_back({place, number});
    }
  }
  std::sort(points_.begin(), points_.end(),
            [](const Point& a, const Point& b) { return a.place < b.place; });
}

uint32_t Ring::Owner(const base::TraceId& trace) const {
  const uint32_t place = base::Crc32(0, trace.view()) % kPlaces;
  auto next = std::lower_bound(points_.begin(), points_.end(), place,
                               [](const Point& point, uint32_t at) { return point.place < at; });
  return next == points_.end() ? points_.front().member : next->member;
}

}  // namespace weft::exporters::collector
