#include "app/descriptors.h"

#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace weft::app {
namespace {

// More than anybody needs; "unlimited" is a number that some tables are sized by.
constexpr rlim_t kMostDescriptors = 1 << 20;
constexpr uint64_t kLeastKept = 128;  // for all but clients
constexpr int64_t kLeastConnections = 8;

using Caps = std::vector<std::pair<int64_t*, int64_t>>;  // and how many ports have each of them

Caps CapsOf(Settings& s) {
  Caps caps;
  auto add = [&](sources::otlp::ServerOptions& o, bool has_second) {
    if (o.enabled) caps.emplace_back(&o.max_connections, has_second ? 2 : 1);
  };
  add(s.otlp_grpc, !s.otlp_grpc.legacy_endpoint.empty());
  add(s.otlp_http, !s.otlp_http.legacy_endpoint.empty());
  add(s.jaeger_grpc, false);
  add(s.jaeger_http, false);
  add(s.zipkin, false);
  add(s.remote_sampling, false);
  return caps;
}

int64_t Sum(const Caps& caps) {
  int64_t sum = 0;
  for (const auto& [cap, ports] : caps) sum += *cap * ports;
  return sum;
}

rlim_t Reachable(const rlimit& limit) {
  return std::max(limit.rlim_cur, std::min(limit.rlim_max, kMostDescriptors));
}

}  // namespace

uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMostDescriptors;
  const rlim_t old = std::exchange(limit.rlim_cur, Reachable(limit));
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : old;
}

uint64_t DescriptorLimit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? Reachable(limit) : kMostDescriptors;
}

bool FitConnections(uint64_t limit, Settings* settings) {
  const uint64_t kept = std::max(kLeastKept, limit / 4);
  const double room = limit > kept ? static_cast<double>(limit - kept) : 0;
  const Caps caps = CapsOf(*settings);
  const auto wanted = static_cast<double>(Sum(caps));
  if (wanted <= room) return false;
  for (const auto& [cap, ports] : caps) {
    const auto share = static_cast<int64_t>(static_cast<double>(*cap) * room / wanted);
    *cap = std::min(*cap, std::max(kLeastConnections, share));
  }
  return true;
}

Feature DescriptorFeature(uint64_t limit, const Settings& settings) {
  Settings fitted = settings;
  const int64_t wanted = Sum(CapsOf(fitted));
  const bool is_cut = FitConnections(limit, &fitted);
  std::string how = std::to_string(limit) + ", for up to " + std::to_string(Sum(CapsOf(fitted))) +
                    " connections of clients";
  if (is_cut) how += " instead of " + std::to_string(wanted) + "; raise LimitNOFILE (ulimit -n)";
  return {"descriptors", true, std::move(how), ""};
}

}  // namespace weft::app
