// Discovery: keeps the probes of TLS libraries where the processes of the machine need them. It
// looks at every process in rounds and at those that the kernel side hints at (just started, or
// speaking TLS) at once; a file that has the functions of a family gets one set of probes however
// many processes map it, and loses them when nobody has for a minute: clients that run for a moment
// (curl, git) find them in place when they come again. All work is done in small pieces on the data
// loop: a bounded number of processes and new files per tick.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "sources/ebpf/tls/attacher.h"
#include "sources/ebpf/tls/mapped_files.h"
#include "sources/ebpf/tls/options.h"

namespace weft::sources::ebpf::tls {

// What became of one family.
struct FamilyReport {
  std::string_view family;
  size_t files = 0;    // with probes in them
  std::string reason;  // of the last failure, or why there are none
};

// Threads: one. Owns: what is attached.
class Discovery {
 public:
  struct Deps {
    Attacher& attacher;
    const base::Clock& clock;
    base::MetricRegistry& metrics;
    std::string proc = "/proc";
  };
  Discovery(const Options& options, const Deps& deps);
  ~Discovery();

  // A whole round at once: what runs now is probed when this returns. `meanwhile` is called between
  // pieces of the work. Cost: every process's maps.
  void LookAtAll(const std::function<void()>& meanwhile = [] {});
  // The next piece of work, if its time has come. Cost: at most a few milliseconds.
  void Tick();

  std::vector<FamilyReport> Report() const;
  size_t probed_files() const { return probed_; }

  static constexpr uint64_t kRoundNs = 10'000'000'000;   // between the starts of two rounds
  static constexpr uint64_t kLingerNs = 60'000'000'000;  // a library that nobody maps any more
  static constexpr size_t kProcessesPerTick = 4;
  static constexpr size_t kNewFilesPerTick = 16;

 private:
  struct File {
    std::vector<std::string_view> families;
    std::vector<std::unique_ptr<Attacher::Attachment>> attached;
    uint64_t round = 0;    // the last one in which somebody mapped it
    uint64_t seen_ns = 0;  // when that was
  };
  struct Revisit {
    uint64_t due_ns;
    uint32_t pid;
    friend bool operator<(const Revisit& a, const Revisit& b) { return a.due_ns > b.due_ns; }
  };

  void LookAt(uint32_t pid);
  void StudyFile(const MappedFile& mapped, File* file);
  bool AttachPlan(const std::string& path, const ProbePlan& plan, File* file);
  bool IsExcluded(uint32_t pid);
  void BeginRound(uint64_t now_ns);
  void EndRound();
  void TakeHints(uint64_t now_ns);

  const Options options_;
  Deps deps_;
  base::Metric& probes_;
  base::Metric& failures_;
  std::map<FileId, File> files_;  // those without a family too, so that each is read once
  std::set<uint32_t> excluded_;
  std::vector<uint32_t> waiting_;  // of this round
  std::deque<uint32_t> urgent_;
  std::vector<Revisit> revisits_;  // a heap
  std::map<std::string_view, std::string> failed_;
  uint64_t round_ = 0;
  uint64_t round_started_ns_ = 0;
  bool in_round_ = false;
  size_t new_files_left_ = 0;  // of this tick
  size_t probed_ = 0;
};

}  // namespace weft::sources::ebpf::tls
