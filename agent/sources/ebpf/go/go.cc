#include "sources/ebpf/go/go.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace weft::sources::ebpf::go {
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
  // The processes are left as they are known to the sockets' programs: forget them.
  ~KernelAttacher() override {
    for (struct bpf_link* link : links_) bpf_link__destroy(link);
    const int map = object_->MapFd("go_processes");
    uint32_t pid;
    while (map >= 0 && bpf_map_get_next_key(map, nullptr, &pid) == 0) {
      if (bpf_map_delete_elem(map, &pid) != 0) break;
    }
  }

  base::Status Load() {
    if (base::Status loaded = object_->Load(); !loaded.ok()) return loaded;
    for (size_t i = 0; i < kProgramCount; ++i) {
      programs_[i] = bpf_object__find_program_by_name(
          object_->raw(), std::string(NameOf(static_cast<Program>(i))).c_str());
      if (programs_[i] == nullptr) return base::Error("a program is missing");
    }
    // Without them an id that is used again might be taken for a Go process: no capture then.
    for (const char* name : {"go_on_exec", "go_on_exit"}) {
      struct bpf_program* program = bpf_object__find_program_by_name(object_->raw(), name);
      struct bpf_link* link = program == nullptr ? nullptr : bpf_program__attach(program);
      if (link == nullptr) return KernelError(std::string("attach ") + name, errno);
      links_.push_back(link);
    }
    return base::Ok();
  }

  base::Result<std::unique_ptr<Attachment>> Attach(const std::string& path,
                                                   const Probe& probe) override {
    struct bpf_uprobe_opts options = {};
    options.sz = sizeof options;
    options.bpf_cookie = probe.cookie;
    struct bpf_link* link = bpf_program__attach_uprobe_opts(
        programs_[static_cast<size_t>(probe.program)], -1, path.c_str(), probe.offset, &options);
    if (link == nullptr) return KernelError("attach a uprobe in " + path, errno);
    return std::unique_ptr<Attachment>(new Uprobe(link));
  }

  void SetProcess(uint32_t pid, const Facts& facts) override {
    const uint64_t value = CookieOf(facts);
    const int map = object_->MapFd("go_processes"), births = object_->MapFd("go_births");
    uint64_t known = 0;
    if (bpf_map_lookup_elem(map, &pid, &known) == 0 && known == value) return;
    bpf_map_update_elem(map, &pid, &value, BPF_ANY);
    // Behind the entry: sockets remember who was no Go program until this changes.
    uint32_t zero = 0, count = 0;
    bpf_map_lookup_elem(births, &zero, &count);
    ++count;
    bpf_map_update_elem(births, &zero, &count, BPF_ANY);
  }

  std::vector<uint32_t> TakeHints() override {
    std::vector<uint32_t> pids;
    uint32_t pid;
    while (pids.size() < kHintsAtOnce &&
           bpf_map_lookup_and_delete_elem(object_->MapFd("go_hints"), nullptr, &pid) == 0) {
      pids.push_back(pid);
    }
    return pids;
  }

 private:
  std::unique_ptr<Object> object_;
  std::array<struct bpf_program*, kProgramCount> programs_ = {};
  std::vector<struct bpf_link*> links_;
};

FeatureReport Row(const std::string& name, size_t files, const std::string& reason) {
  const bool used = files > 0;
  const std::string text = std::to_string(files) + (files == 1 ? " file" : " files");
  return {name, used, used ? text : "", used ? "" : reason};
}

}  // namespace

struct Go::State {
  KernelAttacher attacher;
  Discovery discovery;

  State(std::unique_ptr<Object> object, const Options& options, const base::Clock& clock,
        base::MetricRegistry& metrics)
      : attacher(std::move(object)), discovery(options, {attacher, clock, metrics}) {}
};

Go::Go(std::unique_ptr<State> state) : state_(std::move(state)) {}
Go::~Go() = default;

base::Result<std::unique_ptr<Go>> Go::Start(std::unique_ptr<Object> object, const Options& options,
                                            const base::Clock& clock, base::MetricRegistry& metrics,
                                            const std::function<void()>& meanwhile) {
  auto state = std::make_unique<State>(std::move(object), options, clock, metrics);
  if (base::Status loaded = state->attacher.Load(); !loaded.ok()) {
    return base::Context("go", loaded);
  }
  meanwhile();
  state->discovery.LookAtAll(meanwhile);
  return std::unique_ptr<Go>(new Go(std::move(state)));
}

void Go::Tick() { state_->discovery.Tick(); }

Report Go::report() const { return state_->discovery.report(); }

std::vector<FeatureReport> Features(const base::Status& outcome, const Go* running) {
  const bool on = outcome.ok() && running != nullptr;
  const std::string why(outcome.message());
  Report r;
  r.reason = r.tls_reason = r.http_reason = why;
  if (on) r = running->report();
  return {{"capture.go", on, on ? "goroutines" : "", why},
          Row("capture.go.programs", r.files, r.reason),
          Row("capture.go.tls", r.tls, r.tls_reason),
          Row("capture.go.http_client", r.http, r.http_reason)};
}

}  // namespace weft::sources::ebpf::go
