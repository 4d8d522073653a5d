#include "sources/ebpf/go/discovery.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "sources/ebpf/tls/elf_file.h"
#include "sources/ebpf/tls/mapped_files.h"

namespace weft::sources::ebpf::go {
namespace {

constexpr size_t kMaxUrgent = 4096;
constexpr size_t kMaxFiles = 16384;

std::string_view LastPart(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {"capture.go",
          {
              {.key = "enabled",
               .value = &options.enabled,
               .doc = "see TLS of Go programs and for which request their goroutines work"},
              {.key = "exclude",
               .value = &options.exclude,
               .doc = "Go programs to leave alone: an absolute path, or its last part"},
          }};
}

Discovery::Discovery(const Options& options, const Deps& deps)
    : options_(options),
      deps_(deps),
      files_metric_(deps.metrics.Get(base::MetricKind::kGauge, "weft_capture_go_files",
                                     "Go programs that run and are known.")),
      failures_(deps.metrics.Get(base::MetricKind::kCounter, "weft_capture_go_failed_probes_total",
                                 "Probes in Go programs that the kernel refused.")) {}

Discovery::~Discovery() = default;

bool Discovery::IsExcluded(uint32_t pid) const {
  if (options_.exclude.empty()) return false;
  const std::string program = tls::ProgramOf(deps_.proc, pid);
  return std::any_of(options_.exclude.begin(), options_.exclude.end(), [&](const auto& name) {
    return !name.empty() && (name.front() == '/' ? program == name : LastPart(program) == name);
  });
}

void Discovery::StudyFile(uint32_t pid, const std::string& path, File* file) {
  if (IsExcluded(pid)) return;  // its file is its program: nobody else runs it
  auto elf = tls::ElfFile::Open(path);
  if (!elf.ok()) return;
  std::string reason;
  const auto binary = Study(*elf, &reason);
  if (!binary) {
    if (!reason.empty()) reason_ = tls::ProgramOf(deps_.proc, pid) + ": " + reason;
    return;
  }
  file->is_go = true;
  file->facts = binary->facts;
  file->has_tls = binary->has_tls;
  file->has_http = binary->has_http;
  if (!binary->tls_reason.empty()) tls_reason_ = binary->tls_reason;
  if (!binary->http_reason.empty()) http_reason_ = binary->http_reason;
  for (const Probe& probe : binary->probes) {
    auto one = deps_.attacher.Attach(path, probe);
    if (!one.ok()) {
      // Half of the probes would be wrong; the identity of goroutines needs none.
      failures_.Add(1);
      tls_reason_ = http_reason_ = std::string(one.status().message());
      file->attached.clear();
      file->has_tls = file->has_http = false;
      break;
    }
    file->attached.push_back(std::move(*one));
  }
  files_metric_.Set(static_cast<int64_t>(report().files));
  spdlog::info("capture: Go 1.{} in {}: {} probes", binary->version.minor,
               tls::ProgramOf(deps_.proc, pid), file->attached.size());
}

void Discovery::LookAt(uint32_t pid) {
  const std::string path = deps_.proc + "/" + std::to_string(pid) + "/exe";
  struct stat s;
  if (stat(path.c_str(), &s) != 0) return;  // gone, or a thread of the kernel
  const FileId id{s.st_dev, s.st_ino};
  auto found = files_.find(id);
  if (found == files_.end()) {
    if (files_.size() >= kMaxFiles) return;
    found = files_.try_emplace(id).first;
    StudyFile(pid, path, &found->second);
  }
  found->second.round = round_;
  if (found->second.is_go) deps_.attacher.SetProcess(pid, found->second.facts);
}

void Discovery::BeginRound(uint64_t now_ns) {
  ++round_;
  in_round_ = true;
  round_started_ns_ = now_ns;
  waiting_ = tls::AllProcesses(deps_.proc);
}

// What nobody ran in this round is let go; its place on disk may be another file's tomorrow.
void Discovery::EndRound() {
  in_round_ = false;
  std::erase_if(files_, [this](const auto& entry) { return entry.second.round != round_; });
  files_metric_.Set(static_cast<int64_t>(report().files));
}

void Discovery::LookAtAll(const std::function<void()>& meanwhile) {
  BeginRound(deps_.clock.MonotonicNs());
  for (size_t n = 0; !waiting_.empty(); waiting_.pop_back()) {
    LookAt(waiting_.back());
    if (++n % kProcessesPerTick == 0) meanwhile();
  }
  EndRound();
}

void Discovery::Tick() {
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  for (uint32_t pid : deps_.attacher.TakeHints()) {
    if (urgent_.size() < kMaxUrgent) urgent_.push_back(pid);  // else the next round finds it
  }
  size_t left = kProcessesPerTick;
  for (; left > 0 && !urgent_.empty(); --left) {
    LookAt(urgent_.front());
    urgent_.pop_front();
  }
  if (!in_round_ && now_ns - round_started_ns_ >= kRoundNs) BeginRound(now_ns);
  for (; left > 0 && !waiting_.empty(); --left) {
    LookAt(waiting_.back());
    waiting_.pop_back();
  }
  if (in_round_ && waiting_.empty()) EndRound();
}

Report Discovery::report() const {
  Report out{0, 0, 0, reason_, tls_reason_, http_reason_};
  for (const auto& [id, file] : files_) {
    out.files += file.is_go;
    out.tls += file.has_tls;
    out.http += file.has_http;
  }
  const std::string_view none = "no running Go program has it";
  if (out.files == 0 && out.reason.empty()) out.reason = "no Go program runs";
  if (out.tls == 0 && out.tls_reason.empty()) out.tls_reason = none;
  if (out.http == 0 && out.http_reason.empty()) out.http_reason = none;
  return out;
}

}  // namespace weft::sources::ebpf::go
