#include "sources/ebpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

#include "abi/weft_abi.h"
#include "base/log.h"
#include "http.skel.h"

namespace weft::sources::ebpf {
namespace {

constexpr uint64_t kAllRingsBytes = 64 << 20;
constexpr uint64_t kSmallestRingBytes = 64 << 10;

// Keeps what libbpf would print: at debug level in the log, nothing on the terminal.
int LogLibbpf(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[512];
  int n = std::vsnprintf(line, sizeof line, format, arguments);
  std::string_view text(line, std::min<size_t>(std::max(n, 0), sizeof line - 1));
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  spdlog::debug("{}", text);
  return n;
}

base::Status KernelError(std::string_view what, int error) {
  error = std::abs(error);
  std::string text(what);
  text += ": ";
  text += std::strerror(error);
  if (error == EPERM) text += " (root, or CAP_BPF and CAP_PERFMON, is needed)";
  return base::Error(text);
}

// What the programs need, asked before the load because the load's own errors do not say it.
base::Status CheckKernel() {
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return base::Error("the kernel has no BTF (/sys/kernel/btf/vmlinux cannot be read)");
  }
  char pid_namespace[64] = "";
  // The kernel counts pids in its first namespace, whose inode is fixed.
  if (readlink("/proc/self/ns/pid", pid_namespace, sizeof pid_namespace - 1) > 0 &&
      std::strcmp(pid_namespace, "pid:[4026531836]") != 0) {
    return base::Error("weft does not run in the machine's pid namespace (hostPID)");
  }
  struct btf* btf = btf__load_vmlinux_btf();
  if (btf == nullptr) return KernelError("read the kernel's BTF", errno);
  std::string missing;
  for (const char* name :
       {"sock_send_length", "sock_recv_length", "inet_sock_set_state", "tcp_destroy_sock"}) {
    std::string type = std::string("btf_trace_") + name;
    if (btf__find_by_name_kind(btf, type.c_str(), BTF_KIND_TYPEDEF) < 0) {
      missing += missing.empty() ? "" : ", ";
      missing += name;
    }
  }
  btf__free(btf);
  if (missing.empty()) return base::Ok();
  return base::Error("the kernel lacks the tracepoints " + missing +
                     " (Linux 6.3 or later has them)");
}

struct Visit {
  const std::function<void(base::ByteView)>* function;
  uint64_t left_bytes;
};

int OnRecord(void* context, void* data, size_t size) {
  Visit* visit = static_cast<Visit*>(context);
  (*visit->function)({static_cast<const uint8_t*>(data), size});
  if (size >= visit->left_bytes) {
    visit->left_bytes = 0;
    return -ECANCELED;
  }
  visit->left_bytes -= size;
  return 0;
}

}  // namespace

struct Programs::State {
  struct http* skeleton = nullptr;
  unsigned cpus = 0;
  std::vector<struct ring_buffer*> rings;
  std::vector<int> ring_maps;
  Visit visit{nullptr, 0};

  ~State() {
    for (struct ring_buffer* ring : rings) ring_buffer__free(ring);
    for (int fd : ring_maps) close(fd);
    if (skeleton != nullptr) http__destroy(skeleton);
  }
};

Programs::Programs(std::unique_ptr<State> state) : state_(std::move(state)) {}
Programs::~Programs() = default;

std::vector<std::string> DropReasonNames() {
  return {
#define WEFT_X(name, number, text) text,
      WEFT_DROP_REASONS(WEFT_X)
#undef WEFT_X
          "recursion",
  };
}

uint64_t RingBytes(uint64_t wanted, unsigned cpus) {
  uint64_t bytes = std::min(wanted, kAllRingsBytes / std::max(cpus, 1u));
  return std::bit_floor(std::max(bytes, kSmallestRingBytes));
}

base::Result<std::unique_ptr<Programs>> Programs::Load(uint32_t head_bytes, uint64_t ring_bytes) {
  libbpf_set_print(LogLibbpf);
  if (base::Status able = CheckKernel(); !able.ok()) return able;
  // Needed by kernels that charge maps to this limit; where it is refused the load says so.
  struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);

  auto state = std::make_unique<State>();
  int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return KernelError("count the CPUs", cpus);
  state->cpus = static_cast<unsigned>(cpus);
  state->skeleton = http__open();
  if (state->skeleton == nullptr) return KernelError("open the programs", errno);
  struct http* skeleton = state->skeleton;
  weft_settings& settings = skeleton->rodata->settings;
  if (settings.abi_version != WEFT_ABI_VERSION) {
    return base::Error("the BPF object is of another version than this program");
  }
  settings.own_tgid = static_cast<uint32_t>(getpid());
  settings.head_bytes = std::clamp<uint32_t>(head_bytes, 64, WEFT_CAPTURE_MAX);
  bpf_map__set_max_entries(skeleton->maps.rings, state->cpus);
  bpf_map__set_max_entries(skeleton->maps.scratch, state->cpus);
  if (int error = http__load(skeleton); error != 0) return KernelError("load the programs", error);

  std::unique_ptr<Programs> programs(new Programs(std::move(state)));
  if (base::Status rings = programs->MakeRings(RingBytes(ring_bytes, cpus)); !rings.ok()) {
    return rings;
  }
  return programs;
}

base::Status Programs::MakeRings(uint64_t ring_bytes) {
  const int outer = bpf_map__fd(state_->skeleton->maps.rings);
  for (uint32_t cpu = 0; cpu < state_->cpus; ++cpu) {
    int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "weft_ring", 0, 0,
                            static_cast<uint32_t>(ring_bytes), nullptr);
    if (fd < 0) return KernelError("make a ring buffer", errno);
    state_->ring_maps.push_back(fd);
    if (bpf_map_update_elem(outer, &cpu, &fd, BPF_ANY) != 0) {
      return KernelError("give a ring buffer to the programs", errno);
    }
    struct ring_buffer* ring = ring_buffer__new(fd, OnRecord, &state_->visit, nullptr);
    if (ring == nullptr) return KernelError("map a ring buffer", errno);
    state_->rings.push_back(ring);
  }
  return base::Ok();
}

base::Status Programs::Attach() {
  int error = http__attach(state_->skeleton);
  if (error == 0) return base::Ok();
  http__detach(state_->skeleton);
  return KernelError("attach the programs", error);
}

void Programs::Detach() { http__detach(state_->skeleton); }

void Programs::Consume(uint64_t limit_bytes, const std::function<void(base::ByteView)>& visit) {
  state_->visit = {&visit, limit_bytes};
  for (struct ring_buffer* ring : state_->rings) {
    if (state_->visit.left_bytes == 0) break;
    ring_buffer__consume(ring);
  }
  state_->visit = {nullptr, 0};
}

KernelCounters Programs::Counters() const {
  KernelCounters sum;
  sum.drops.assign(WEFT_DROP_REASON_COUNT + 1, 0);
  std::vector<weft_counters> per_cpu(state_->cpus);
  uint32_t zero = 0;
  if (bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.counters), &zero, per_cpu.data()) ==
      0) {
    for (const weft_counters& c : per_cpu) {
      sum.records += c.records;
      sum.unread_buffers += c.unread_buffers;
      for (size_t i = 0; i < WEFT_DROP_REASON_COUNT; ++i) sum.drops[i] += c.drops[i];
    }
  }
  struct bpf_program* program;
  bpf_object__for_each_program(program, state_->skeleton->obj) {
    struct bpf_prog_info info = {};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0) {
      sum.drops[WEFT_DROP_REASON_COUNT] += info.recursion_misses;
    }
  }
  return sum;
}

void Programs::SetMessageEnd(model::ConnectionId connection, model::Direction direction,
                             uint64_t position) {
  weft_message_end_key key = {connection, static_cast<uint32_t>(direction), 0};
  // A full map means that a later head is seen by its length only; the parser resyncs.
  bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.message_ends), &key, &position, BPF_ANY);
}

void Programs::ClearMessageEnds(model::ConnectionId connection) {
  for (uint32_t direction : {WEFT_SEND, WEFT_RECEIVE}) {
    weft_message_end_key key = {connection, direction, 0};
    bpf_map_delete_elem(bpf_map__fd(state_->skeleton->maps.message_ends), &key);
  }
}

std::vector<FeatureReport> DescribeFeatures(const base::Status& data_hook) {
  const std::string not_built = "not built in this version";
  std::string reason(data_hook.message());
  return {
      {"capture", data_hook.ok(), data_hook.ok() ? "tp_btf sock_*_length" : "", reason},
      {"capture.hook.fentry", false, "", not_built},
      {"capture.hook.kprobe", false, "", not_built},
      {"capture.hook.syscall_tracepoint", false, "", not_built},
      {"capture.tls", false, "", not_built},
  };
}

}  // namespace weft::sources::ebpf
