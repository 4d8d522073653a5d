#include "sources/ebpf/tls/tls.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace weft::sources::ebpf::tls {
namespace {

constexpr size_t kHintsAtOnce = 256;

class Uprobe final : public Attacher::Attachment {
 public:
  explicit Uprobe(struct bpf_link* link) : link_(link) {}
  ~Uprobe() override { bpf_link__destroy(link_); }

 private:
  struct bpf_link* link_;
};

class KernelAttacher final : public Attacher {
 public:
  explicit KernelAttacher(std::unique_ptr<Object> object) : object_(std::move(object)) {}
  ~KernelAttacher() override { bpf_link__destroy(exec_hint_); }

  base::Status Load(uint32_t max_sessions) {
    object_->SetMaxEntries("tls_sessions", max_sessions);
    if (base::Status loaded = object_->Load(); !loaded.ok()) return loaded;
    for (size_t i = 0; i < kProgramCount; ++i) {
      programs_[i] = bpf_object__find_program_by_name(
          object_->raw(), std::string(NameOf(static_cast<Program>(i))).c_str());
      if (programs_[i] == nullptr) return base::Error("a program is missing");
    }
    // Without it new programs are found in the next round.
    struct bpf_program* hint = bpf_object__find_program_by_name(object_->raw(), "on_exec");
    if (hint != nullptr) exec_hint_ = bpf_program__attach(hint);
    return base::Ok();
  }

  base::Result<std::unique_ptr<Attachment>> Attach(const std::string& path,
                                                   const Probe& probe) override {
    struct bpf_uprobe_opts options = {};
    options.sz = sizeof options;
    options.retprobe = probe.is_return_probe;
    struct bpf_link* link = bpf_program__attach_uprobe_opts(
        programs_[static_cast<size_t>(probe.program)], -1, path.c_str(), probe.offset, &options);
    if (link == nullptr) return KernelError("attach a uprobe in " + path, errno);
    return std::unique_ptr<Attachment>(new Uprobe(link));
  }

  void SetExcluded(uint32_t pid, bool excluded) override {
    const int map = object_->MapFd("tls_excluded");
    const uint8_t yes = 1;
    if (excluded) {
      bpf_map_update_elem(map, &pid, &yes, BPF_ANY);
    } else {
      bpf_map_delete_elem(map, &pid);
    }
  }

  std::vector<uint32_t> TakeHints() override {
    std::vector<uint32_t> pids;
    uint32_t pid;
    while (pids.size() < kHintsAtOnce &&
           bpf_map_lookup_and_delete_elem(object_->MapFd("tls_hints"), nullptr, &pid) == 0) {
      pids.push_back(pid);
    }
    return pids;
  }

 private:
  std::unique_ptr<Object> object_;
  std::array<struct bpf_program*, kProgramCount> programs_ = {};
  struct bpf_link* exec_hint_ = nullptr;
};

}  // namespace

struct Tls::State {
  KernelAttacher attacher;
  Discovery discovery;

  State(std::unique_ptr<Object> object, const Options& options, const base::Clock& clock,
        base::MetricRegistry& metrics)
      : attacher(std::move(object)), discovery(options, {attacher, clock, metrics}) {}
};

Tls::Tls(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tls::~Tls() = default;

base::Result<std::unique_ptr<Tls>> Tls::Start(std::unique_ptr<Object> object,
                                              const Options& options, const base::Clock& clock,
                                              base::MetricRegistry& metrics,
                                              const std::function<void()>& meanwhile) {
  auto state = std::make_unique<State>(std::move(object), options, clock, metrics);
  if (base::Status loaded = state->attacher.Load(static_cast<uint32_t>(options.max_sessions));
      !loaded.ok()) {
    return base::Context("tls", loaded);
  }
  meanwhile();
  state->discovery.LookAtAll(meanwhile);
  return std::unique_ptr<Tls>(new Tls(std::move(state)));
}

void Tls::Tick() { state_->discovery.Tick(); }

std::vector<FamilyReport> Tls::Report() const { return state_->discovery.Report(); }

std::vector<FeatureReport> Features(const base::Status& outcome, const Tls* running) {
  const bool on = outcome.ok() && running != nullptr;
  const std::string why(outcome.message());
  std::vector<FeatureReport> rows{{"capture.tls", on, on ? "uprobes" : "", why}};
  std::vector<FamilyReport> reports;
  if (on) {
    reports = running->Report();
  } else {
    for (std::string_view family : FamilyNames()) reports.push_back({family, 0, why});
  }
  for (const FamilyReport& r : reports) {
    const bool used = r.files > 0;
    rows.push_back({"capture.tls." + std::string(r.family), used,
                    used ? std::to_string(r.files) + (r.files == 1 ? " file" : " files") : "",
                    used ? "" : r.reason});
  }
  return rows;
}

}  // namespace weft::sources::ebpf::tls
