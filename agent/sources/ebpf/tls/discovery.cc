#include "sources/ebpf/tls/discovery.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace weft::sources::ebpf::tls {
namespace {

// A program has not mapped its libraries yet when it starts: the loader needs its time, and what is
// loaded later (plug-ins, an interpreter's modules) more.
constexpr uint64_t kRevisitsNs[] = {5'000'000, 100'000'000, 2'000'000'000};
constexpr size_t kMaxRevisits = 4096;
constexpr size_t kMaxUrgent = 4096;
constexpr size_t kMaxFiles = 16384;

std::string_view LastPart(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {"capture.tls",
          {
              {.key = "enabled",
               .value = &options.enabled,
               .doc = "see plaintext of TLS connections, by probes in OpenSSL and GnuTLS"},
              {.key = "exclude",
               .value = &options.exclude,
               .doc = "programs whose TLS is left alone: an absolute path, or its last part"},
              {.key = "max_sessions",
               .value = &options.max_sessions,
               .doc = "TLS sessions remembered; the least recently used is forgotten first",
               .min = 64,
               .max = 1 << 20},
          }};
}

Discovery::Discovery(const Options& options, const Deps& deps)
    : options_(options),
      deps_(deps),
      probes_(deps.metrics.Get(base::MetricKind::kGauge, "weft_capture_tls_files",
                               "Libraries and programs that have TLS probes.")),
      failures_(deps.metrics.Get(base::MetricKind::kCounter, "weft_capture_tls_failed_probes_total",
                                 "TLS probes that the kernel refused.")) {}

Discovery::~Discovery() = default;

bool Discovery::IsExcluded(uint32_t pid) {
  if (options_.exclude.empty()) return false;
  const std::string program = ProgramOf(deps_.proc, pid);
  return std::any_of(options_.exclude.begin(), options_.exclude.end(), [&](const auto& name) {
    return !name.empty() && (name.front() == '/' ? program == name : LastPart(program) == name);
  });
}

bool Discovery::AttachPlan(const std::string& path, const ProbePlan& plan, File* file) {
  std::vector<std::unique_ptr<Attacher::Attachment>> attached;
  for (const Probe& probe : plan.probes) {
    auto one = deps_.attacher.Attach(path, probe);
    if (!one.ok()) {
      failures_.Add(1);
      failed_[plan.family] = std::string(one.status().message());
      return false;
    }
    attached.push_back(std::move(*one));
  }
  file->families.push_back(plan.family);
  std::move(attached.begin(), attached.end(), std::back_inserter(file->attached));
  return true;
}

void Discovery::StudyFile(const MappedFile& mapped, File* file) {
  for (const std::string& path : mapped.opened) {
    auto elf = ElfFile::Open(path);
    if (!elf.ok()) continue;
    for (const ProbePlan& plan : PlanProbes(*elf)) {
      if (AttachPlan(path, plan, file)) {
        spdlog::info("capture: {} in {}: {} probes", plan.family, mapped.path, plan.probes.size());
      }
    }
    if (!file->families.empty()) ++probed_;
    probes_.Set(static_cast<int64_t>(probed_));
    return;
  }
}

void Discovery::LookAt(uint32_t pid) {
  if (IsExcluded(pid)) {
    if (excluded_.insert(pid).second) deps_.attacher.SetExcluded(pid, true);
    return;
  }
  if (excluded_.erase(pid) > 0) deps_.attacher.SetExcluded(pid, false);
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  bool is_postponed = false;
  for (const MappedFile& mapped : FilesMappedBy(deps_.proc, pid)) {
    auto found = files_.find(mapped.id);
    if (found == files_.end()) {
      if (files_.size() >= kMaxFiles) continue;
      is_postponed |= new_files_left_ == 0;
      if (new_files_left_ == 0) continue;
      --new_files_left_;
      found = files_.try_emplace(mapped.id).first;
      StudyFile(mapped, &found->second);
    }
    found->second.round = round_;
    found->second.seen_ns = now_ns;
  }
  if (is_postponed && urgent_.size() < kMaxUrgent) urgent_.push_back(pid);
}

void Discovery::BeginRound(uint64_t now_ns) {
  ++round_;
  in_round_ = true;
  round_started_ns_ = now_ns;
  waiting_ = AllProcesses(deps_.proc);
}

// What nobody mapped in this round is let go: its place on disk may be another file's tomorrow.
// Probes hold that place, and stay for a while: whoever runs for a moment often runs again.
void Discovery::EndRound() {
  in_round_ = false;
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  for (auto it = files_.begin(); it != files_.end();) {
    const File& file = it->second;
    if (file.round == round_ || (!file.families.empty() && now_ns - file.seen_ns < kLingerNs)) {
      ++it;
      continue;
    }
    if (!it->second.families.empty()) --probed_;
    it = files_.erase(it);
  }
  probes_.Set(static_cast<int64_t>(probed_));
  const std::vector<uint32_t> living = AllProcesses(deps_.proc);
  const std::set<uint32_t> alive(living.begin(), living.end());
  for (auto it = excluded_.begin(); it != excluded_.end();) {
    if (alive.contains(*it)) {
      ++it;
      continue;
    }
    deps_.attacher.SetExcluded(*it, false);
    it = excluded_.erase(it);
  }
}

void Discovery::LookAtAll(const std::function<void()>& meanwhile) {
  BeginRound(deps_.clock.MonotonicNs());
  new_files_left_ = SIZE_MAX;
  for (size_t n = 0; !waiting_.empty(); waiting_.pop_back()) {
    LookAt(waiting_.back());
    if (++n % kProcessesPerTick == 0) meanwhile();
  }
  EndRound();
}

void Discovery::TakeHints(uint64_t now_ns) {
  for (uint32_t pid : deps_.attacher.TakeHints()) {
    if (urgent_.size() < kMaxUrgent) urgent_.push_back(pid);
    if (revisits_.size() >= kMaxRevisits) continue;  // the next round finds it
    for (uint64_t after_ns : kRevisitsNs) {
      revisits_.push_back({now_ns + after_ns, pid});
      std::push_heap(revisits_.begin(), revisits_.end());
    }
  }
  while (!revisits_.empty() && revisits_.front().due_ns <= now_ns && urgent_.size() < kMaxUrgent) {
    urgent_.push_back(revisits_.front().pid);
    std::pop_heap(revisits_.begin(), revisits_.end());
    revisits_.pop_back();
  }
}

void Discovery::Tick() {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  TakeHints(now_ns);
  size_t left = kProcessesPerTick;
  new_files_left_ = kNewFilesPerTick;
  for (; left > 0 && new_files_left_ > 0 && !urgent_.empty(); --left) {
    LookAt(urgent_.front());
    urgent_.pop_front();
  }
  if (!in_round_ && now_ns - round_started_ns_ >= kRoundNs) BeginRound(now_ns);
  for (; left > 0 && new_files_left_ > 0 && !waiting_.empty(); --left) {
    LookAt(waiting_.back());
    waiting_.pop_back();
  }
  if (in_round_ && waiting_.empty()) EndRound();
}

std::vector<FamilyReport> Discovery::Report() const {
  std::vector<FamilyReport> reports;
  for (std::string_view family : FamilyNames()) {
    FamilyReport report{family, 0, ""};
    for (const auto& [id, file] : files_) {
      report.files +=
          static_cast<size_t>(std::count(file.families.begin(), file.families.end(), family));
    }
    if (auto failed = failed_.find(family); failed != failed_.end()) report.reason = failed->second;
    if (report.files == 0 && report.reason.empty()) report.reason = "no running process maps it";
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace weft::sources::ebpf::tls
