#include "sources/ebpf/rungs.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>

#include "sock_io_fentry.skel.h"
#include "sock_io_fentry_hash.skel.h"
#include "sock_io_kprobe.skel.h"
#include "sock_io_syscall.skel.h"
#include "sock_io_tp.skel.h"

namespace weft::sources::ebpf {
namespace {

using KernelTypes = std::unique_ptr<struct btf, decltype(&btf__free)>;

KernelTypes LoadKernelTypes() { return {btf__load_vmlinux_btf(), btf__free}; }

// How many parameters a function of the kernel has; -1 when there is no such function.
int CountParameters(const struct btf* types, const char* function) {
  const int id = btf__find_by_name_kind(types, function, BTF_KIND_FUNC);
  if (id < 0) return -1;
  const struct btf_type* prototype = btf__type_by_id(types, btf__type_by_id(types, id)->type);
  return btf_vlen(prototype);
}

base::Status PrepareNothing(Object&) { return base::Ok(); }
base::Status AttachAll(Object& object) { return object.Attach(); }

base::Status CheckSockTracepoints() {
  return CheckTracepoints({"sock_send_length", "sock_recv_length"}, "Linux 6.3 or later has them");
}

// Asked of a kind of program that libbpf can ask about and that gets the helper in the same
// kernels.
bool CallRegistersCanBeHad() {
  return libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_task_pt_regs, nullptr) == 1;
}

base::Status CheckCallRegisters() {
  if (CallRegistersCanBeHad()) return base::Ok();
  return base::Error("the kernel lacks bpf_task_pt_regs (Linux 5.15 or later has it)");
}

base::Status CheckNoCallRegisters() {
  if (!CallRegistersCanBeHad()) return base::Ok();
  return base::Error("not needed: for kernels without bpf_task_pt_regs (before Linux 5.15)");
}

// Leaves out what this kernel does not have: tcp_recvmsg lost parameters over the years, and
// sendfile goes through tcp_sendmsg since 6.5.
base::Status PrepareFentry(Object& object) {
  KernelTypes types = LoadKernelTypes();
  if (types == nullptr) return KernelError("read the kernel's BTF", errno);
  const int parameters = CountParameters(types.get(), "tcp_recvmsg");
  if (parameters < 4 || parameters > 6) {
    return base::Error("tcp_recvmsg has " + std::to_string(parameters) + " parameters");
  }
  for (int n : {4, 5, 6}) {
    if (n != parameters) object.Skip("on_receive_" + std::to_string(n));
  }
  object.Skip(parameters == 6 ? "enter_receive_4" : "enter_receive_6");
  if (CountParameters(types.get(), "tcp_sendpage") < 0) object.Skip("on_send_page");
  if (CountParameters(types.get(), "udpv6_sendmsg") < 0) object.Skip("on_udp6");
  return base::Ok();
}

// Of the ways by which the kernel offers something one must be there.
base::Status CheckAnyPath(std::initializer_list<const char*> paths, const std::string& without) {
  bool hidden = false;
  for (const char* path : paths) {
    if (access(path, F_OK) == 0) return base::Ok();
    hidden = hidden || errno == EACCES;
  }
  return hidden ? KernelError("look into tracefs", EPERM) : base::Error(without);
}

// A kprobe that is loaded says nothing: kernels without them load its programs, too.
base::Status CheckKprobes() {
  return CheckAnyPath({"/sys/bus/event_source/devices/kprobe", "/sys/kernel/tracing/kprobe_events",
                       "/sys/kernel/debug/tracing/kprobe_events"},
                      "the kernel has no kprobes (CONFIG_KPROBE_EVENTS)");
}

// The parameters behind the flags do not matter here.
base::Status PrepareKprobe(Object& object) {
  KernelTypes types = LoadKernelTypes();
  if (types == nullptr) return KernelError("read the kernel's BTF", errno);
  object.Skip(CountParameters(types.get(), "tcp_recvmsg") == 6 ? "enter_receive_4"
                                                               : "enter_receive_6");
  if (CountParameters(types.get(), "tcp_sendpage") < 0) {
    object.Skip("enter_send_page");
    object.Skip("on_send_page");
  }
  if (CountParameters(types.get(), "udpv6_sendmsg") < 0) object.Skip("on_udp6");
  return base::Ok();
}

base::Status CheckSyscallTracepoints() {
  return CheckAnyPath(
      {"/sys/kernel/tracing/events/syscalls", "/sys/kernel/debug/tracing/events/syscalls"},
      "there are no tracepoints of system calls (CONFIG_FTRACE_SYSCALLS, and tracefs mounted)");
}

// Which program looks at which call when it begins. Each call's end is looked at, too.
struct SyscallHook {
  const char* enter;
  const char* leave;
  const char* call;
  bool is_needed;
};
constexpr SyscallHook kSyscallHooks[] = {
    {"enter_write", "leave_send", "write", true},
    {"enter_write", "leave_send", "sendto", true},
    {"enter_writev", "leave_send", "writev", true},
    {"enter_writev", "leave_send", "pwritev2", false},
    {"enter_sendmsg", "leave_send", "sendmsg", true},
    {"enter_sendmmsg", "leave_sendmmsg", "sendmmsg", false},
    {"enter_sendfile", "leave_send", "sendfile64", false},
    {"enter_splice", "leave_send", "splice", false},
    {"enter_read", "leave_receive", "read", true},
    {"enter_recvfrom", "leave_receive", "recvfrom", true},
    {"enter_readv", "leave_receive", "readv", true},
    {"enter_readv", "leave_receive", "preadv2", false},
    {"enter_recvmsg", "leave_receive", "recvmsg", true},
    {"enter_recvmmsg", "leave_recvmmsg", "recvmmsg", false},
};

base::Status AttachSyscalls(Object& object) {
  for (const SyscallHook& hook : kSyscallHooks) {
    base::Status done = object.AttachTracepoint(hook.leave, "syscalls",
                                                ("sys_exit_" + std::string(hook.call)).c_str());
    if (done.ok()) {
      done = object.AttachTracepoint(hook.enter, "syscalls",
                                     ("sys_enter_" + std::string(hook.call)).c_str());
    }
    if (!done.ok() && hook.is_needed) return done;
  }
  return base::Ok();
}

constexpr Rung kRungs[] = {
    {"fentry", "capture.hook.fentry", "fentry tcp_*", "kernel TLS", sock_io_fentry__elf_bytes,
     StateIn::kSockets, CheckCallRegisters, PrepareFentry, AttachAll},
    {"fentry", "capture.hook.fentry_hash", "fentry tcp_*, state in hashes", "kernel TLS",
     sock_io_fentry_hash__elf_bytes, StateIn::kHashes, CheckNoCallRegisters, PrepareFentry,
     AttachAll},
    {"sock_length", "capture.hook.sock_tracepoint", "tp_btf sock_*_length", "",
     sock_io_tp__elf_bytes, StateIn::kSockets, CheckSockTracepoints, PrepareNothing, AttachAll},
    {"kprobe", "capture.hook.kprobe", "kprobe tcp_*", "kernel TLS", sock_io_kprobe__elf_bytes,
     StateIn::kHashes, CheckKprobes, PrepareKprobe, AttachAll},
    {"syscall", "capture.hook.syscall_tracepoint", "tracepoint syscalls", "io_uring",
     sock_io_syscall__elf_bytes, StateIn::kHashes, CheckSyscallTracepoints, PrepareNothing,
     AttachSyscalls},
};

}  // namespace

std::span<const Rung> Rungs() { return kRungs; }

base::Status CheckTracepoints(const std::vector<std::string>& tracepoints,
                              const std::string& kernels_that_have_them) {
  KernelTypes types = LoadKernelTypes();
  if (types == nullptr) return KernelError("read the kernel's BTF", errno);
  std::string missing;
  for (const std::string& name : tracepoints) {
    if (btf__find_by_name_kind(types.get(), ("btf_trace_" + name).c_str(), BTF_KIND_TYPEDEF) >= 0) {
      continue;
    }
    missing += missing.empty() ? "" : ", ";
    missing += name;
  }
  if (missing.empty()) return base::Ok();
  return base::Error("the kernel lacks the tracepoints " + missing + " (" + kernels_that_have_them +
                     ")");
}

}  // namespace weft::sources::ebpf
