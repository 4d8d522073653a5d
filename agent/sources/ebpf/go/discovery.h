// Discovery: knows which processes are Go programs and keeps probes in their files. It looks at
// every process in rounds and at those that have just started at once; only the program itself can
// be Go, so one look is one link to follow. A file is read once, gets one set of probes however
// many processes run it, and loses them when a whole round found nobody who does. All work is done
// in small pieces on the data loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "sources/ebpf/go/attacher.h"
#include "sources/ebpf/go/options.h"

namespace weft::sources::ebpf::go {

// What became of the files of running Go programs.
struct Report {
  size_t files = 0;  // Go programs that run, with at least the identity of goroutines or probes
  size_t tls = 0;    // of these, with probes in crypto/tls
  size_t http = 0;   // of these, with probes in net/http's client
  std::string reason, tls_reason, http_reason;  // of the last failure, or why there are none
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

  // A whole round at once: what runs now is known when this returns. `meanwhile` is called between
  // pieces of the work.
  void LookAtAll(const std::function<void()>& meanwhile = [] {});
  // The next piece of work, if its time has come.
  void Tick();

  Report report() const;

  static constexpr uint64_t kRoundNs = 10'000'000'000;  // between the starts of two rounds
  static constexpr size_t kProcessesPerTick = 16;

 private:
  using FileId = std::pair<uint64_t, uint64_t>;  // device, inode
  struct File {
    bool is_go = false;
    bool has_tls = false, has_http = false;
    Facts facts;
    std::vector<std::unique_ptr<Attacher::Attachment>> attached;
    uint64_t round = 0;  // the last one in which somebody ran it
  };

  void LookAt(uint32_t pid);
  void StudyFile(uint32_t pid, const std::string& path, File* file);
  bool IsExcluded(uint32_t pid) const;
  void BeginRound(uint64_t now_ns);
  void EndRound();

  const Options options_;
  Deps deps_;
  base::Metric& files_metric_;
  base::Metric& failures_;
  std::map<FileId, File> files_;   // those that are not Go too, so that each is read once
  std::vector<uint32_t> waiting_;  // of this round
  std::deque<uint32_t> urgent_;
  std::string reason_, tls_reason_, http_reason_;
  uint64_t round_ = 0;
  uint64_t round_started_ns_ = 0;
  bool in_round_ = false;
};

}  // namespace weft::sources::ebpf::go
