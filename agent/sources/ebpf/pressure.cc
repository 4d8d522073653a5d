#include "sources/ebpf/pressure.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "abi/weft_abi.h"

namespace weft::sources::ebpf {
namespace {

constexpr int kKernfsHandle = 0xfe;  // FILEID_KERNFS: the handle is the id
constexpr char kOther[] = "other";

std::string PathOfDescriptor(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = readlink(link.c_str(), path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : std::string();
}

// Where the hierarchy of version 2 is mounted; empty when it is not.
std::string Hierarchy() {
  std::ifstream mounts("/proc/self/mounts");
  std::string device, place, type, rest;
  while (mounts >> device >> place >> type && std::getline(mounts, rest)) {
    if (type == "cgroup2") return place;
  }
  return {};
}

std::string PathIn(const std::string& hierarchy, uint64_t id) {
  const int root = open(hierarchy.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return {};
  alignas(file_handle) char room[sizeof(file_handle) + sizeof id];
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = sizeof id;
  handle->handle_type = kKernfsHandle;
  std::memcpy(handle->f_handle, &id, sizeof id);
  const int fd = open_by_handle_at(root, handle, O_PATH | O_CLOEXEC);
  close(root);
  if (fd < 0) return {};
  std::string path = PathOfDescriptor(fd);
  close(fd);
  return path.starts_with(hierarchy) ? path.substr(hierarchy.size()) : std::string();
}

uint64_t Sum(const std::vector<uint64_t>& numbers, size_t count) {
  uint64_t sum = 0;
  for (size_t i = 0; i < std::min(count, numbers.size()); ++i) sum += numbers[i];
  return sum;
}

constexpr const char* kReasons[] = {
#define WEFT_X(name, number, text) text,
    WEFT_DROP_REASONS(WEFT_X)
#undef WEFT_X
};

base::Metric& DropsIn(base::MetricRegistry& metrics, const std::string& cgroup,
                      const char* reason) {
  return metrics.Get(base::MetricKind::kCounter, "weft_capture_cgroup_dropped_records_total",
                     "Records lost in the kernel under pressure, by container and reason.",
                     {{"cgroup", cgroup}, {"reason", reason}});
}

uint64_t At(const std::vector<uint64_t>& numbers, size_t i) {
  return i < numbers.size() ? numbers[i] : 0;
}

}  // namespace

std::string CgroupPath(uint64_t id) {
  const std::string hierarchy = Hierarchy();
  std::string path = hierarchy.empty() ? std::string() : PathIn(hierarchy, id);
  return path.empty() ? "id:" + std::to_string(id) : path;
}

Pressure::Pressure(base::MetricRegistry& metrics, PathOf path_of)
    : metrics_(metrics),
      path_of_(std::move(path_of)),
      level_(metrics.Get(base::MetricKind::kGauge, "weft_capture_pressure_level",
                         "What gives way in the kernel: 0 nothing, 1 long heads are cut, 2 only "
                         "one connection in eight is recorded.")),
      short_heads_(metrics.Get(base::MetricKind::kCounter, "weft_capture_short_heads_total",
                               "Records with fewer bytes than capture.head_bytes, for want of "
                               "room in the rings.")) {
  for (const char* reason : kReasons) DropsIn(metrics, kOther, reason);
}

void Pressure::Look(uint64_t now_ns, const KernelCounters& now, const DropsOf& drops_of) {
  State sign = State::kNone;
  if (now.short_heads != last_.short_heads) sign = State::kShortHeads;
  if (At(now.drops, WEFT_DROP_SAMPLED) != At(last_.drops, WEFT_DROP_SAMPLED)) {
    sign = State::kSampling;
  }
  const bool is_over = now_ns - seen_ns_ >= kShownNs;
  if (sign != State::kNone && (sign >= state_ || is_over)) {
    state_ = sign;
    seen_ns_ = now_ns;
  } else if (is_over) {
    state_ = State::kNone;
  }
  level_.Set(static_cast<int64_t>(state_));
  short_heads_.Add(now.short_heads - last_.short_heads);
  const uint64_t dropped = Sum(now.drops, WEFT_DROP_REASON_COUNT);
  if (dropped != last_dropped_) Blame(drops_of());
  last_dropped_ = dropped;
  last_ = now;
}

const std::string& Pressure::LabelOf(uint64_t id) {
  static const std::string other = kOther;
  auto found = labels_.find(id);
  if (found != labels_.end()) return found->second;
  if (labels_.size() >= kNamedCgroups) return other;
  return labels_.emplace(id, path_of_(id)).first->second;
}

void Pressure::Blame(const std::vector<CgroupDrops>& cgroups) {
  std::unordered_map<uint64_t, std::vector<uint64_t>> read;
  for (const CgroupDrops& c : cgroups) {
    std::vector<uint64_t> before;
    if (auto known = last_drops_.find(c.id); known != last_drops_.end()) before = known->second;
    for (size_t i = 0; i < std::min(c.drops.size(), std::size(kReasons)); ++i) {
      // The kernel side may have forgotten it and begun anew.
      const uint64_t from = At(before, i) <= c.drops[i] ? At(before, i) : 0;
      if (c.drops[i] == from) continue;
      DropsIn(metrics_, LabelOf(c.id), kReasons[i]).Add(c.drops[i] - from);
    }
    read[c.id] = c.drops;
  }
  last_drops_ = std::move(read);
}

FeatureReport Pressure::Row() const {
  switch (state_) {
    case State::kNone:
      break;
    case State::kShortHeads:
      return {"capture.whole_heads", false, "", "the rings are 75 % full: long heads are cut"};
    case State::kSampling:
      return {"capture.whole_heads", false, "",
              "the rings are almost full: one connection in eight is recorded"};
  }
  return {"capture.whole_heads", true, "every connection", ""};
}

}  // namespace weft::sources::ebpf
