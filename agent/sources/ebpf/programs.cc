#include "sources/ebpf/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "abi/weft_abi.h"
#include "conn.skel.h"
#include "conn_hash.skel.h"
#include "sources/ebpf/maps/message_ends.h"
#include "sources/ebpf/maps/outboxes.h"
#include "sources/ebpf/maps/ring_turns.h"

namespace weft::sources::ebpf {
namespace {

constexpr uint64_t kAllRingsBytes = 64 << 20;
constexpr uint64_t kSmallestRingBytes = 64 << 10;
constexpr uint64_t kMsPerSecond = 1000;
constexpr size_t kCgroupsRead = 4096;  // what the map holds

// Maps whose size follows max_connections, and how many connections share an entry.
constexpr std::pair<const char*, uint32_t> kScaledMaps[] = {
    {"message_ends", 1}, {"tls_sessions", 4}, {"go_calls", 4},
    {"goroutines", 4},   {"go_errands", 4},   {"go_handshakes", 16},
};
constexpr uint32_t kSmallestMap = 64;

// What holds for every object, asked before the load because the load's own errors do not say it.
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
  return CheckTracepoints({"inet_sock_set_state", "tcp_destroy_sock"},
                          "Linux 4.16 or later has them");
}

struct Visit {
  const std::function<void(base::ByteView)>* function;
  uint64_t left_bytes;
  uint64_t last_ns = 0;

  // Whether there may be more.
  bool operator()(base::ByteView record) {
    weft_record_header header;
    if (record.size() >= sizeof header) {
      std::memcpy(&header, record.data(), sizeof header);
      last_ns = header.time_ns;
    }
    (*function)(record);
    left_bytes -= std::min<uint64_t>(left_bytes, record.size());
    return left_bytes > 0;
  }
};

int OnRecord(void* context, void* data, size_t size) {
  return (*static_cast<Visit*>(context))({static_cast<const uint8_t*>(data), size}) ? 0
                                                                                    : -ECANCELED;
}

}  // namespace

struct Programs::State {
  weft_settings settings = {};
  std::unique_ptr<Object> conn;  // owns the maps
  StateIn conn_state_in = StateIn::kSockets;
  std::unique_ptr<Object> data;  // the rung in use
  const Rung* rung = nullptr;
  bool is_data_attached = false;  // before Attach
  uint32_t max_connections = 0;
  unsigned cpus = 0;
  Outboxes outboxes;
  std::vector<struct ring_buffer*> rings;
  std::vector<int> ring_maps;
  MessageEnds message_ends;
  RingTurns turns;  // one for each of `rings`
  Visit visit{nullptr, 0};

  base::Status Prepare(const Options& options);
  ~State() { FreeRings(); }
  void FreeRings() {
    for (struct ring_buffer* ring : rings) ring_buffer__free(ring);
    for (int fd : ring_maps) close(fd);
    rings.clear();
    turns = {};
    ring_maps.clear();
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

base::Result<std::unique_ptr<Programs>> Programs::Start(const Options& options,
                                                        std::vector<RungReport>* rungs) {
  QuietLibbpf();
  std::unique_ptr<Programs> programs(new Programs(std::make_unique<State>()));
  State& state = *programs->state_;
  base::Status prepared = CheckKernel();
  if (prepared.ok()) prepared = state.Prepare(options);
  if (!prepared.ok()) {
    *rungs = RefuseAll(prepared);
    return prepared;
  }
  Ladder ladder = Climb(options.data_hook, state.settings,
                        [&](StateIn state_in) { return programs->Conn(state_in); });
  *rungs = std::move(ladder.rungs);
  if (ladder.in_use == nullptr) {
    std::string reasons;
    for (const RungReport& r : *rungs) {
      reasons += (reasons.empty() ? "" : "; ") + r.name + ": " + r.reason;
    }
    return base::Error("no hook carries the data: " + reasons);
  }
  state.data = std::move(ladder.in_use);
  state.rung = ladder.rung;
  // What keeps its state in hashes stays attached: nothing that takes long is loaded beside it, and
  // the kernels that need it (before Linux 5.12) do not attach a program a second time.
  state.is_data_attached = ladder.state_in == StateIn::kHashes;
  if (!state.is_data_attached) state.data->Detach();
  return programs;
}

base::Status Programs::State::Prepare(const Options& options) {
  // Needed by kernels that charge maps to this limit; where it is refused the load says so.
  struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);

  int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return KernelError("count the CPUs", cpus);
  this->cpus = static_cast<unsigned>(cpus);
  settings.abi_version = WEFT_ABI_VERSION;
  settings.own_tgid = static_cast<uint32_t>(getpid());
  settings.head_bytes =
      static_cast<uint32_t>(std::clamp<int64_t>(options.head_bytes, 64, WEFT_CAPTURE_MAX));
  const uint64_t ring = RingBytes(static_cast<uint64_t>(options.ring_bytes), this->cpus);
  settings.ring_bytes = static_cast<uint32_t>(ring);
  settings.outbox_bytes = static_cast<uint32_t>(OutboxBytes(this->cpus));
  const uint64_t rate = static_cast<uint64_t>(options.cgroup_bytes_per_second) / kMsPerSecond;
  settings.cgroup_bytes_per_ms = static_cast<uint32_t>(rate);
  settings.cgroup_burst = static_cast<uint32_t>(ring / 2);  // never a ring for one alone
  settings.cgroup_fill_ms = static_cast<uint32_t>(rate == 0 ? 0 : settings.cgroup_burst / rate + 1);
  max_connections = static_cast<uint32_t>(options.max_connections);
  return base::Ok();
}

StateIn Programs::state_in() const { return state_->conn_state_in; }

// Loaded when the first rung asks for it: most kernels never need the other kind.
base::Result<const Object*> Programs::Conn(StateIn state_in) {
  if (state_->conn == nullptr || state_->conn_state_in != state_in) {
    state_->FreeRings();
    state_->conn.reset();
    if (base::Status loaded = LoadConn(state_in); !loaded.ok()) {
      state_->conn.reset();
      return base::Context("the life of sockets", loaded);
    }
  }
  return static_cast<const Object*>(state_->conn.get());
}

base::Status Programs::LoadConn(StateIn state_in) {
  const bool in_hashes = state_in == StateIn::kHashes;
  auto conn =
      Object::Open(in_hashes ? conn_hash__elf_bytes : conn__elf_bytes, state_->settings, nullptr);
  if (!conn.ok()) return conn.status();
  state_->conn_state_in = state_in;
  state_->conn = std::move(*conn);
  state_->conn->SetMaxEntries("rings", state_->cpus);
  state_->conn->SetMaxEntries("outboxes", state_->cpus);
  state_->conn->SetValueSize("outboxes", OutboxValueBytes(state_->settings.outbox_bytes));
  state_->conn->SetMaxEntries("scratch", state_->cpus);
  if (in_hashes) state_->conn->SetMaxEntries("sockets", state_->max_connections);
  ScaleMaps(*state_->conn);
  if (base::Status loaded = state_->conn->Load(); !loaded.ok()) return loaded;
  if (base::Status mapped = state_->message_ends.Map(state_->conn->MapFd("message_ends"),
                                                     state_->conn->MapFd("ends_told"));
      !mapped.ok())
    return mapped;
  for (uint32_t cpu = 0; cpu < state_->cpus; ++cpu)
    if (base::Status made = MakeRing(cpu, state_->settings.ring_bytes); !made.ok()) return made;
  return state_->outboxes.Map(state_->conn->MapFd("outboxes"), state_->cpus,
                              state_->settings.outbox_bytes);
}

void Programs::ScaleMaps(Object& object) const {
  for (const auto& [map, sharing] : kScaledMaps) {
    object.SetMaxEntries(map, std::max(state_->max_connections / sharing, kSmallestMap));
  }
}

base::Result<std::unique_ptr<Object>> Programs::Open(ElfBytes bytes) const {
  auto object = Object::Open(bytes, state_->settings, state_->conn.get());
  if (object.ok()) ScaleMaps(**object);
  return object;
}

base::Status Programs::MakeRing(uint32_t place, uint64_t bytes) {
  int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "weft_ring", 0, 0, static_cast<uint32_t>(bytes),
                          nullptr);
  if (fd < 0) return KernelError("make a ring buffer", errno);
  state_->ring_maps.push_back(fd);
  if (bpf_map_update_elem(state_->conn->MapFd("rings"), &place, &fd, BPF_ANY) != 0) {
    return KernelError("give a ring buffer to the programs", errno);
  }
  struct ring_buffer* ring = ring_buffer__new(fd, OnRecord, &state_->visit, nullptr);
  if (ring == nullptr) return KernelError("map a ring buffer", errno);
  state_->rings.push_back(ring);
  state_->turns.Add();
  return base::Ok();
}

// The data first: a socket that is born in between is met in the middle. The other way round its
// first bytes could pass unseen, and what comes behind them would be taken for them.
base::Status Programs::Attach() {
  if (!state_->is_data_attached) {
    base::Status attached = state_->rung->attach(*state_->data);
    if (!attached.ok()) return attached;
  }
  return state_->conn->Attach();
}

void Programs::Detach() {
  state_->data->Detach();
  state_->conn->Detach();
}

uint64_t Programs::Consume(uint64_t limit_bytes, const std::function<void(base::ByteView)>& visit) {
  state_->outboxes.Consume([&visit](base::ByteView record) {
    visit(record);
    return true;
  });
  const size_t rings = state_->rings.size();
  for (size_t i = 0; i < rings; ++i) {
    if (!state_->turns.IsDue(i)) continue;
    state_->visit = {&visit, std::max<uint64_t>(limit_bytes / rings, 1)};
    ring_buffer__consume(state_->rings[i]);
    state_->turns.Note(i, state_->visit.left_bytes == 0, state_->visit.last_ns);
  }
  state_->visit = {nullptr, 0};
  return state_->turns.EndRound();
}

unsigned Programs::outbox_percent() const { return state_->outboxes.fullest_percent(); }

KernelCounters Programs::Counters() const {
  KernelCounters sum;
  sum.drops.assign(WEFT_DROP_REASON_COUNT + 1, 0);
  std::vector<weft_counters> per_cpu(state_->cpus);
  uint32_t zero = 0;
  if (bpf_map_lookup_elem(state_->conn->MapFd("counters"), &zero, per_cpu.data()) == 0) {
    for (const weft_counters& c : per_cpu) {
      sum.unread_buffers += c.unread_buffers;
      sum.short_heads += c.short_heads;
      for (size_t i = 0; i < WEFT_DROP_REASON_COUNT; ++i) sum.drops[i] += c.drops[i];
    }
  }
  sum.drops[WEFT_DROP_REASON_COUNT] =
      state_->conn->RecursionMisses() + state_->data->RecursionMisses();
  return sum;
}

std::vector<CgroupDrops> Programs::DropsByCgroup() const {
  std::vector<CgroupDrops> out;
  const int map = state_->conn->MapFd("cgroups");
  uint64_t id = 0;
  weft_cgroup c = {};
  // A key that goes while it is visited starts the walk again: hence the bound.
  for (const void* last = nullptr;
       out.size() < kCgroupsRead && bpf_map_get_next_key(map, last, &id) == 0; last = &id) {
    if (bpf_map_lookup_elem(map, &id, &c) != 0) continue;
    out.push_back({id, std::vector<uint64_t>(std::begin(c.drops), std::end(c.drops))});
  }
  return out;
}

void Programs::SetMessageEnd(model::ConnectionId connection, model::Direction direction,
                             uint64_t position) {
  state_->message_ends.Set(connection, direction, position);
}

void Programs::ClearMessageEnds(model::ConnectionId connection) {
  state_->message_ends.Clear(connection);
}

std::vector<FeatureReport> DescribeFeatures(const base::Status& outcome,
                                            const std::vector<RungReport>& rungs) {
  FeatureReport capture{"capture", outcome.ok(), "", std::string(outcome.message())};
  std::vector<FeatureReport> out{capture};
  for (const RungReport& r : rungs) {
    const bool in_use = outcome.ok() && r.reason.empty();
    const std::string rung = r.blind.empty() ? r.name : r.name + " (cannot see: " + r.blind + ")";
    if (in_use) out[0].rung = rung;
    std::string reason = r.reason.empty() && !in_use ? capture.reason : r.reason;
    out.push_back({r.feature, in_use, in_use ? rung : "", std::move(reason)});
  }
  return out;
}

}  // namespace weft::sources::ebpf
