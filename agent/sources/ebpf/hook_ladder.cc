#include "sources/ebpf/hook_ladder.h"

#include <bpf/btf.h>

#include <cerrno>

#include "base/log.h"
#include "sock_io_tp.skel.h"

namespace weft::sources::ebpf {
namespace {

struct Rung {
  const char* feature;
  const char* name;
  ElfBytes bytes;           // null: this build does not have it
  base::Status (*check)();  // asked before the load, because the load's own errors do not say it
};

base::Status CheckSockTracepoints() {
  return CheckTracepoints({"sock_send_length", "sock_recv_length"}, "Linux 6.3 or later has them");
}

constexpr Rung kRungs[] = {
    {"capture.hook.fentry", "fentry tcp_*", nullptr, nullptr},
    {"capture.hook.sock_tracepoint", "tp_btf sock_*_length", sock_io_tp__elf_bytes,
     CheckSockTracepoints},
    {"capture.hook.kprobe", "kprobe tcp_*", nullptr, nullptr},
    {"capture.hook.syscall_tracepoint", "tracepoint syscalls", nullptr, nullptr},
};

base::Result<std::unique_ptr<Object>> Try(const Rung& rung, const weft_settings& settings,
                                          const Object& owner) {
  if (rung.bytes == nullptr) return base::Error("not built in this version");
  if (base::Status able = rung.check(); !able.ok()) return able;
  auto object = Object::Open(rung.bytes, settings, &owner);
  if (!object.ok()) return object;
  if (base::Status loaded = (*object)->Load(); !loaded.ok()) return loaded;
  if (base::Status attached = (*object)->Attach(); !attached.ok()) return attached;
  return object;
}

}  // namespace

base::Status CheckTracepoints(const std::vector<std::string>& tracepoints,
                              const std::string& kernels_that_have_them) {
  struct btf* btf = btf__load_vmlinux_btf();
  if (btf == nullptr) return KernelError("read the kernel's BTF", errno);
  std::string missing;
  for (const std::string& name : tracepoints) {
    if (btf__find_by_name_kind(btf, ("btf_trace_" + name).c_str(), BTF_KIND_TYPEDEF) >= 0) continue;
    missing += missing.empty() ? "" : ", ";
    missing += name;
  }
  btf__free(btf);
  if (missing.empty()) return base::Ok();
  return base::Error("the kernel lacks the tracepoints " + missing + " (" + kernels_that_have_them +
                     ")");
}

Ladder Climb(const weft_settings& settings, const Object& owner) {
  Ladder ladder;
  for (const Rung& rung : kRungs) {
    RungReport report{rung.feature, rung.name, ""};
    if (ladder.in_use != nullptr) {
      report.reason = "not needed: a better hook works";
    } else if (auto object = Try(rung, settings, owner); object.ok()) {
      ladder.in_use = std::move(*object);
    } else {
      report.reason = std::string(object.status().message());
      spdlog::debug("capture: {} refused: {}", report.name, report.reason);
    }
    ladder.rungs.push_back(std::move(report));
  }
  return ladder;
}

std::vector<RungReport> RefuseAll(const base::Status& why) {
  std::vector<RungReport> rungs;
  for (const Rung& rung : kRungs) {
    rungs.push_back({rung.feature, rung.name, std::string(why.message())});
  }
  return rungs;
}

}  // namespace weft::sources::ebpf
