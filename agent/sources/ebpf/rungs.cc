#include "sources/ebpf/rungs.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <memory>

#include "sock_io_fentry.skel.h"
#include "sock_io_fentry_hash.skel.h"
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

// Asked of a kind of program that libbpf can ask about and that gets the helper in the same kernels.
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

constexpr Rung kRungs[] = {
    {"fentry", "capture.hook.fentry", "fentry tcp_*", "kernel TLS", sock_io_fentry__elf_bytes,
     StateIn::kSockets, CheckCallRegisters, PrepareFentry, AttachAll},
    {"fentry", "capture.hook.fentry_hash", "fentry tcp_*, state in hashes", "kernel TLS",
     sock_io_fentry_hash__elf_bytes, StateIn::kHashes, CheckNoCallRegisters, PrepareFentry,
     AttachAll},
    {"sock_length", "capture.hook.sock_tracepoint", "tp_btf sock_*_length", "",
     sock_io_tp__elf_bytes, StateIn::kSockets, CheckSockTracepoints, PrepareNothing, AttachAll},
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
