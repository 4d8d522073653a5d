#include "sources/ebpf/capture.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>

#include "abi/weft_abi.h"
#include "base/log.h"
#include "go.skel.h"
#include "sources/ebpf/connection_table.h"
#include "sources/ebpf/go/go.h"
#include "sources/ebpf/maps/ring_turns.h"
#include "sources/ebpf/pressure.h"
#include "sources/ebpf/programs.h"
#include "sources/ebpf/record_view.h"
#include "sources/ebpf/tls/tls.h"
#include "tls.skel.h"

namespace weft::sources::ebpf {
namespace {

constexpr std::chrono::milliseconds kHurriedPeriod{2}, kBusyPeriod{5}, kIdlePeriod{10};
constexpr uint64_t kBusyRecords = 64;          // in one drain
constexpr unsigned kHurriedPercent = 50;       // of an outbox; a ring costs more than a drain
constexpr uint64_t kSettleNs = 1'000'000;      // younger records wait for those of slower CPUs
constexpr uint64_t kBatchBytes = 4 << 20;      // of rings; as segments they are some times as many
constexpr uint64_t kCountersNs = 100'000'000;  // between two looks at the kernel's counters

uint64_t OwnNetworkNamespace() {
  struct stat s;
  return stat("/proc/self/ns/net", &s) == 0 ? s.st_ino : 0;
}

model::Endpoint ToEndpoint(uint8_t family, const uint8_t (&address)[16], uint16_t port) {
  if (family == 6) return model::Endpoint::V6(address, port);
  uint8_t v4[4];
  std::memcpy(v4, address, sizeof v4);
  return model::Endpoint::V4(v4, port);
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {
      "capture",
      {
          {.key = "enabled",
           .value = &options.enabled,
           .doc = "see HTTP requests of all processes with eBPF"},
          {.key = "head_bytes",
           .value = &options.head_bytes,
           .doc = "bytes; copied of each direction until the other side speaks",
           .min = 64,
           .max = WEFT_CAPTURE_MAX},
          {.key = "ring_bytes",
           .value = &options.ring_bytes,
           .doc = "bytes; ring buffer of each CPU for what its outbox (at most 256 KiB) "
                  "cannot hold, rounded down to a power of two; all together at most 64 MiB",
           .min = 64 << 10,
           .max = 64 << 20},
          {.key = "max_connections",
           .value = &options.max_connections,
           .doc = "TCP sockets remembered, and a quarter as many UDP sockets; what is closed or "
                  "not in use is forgotten first; the tables of the kernel side are sized by it",
           .min = 64,
           .max = 1 << 22},
          {.key = "cgroup_bytes_per_second",
           .value = &options.cgroup_bytes_per_second,
           .doc = "bytes that one container may put into the rings when weft cannot keep up, "
                  "so that it cannot blind weft to the others; 0: any number",
           .min = 0,
           .max = int64_t{1} << 40},
          {.key = "data_hook",
           .value = &options.data_hook,
           .doc = "the kernel hook that carries the data; auto: the best that works",
           .choices = {"auto", "fentry", "sock_length", "kprobe", "syscall"}},
      }};
}

// Starts TLS capture beside `programs`; the outcome is never that of the capture.
static base::Status StartTls(const Programs& programs, const tls::Options& options,
                             const base::Clock& clock, base::MetricRegistry& metrics,
                             const std::function<void()>& meanwhile,
                             std::unique_ptr<tls::Tls>* out) {
  if (!options.enabled) return base::Error("switched off");
  if (programs.state_in() == StateIn::kHashes) {
    return base::Error("the data hook in use keeps its state in hashes, which TLS does not share");
  }
  auto object = programs.Open(tls__elf_bytes);
  if (!object.ok()) return object.status();
  auto started = tls::Tls::Start(std::move(*object), options, clock, metrics, meanwhile);
  if (!started.ok()) return started.status();
  *out = std::move(*started);
  return base::Ok();
}

// The same for Go programs.
static base::Status StartGo(const Programs& programs, const go::Options& options,
                            const base::Clock& clock, base::MetricRegistry& metrics,
                            const std::function<void()>& meanwhile, std::unique_ptr<go::Go>* out) {
  if (!options.enabled) return base::Error("switched off");
  if (programs.state_in() == StateIn::kHashes) {
    return base::Error("the data hook in use keeps its state in hashes, which Go does not share");
  }
  auto object = programs.Open(go__elf_bytes);
  if (!object.ok()) return object.status();
  auto started = go::Go::Start(std::move(*object), options, clock, metrics, meanwhile);
  if (!started.ok()) return started.status();
  *out = std::move(*started);
  return base::Ok();
}

// What probes in programs and libraries add, and what became of it.
struct Additions {
  std::unique_ptr<tls::Tls> tls;
  std::unique_ptr<go::Go> go;
  base::Status tls_outcome = base::Error("not started");
  base::Status go_outcome = tls_outcome;

  void Start(const Programs& programs, const Options& options, const base::Clock& clock,
             base::MetricRegistry& metrics, const std::function<void()>& meanwhile) {
    tls_outcome = StartTls(programs, options.tls, clock, metrics, meanwhile, &tls);
    go_outcome = StartGo(programs, options.go, clock, metrics, meanwhile, &go);
  }
  void Stop(const base::Status& why) {
    tls.reset();
    go.reset();
    tls_outcome = go_outcome = why;
  }
  void Tick() {
    if (tls) tls->Tick();
    if (go) go->Tick();
  }
};

static std::vector<FeatureReport> AllFeatures(const base::Status& outcome,
                                              const std::vector<RungReport>& rungs,
                                              const Additions& additions) {
  std::vector<FeatureReport> rows = DescribeFeatures(outcome, rungs);
  for (FeatureReport& row : tls::Features(additions.tls_outcome, additions.tls.get())) {
    rows.push_back(std::move(row));
  }
  for (FeatureReport& row : go::Features(additions.go_outcome, additions.go.get())) {
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<FeatureReport> Probe(const Options& options) {
  Options small = options;
  small.ring_bytes = 64 << 10;
  std::vector<RungReport> rungs;
  auto programs = Programs::Start(small, &rungs);
  Additions additions;
  additions.Stop(programs.status());
  if (!programs.ok()) return AllFeatures(programs.status(), rungs, additions);
  base::SystemClock clock;
  base::MetricRegistry metrics;
  additions.Start(**programs, options, clock, metrics, [] {});
  return AllFeatures((*programs)->Attach(), rungs, additions);
}

// A record that waits for its turn. Its captured bytes are in the arena of the drain.
struct Waiting {
  RecordView record;
  size_t offset = 0;
  size_t captured = 0;
};

struct Capture::State {
  State(const Options& o, const Deps& d);

  void OnRecord(base::ByteView raw);
  void Announce(const RecordView& record);
  void Translate(const Waiting& w, model::SegmentBatch* batch, std::vector<size_t>* offsets);
  void TranslateData(const Waiting& w, std::shared_ptr<const model::Connection> connection,
                     model::SegmentBatch* batch, std::vector<size_t>* offsets);
  bool PushStuck();
  void Drain(bool flush);
  // Takes a part; until when everything has been sent, or kAllRead when the sink is busy.
  uint64_t DrainPart(bool flush);
  void PushRipe(uint64_t cutoff_ns);
  void KeepYounger(const std::vector<std::pair<uint64_t, uint32_t>>& order, size_t first);
  void CountKernel();
  std::chrono::milliseconds Period() const;
  void Arm(std::chrono::milliseconds delay);
  model::ProcessRef ProcessOf(uint32_t pid, uint64_t start_ns, std::string_view comm);

  const Options options;
  Deps deps;
  base::LedgerRow& row;
  base::Metric& records;
  base::Metric& captured_bytes;
  base::Metric& unread_buffers;
  base::Metric& evicted;
  base::Metric& open_connections;
  std::unordered_map<std::string, base::Metric*> dropped;

  std::unique_ptr<Programs> programs;
  Additions additions;  // behind `programs`, whose maps they share
  base::Status outcome = base::Error("not started");
  std::vector<RungReport> rungs;
  ConnectionTable table;
  net::EventLoop::TimerId timer = 0;
  bool armed = false;

  std::vector<Waiting> waiting;
  base::ByteBuffer arena;
  std::optional<model::SegmentBatch> stuck;  // the sink said busy
  uint64_t stuck_records = 0;
  uint64_t drained = 0;  // records of this drain
  Pressure pressure;
  KernelCounters last_counters;
  uint64_t counted_ns = 0;
  model::ProcessKey last_key;
  model::ProcessRef last_process;
  base::LogLimiter complain{10'000'000'000};
};

Capture::State::State(const Options& o, const Deps& d)
    : options(o),
      deps(d),
      row(d.ledger.Row("ebpf", "records")),
      records(d.metrics.Get(base::MetricKind::kCounter, "weft_capture_records_total",
                            "Records taken from the kernel's rings.")),
      captured_bytes(d.metrics.Get(base::MetricKind::kCounter, "weft_capture_captured_bytes_total",
                                   "Bytes of messages copied by the kernel side.")),
      unread_buffers(d.metrics.Get(base::MetricKind::kCounter, "weft_capture_unread_buffers_total",
                                   "Calls whose memory could not be read: length only.")),
      evicted(d.metrics.Get(base::MetricKind::kCounter, "weft_capture_connections_evicted_total",
                            "TCP sockets forgotten because max_connections was reached.")),
      open_connections(d.metrics.Get(base::MetricKind::kGauge, "weft_capture_connections",
                                     "Sockets remembered.")),
      table(static_cast<size_t>(o.max_connections), OwnNetworkNamespace()),
      pressure(d.metrics, CgroupPath) {
  for (const std::string& reason : DropReasonNames()) {
    dropped[reason] =
        &d.metrics.Get(base::MetricKind::kCounter, "weft_capture_dropped_records_total",
                       "Records lost, by reason.", {{"reason", reason}});
  }
  last_counters.drops.assign(DropReasonNames().size(), 0);
  table.OnForget([this](model::ConnectionId id) {
    if (programs) programs->ClearMessageEnds(id);
  });
}

model::ProcessRef Capture::State::ProcessOf(uint32_t pid, uint64_t start_ns,
                                            std::string_view comm) {
  model::ProcessKey key{pid, start_ns};
  if (last_process == nullptr || !(key == last_key)) {
    last_process = deps.workload.Find(key, comm);
    last_key = key;
  }
  return last_process;
}

void Capture::State::Announce(const RecordView& record) {
  const weft_connection& r = record.connection;
  Announcement a;
  a.connection.id = r.cookie;
  a.connection.birth_ns = r.birth_ns;
  a.connection.netns = r.netns;
  a.connection.local = ToEndpoint(r.family, r.local, r.local_port);
  a.connection.remote = ToEndpoint(r.family, r.remote, r.remote_port);
  a.connection.joined_in_middle = (r.flags & WEFT_CONNECTION_JOINED) != 0;
  a.is_udp = r.header.kind == WEFT_RECORD_SOCKET_OWNER;
  a.is_server_side = (r.flags & WEFT_CONNECTION_PASSIVE) != 0;
  const char* comm = reinterpret_cast<const char*>(r.comm);
  a.process = ProcessOf(r.tgid, r.process_start_ns, {comm, strnlen(comm, sizeof r.comm)});
  const uint64_t before = table.evicted();
  table.Add(std::move(a));
  evicted.Add(table.evicted() - before);
}

void Capture::State::OnRecord(base::ByteView raw) {
  ++drained;
  Waiting w;
  if (View(raw, &w.record) != RecordStatus::kOk) {
    row.Lose(base::Loss::kRejected, "bad_record", 1);
    if (complain.Allow(deps.clock.MonotonicNs())) spdlog::error("capture: a record makes no sense");
    return;
  }
  if (w.record.header.kind == WEFT_RECORD_CONNECTION ||
      w.record.header.kind == WEFT_RECORD_SOCKET_OWNER) {
    Announce(w.record);  // at once: whatever refers to it may lie in a ring that was read before
    row.Out(1);
    return;
  }
  w.offset = arena.size();
  w.captured = w.record.captured.size();
  arena.Append(w.record.captured);
  w.record.captured = {};
  waiting.push_back(w);
}

void Capture::State::TranslateData(const Waiting& w,
                                   std::shared_ptr<const model::Connection> connection,
                                   model::SegmentBatch* batch, std::vector<size_t>* offsets) {
  const weft_data& r = w.record.data;
  model::Segment s;
  s.direction = static_cast<model::Direction>(r.direction);
  s.protocol = static_cast<model::WireProtocol>(r.protocol);
  s.is_tls = (r.flags & WEFT_DATA_PLAINTEXT) != 0;
  s.connection = std::move(connection);
  s.process = ProcessOf(r.tgid, r.process_start_ns, {});
  s.thread = r.tid;
  s.time_ns = r.header.time_ns;
  s.position = r.position;
  s.length = r.length;
  s.sequence = r.sequence;
  // Bytes copied from inside the call: what stands before them becomes a segment of its own.
  if (r.captured_offset > 0 && w.captured > 0) {
    model::Segment before = s;
    before.length = r.captured_offset;
    batch->items.push_back(std::move(before));
    offsets->push_back(0);
    s.position += r.captured_offset;
    s.length -= r.captured_offset;
    s.sequence += r.captured_offset;
  }
  s.captured = {static_cast<const uint8_t*>(nullptr), w.captured};  // pointed to the arena at last
  batch->items.push_back(std::move(s));
  offsets->push_back(w.offset);
  captured_bytes.Add(w.captured);
}

void Capture::State::Translate(const Waiting& w, model::SegmentBatch* batch,
                               std::vector<size_t>* offsets) {
  const bool is_data = w.record.header.kind == WEFT_RECORD_DATA;
  const model::ConnectionId id = is_data ? w.record.data.cookie : w.record.end.cookie;
  auto connection = table.Find(id);
  if (connection == nullptr) {
    row.Lose(base::Loss::kRejected, "unknown_connection", 1);
    return;
  }
  ++stuck_records;
  if (is_data) {
    TranslateData(w, std::move(connection), batch, offsets);
    return;
  }
  const bool closed = w.record.header.kind == WEFT_RECORD_CLOSED;
  if (closed) table.Close(id, deps.clock.MonotonicNs());
  model::Segment s;
  s.kind = closed ? model::SegmentKind::kClosed : model::SegmentKind::kEnd;
  s.direction = static_cast<model::Direction>(w.record.end.direction);
  s.protocol = static_cast<model::WireProtocol>(w.record.end.protocol);
  s.connection = std::move(connection);
  s.time_ns = w.record.header.time_ns;
  s.position = w.record.end.position;
  batch->items.push_back(std::move(s));
  offsets->push_back(0);
}

// True when nothing stands in the way of the next batch.
bool Capture::State::PushStuck() {
  if (!stuck) return true;
  if (deps.sink.Push(std::move(*stuck)) == model::PushResult::kBusy) return false;
  stuck.reset();
  row.Out(stuck_records);
  row.Held(-static_cast<int64_t>(stuck_records));
  stuck_records = 0;
  return true;
}

void Capture::State::KeepYounger(const std::vector<std::pair<uint64_t, uint32_t>>& order,
                                 size_t first) {
  std::vector<Waiting> kept;
  base::ByteBuffer kept_arena;
  for (size_t i = first; i < order.size(); ++i) {
    Waiting w = waiting[order[i].second];
    base::ByteView bytes = arena.view().subspan(w.offset, w.captured);
    w.offset = kept_arena.size();
    kept_arena.Append(bytes);
    kept.push_back(w);
  }
  waiting = std::move(kept);
  // Swaps: the bytes of the batch leave through the old arena.
  std::swap(arena, kept_arena);
  if (stuck) stuck->arena = std::move(kept_arena);
}

// What a long wait has left in the rings is taken in pieces, for it takes several times as much
// memory on its way.
void Capture::State::Drain(bool flush) {
  drained = 0;
  const uint64_t begin_ns = deps.clock.MonotonicNs();
  while (DrainPart(flush) < begin_ns) continue;
}

uint64_t Capture::State::DrainPart(bool flush) {
  if (!programs || !PushStuck()) return RingTurns::kAllRead;
  const uint64_t now_ns = deps.clock.MonotonicNs();
  const size_t held_before = waiting.size();
  const uint64_t drained_before = drained;
  const uint64_t horizon_ns =
      programs->Consume(kBatchBytes, [this](base::ByteView raw) { OnRecord(raw); });
  row.In(drained - drained_before);
  records.Add(drained - drained_before);
  row.Held(static_cast<int64_t>(waiting.size()) - static_cast<int64_t>(held_before));
  if (now_ns - counted_ns >= kCountersNs || counted_ns == 0) {
    counted_ns = now_ns;
    CountKernel();
    table.Expire(now_ns);
    open_connections.Set(static_cast<int64_t>(table.size()));
  }
  // Nothing younger than the reading, also at a flush: of two CPUs the one that is read first would
  // show less, and of an exchange on both its answer could go ahead of its request.
  const uint64_t until_ns = flush ? now_ns : now_ns - std::min(now_ns, kSettleNs);
  const uint64_t cutoff_ns = std::min(until_ns, horizon_ns - std::min(horizon_ns, kSettleNs));
  if (!waiting.empty()) PushRipe(cutoff_ns);
  return horizon_ns == RingTurns::kAllRead || stuck ? RingTurns::kAllRead : cutoff_ns;
}

// Sends what is not younger than `cutoff_ns`.
void Capture::State::PushRipe(uint64_t cutoff_ns) {
  std::vector<std::pair<uint64_t, uint32_t>> order;  // (time, place): a stable order
  order.reserve(waiting.size());
  for (uint32_t i = 0; i < waiting.size(); ++i) {
    order.emplace_back(waiting[i].record.header.time_ns, i);
  }
  std::sort(order.begin(), order.end());
  size_t ripe = 0;
  stuck.emplace();
  stuck->items.reserve(order.size());
  std::vector<size_t> offsets;
  offsets.reserve(order.size());
  for (; ripe < order.size() && order[ripe].first <= cutoff_ns; ++ripe) {
    Translate(waiting[order[ripe].second], &*stuck, &offsets);
  }
  row.Held(-static_cast<int64_t>(ripe) + static_cast<int64_t>(stuck_records));
  KeepYounger(order, ripe);
  for (size_t i = 0; i < offsets.size(); ++i) {
    base::ByteView& captured = stuck->items[i].captured;
    captured = stuck->arena.view().subspan(captured.empty() ? 0 : offsets[i], captured.size());
  }
  if (stuck->items.empty()) {
    stuck.reset();
  } else {
    PushStuck();
  }
}

void Capture::State::CountKernel() {
  const KernelCounters now = programs->Counters();
  const std::vector<std::string> names = DropReasonNames();
  for (size_t i = 0; i < names.size(); ++i) {
    const uint64_t lost = now.drops[i] - last_counters.drops[i];
    if (lost == 0) continue;
    row.In(lost);
    row.Lose(base::Loss::kShed, names[i], lost);
    dropped[names[i]]->Add(lost);
    if (complain.Allow(deps.clock.MonotonicNs())) {
      spdlog::warn("capture: {} records lost in the kernel ({})", lost, names[i]);
    }
  }
  unread_buffers.Add(now.unread_buffers - last_counters.unread_buffers);
  pressure.Look(deps.clock.MonotonicNs(), now, [this] { return programs->DropsByCgroup(); });
  last_counters = now;
}

std::chrono::milliseconds Capture::State::Period() const {
  if (programs && programs->outbox_percent() > kHurriedPercent) return kHurriedPeriod;
  return drained >= kBusyRecords ? kBusyPeriod : kIdlePeriod;
}

void Capture::State::Arm(std::chrono::milliseconds delay) {
  armed = true;
  timer = deps.loop.RunAfter(delay, [this] {
    Drain(false);
    additions.Tick();
    Arm(Period());
  });
}

Capture::Capture(const Options& options, const Deps& deps)
    : state_(std::make_unique<State>(options, deps)) {}

Capture::~Capture() { Stop(std::chrono::steady_clock::now()); }

base::Status Capture::Start() {
  auto programs = Programs::Start(state_->options, &state_->rungs);
  state_->outcome = programs.status();
  state_->additions.Stop(state_->outcome);
  if (!state_->outcome.ok()) return base::Context("capture", state_->outcome);
  state_->programs = std::move(*programs);
  // The search for libraries and Go programs takes seconds: the data comes behind it.
  state_->additions.Start(*state_->programs, state_->options, state_->deps.clock,
                          state_->deps.metrics, [this] { state_->Drain(false); });
  if (base::Status attached = state_->programs->Attach(); !attached.ok()) {
    state_->additions.Stop(attached);
    state_->programs.reset();
    state_->outcome = attached;
    return base::Context("capture", attached);
  }
  state_->Arm(kIdlePeriod);
  return base::Ok();
}

void Capture::Stop(std::chrono::steady_clock::time_point deadline) {
  State& s = *state_;
  if (s.armed) s.deps.loop.Cancel(s.timer);
  s.armed = false;
  if (!s.programs) return;
  s.additions.Stop(base::Error("stopped"));
  s.programs->Detach();
  do {
    s.Drain(true);
  } while (s.drained > 0 && !s.stuck && std::chrono::steady_clock::now() < deadline);
  s.CountKernel();
  const uint64_t left = s.stuck_records + s.waiting.size();
  if (left > 0) s.row.Lose(base::Loss::kShed, "stopped", left);
  s.row.Held(-static_cast<int64_t>(left));
  s.stuck.reset();
  s.stuck_records = 0;
  s.waiting.clear();
  s.programs.reset();
  s.outcome = base::Error("stopped");
}

void Capture::Drain() { state_->Drain(true); }

void Capture::SetMessageEnd(model::ConnectionId connection, model::Direction direction,
                            uint64_t position) {
  if (state_->programs && state_->table.MarkMessageEnd(connection)) {
    state_->programs->SetMessageEnd(connection, direction, position);
  }
}

model::ProcessRef Capture::TcpPeer(const model::Endpoint& peer) {
  if (model::ProcessRef known = state_->table.TcpPeer(peer)) return known;
  Drain();  // its first record may still lie in a ring
  return state_->table.TcpPeer(peer);
}
model::ProcessRef Capture::UdpPeer(const model::Endpoint& peer) {
  if (model::ProcessRef known = state_->table.UdpPeer(peer)) return known;
  Drain();
  return state_->table.UdpPeer(peer);
}

bool Capture::running() const { return state_->programs != nullptr; }

std::vector<FeatureReport> Capture::features() const {
  std::vector<FeatureReport> rows = AllFeatures(state_->outcome, state_->rungs, state_->additions);
  if (running()) rows.push_back(state_->pressure.Row());
  return rows;
}

}  // namespace weft::sources::ebpf
