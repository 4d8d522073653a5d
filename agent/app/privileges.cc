#include "app/privileges.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace weft::app {
namespace {

using namespace std::chrono_literals;

constexpr auto kAnswerWithin = 100ms, kLookEvery = 2ms;

constexpr Capabilities Bit(int capability) { return Capabilities{1} << capability; }

// Those that weft has a use for; the kernel's headers may be older than the kernel.
constexpr std::pair<int, const char*> kNames[] = {
    {CAP_DAC_OVERRIDE, "dac_override"},
    {CAP_DAC_READ_SEARCH, "dac_read_search"},
    {CAP_NET_BIND_SERVICE, "net_bind_service"},
    {CAP_NET_ADMIN, "net_admin"},
    {CAP_SYS_PTRACE, "sys_ptrace"},
    {CAP_SYS_ADMIN, "sys_admin"},
    {CAP_SYS_RESOURCE, "sys_resource"},
    {CAP_PERFMON, "perfmon"},
    {CAP_BPF, "bpf"},
    {CAP_CHECKPOINT_RESTORE, "checkpoint_restore"},
};

struct Sets {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct halves[_LINUX_CAPABILITY_U32S_3] = {};

  bool Read() { return syscall(SYS_capget, &header, halves) == 0; }
  Capabilities permitted() const {
    return halves[0].permitted | static_cast<Capabilities>(halves[1].permitted) << 32;
  }
};

// Only system calls: this also runs in a signal handler.
void KeepInThisThread(Capabilities keep) {
  Sets sets;
  if (!sets.Read()) return;
  const Capabilities kept = sets.permitted() & keep;
  for (int i = 0; i < 2; ++i) {
    const auto half = static_cast<uint32_t>(kept >> (32 * i));
    sets.halves[i] = {half, half, 0};
  }
  // Giving up is never refused.
  syscall(SYS_capset, &sets.header, sets.halves);
}

std::atomic<Capabilities> wanted{0};

void OnSignal(int) {
  const int saved = errno;
  KeepInThisThread(wanted);
  errno = saved;
}

struct ThreadState {
  Capabilities permitted = 0;
  uint64_t blocked = 0;  // bit N-1 for signal N
};

ThreadState StateOf(pid_t thread) {
  ThreadState state;
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapPrm:")) state.permitted = std::strtoull(&line[7], nullptr, 16);
    if (line.starts_with("SigBlk:")) state.blocked = std::strtoull(&line[7], nullptr, 16);
  }
  return state;
}

std::vector<pid_t> Threads() {
  std::vector<pid_t> threads;
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return threads;
  while (const dirent* entry = readdir(tasks)) {
    if (const int thread = std::atoi(entry->d_name); thread > 0) threads.push_back(thread);
  }
  closedir(tasks);
  return threads;
}

// Asks each thread that has more than `keep` once, when it takes signals. Returns those with more.
std::vector<pid_t> AskThreads(Capabilities keep, int signal, std::set<pid_t>* asked) {
  std::vector<pid_t> with_more;
  for (const pid_t thread : Threads()) {
    const ThreadState state = StateOf(thread);
    if ((state.permitted & ~keep) == 0) continue;
    with_more.push_back(thread);
    if ((state.blocked >> (signal - 1) & 1) != 0 || !asked->insert(thread).second) continue;
    syscall(SYS_tgkill, getpid(), thread, signal);
  }
  return with_more;
}

}  // namespace

Capabilities NeededLater(const Settings& settings) {
  Capabilities needed = Bit(CAP_SYS_PTRACE) | Bit(CAP_DAC_READ_SEARCH);
  if (settings.capture.enabled) needed |= Bit(CAP_BPF) | Bit(CAP_PERFMON);
  if (settings.capture.enabled && (settings.capture.tls.enabled || settings.capture.go.enabled))
    needed |= Bit(CAP_SYS_ADMIN) | Bit(CAP_CHECKPOINT_RESTORE);
  if (!settings.file.path.empty() || !settings.spool.directory.empty())
    needed |= Bit(CAP_DAC_OVERRIDE);
  return needed;
}

Capabilities NeededToStart(const Settings& settings) {
  return NeededLater(settings) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_NET_BIND_SERVICE) |
         Bit(CAP_NET_ADMIN) | Bit(CAP_SYS_RESOURCE);
}

void KeepCapabilities(Capabilities keep) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  KeepInThisThread(keep);
}

int KeepCapabilitiesEverywhere(Capabilities keep) {
  const int signal = SIGRTMAX;
  struct sigaction ours = {}, before = {};
  ours.sa_handler = OnSignal;
  ours.sa_flags = SA_RESTART;
  sigfillset(&ours.sa_mask);
  wanted = keep;
  sigaction(signal, &ours, &before);
  KeepInThisThread(keep);
  std::set<pid_t> asked;
  std::vector<pid_t> with_more = AskThreads(keep, signal, &asked);
  // Every thread blocks signals for the first moment of its life.
  for (auto waited = 0ms; !with_more.empty() && waited < kAnswerWithin; waited += kLookEvery) {
    std::this_thread::sleep_for(kLookEvery);
    with_more = AskThreads(keep, signal, &asked);
  }
  // A signal that is still on its way must find this handler, not the default action.
  if (std::none_of(with_more.begin(), with_more.end(),
                   [&asked](pid_t thread) { return asked.contains(thread); })) {
    sigaction(signal, &before, nullptr);
  }
  return static_cast<int>(with_more.size());
}

std::string CapabilitiesText() {
  Sets sets;
  if (!sets.Read()) return "unknown";
  std::string out;
  Capabilities rest = sets.permitted();
  for (const auto& [capability, name] : kNames) {
    if ((rest & Bit(capability)) == 0) continue;
    rest &= ~Bit(capability);
    out += (out.empty() ? "" : ", ") + std::string(name);
  }
  if (rest != 0) out += (out.empty() ? "" : ", ") + std::string("others");
  return out.empty() ? "none" : out;
}

}  // namespace weft::app
