#include "sources/ebpf/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/log.h"

namespace weft::sources::ebpf {
namespace {

constexpr char kSettingsMap[] = ".rodata.settings";

int LogLibbpf(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[512];
  int n = std::vsnprintf(line, sizeof line, format, arguments);
  std::string_view text(line, std::min<size_t>(std::max(n, 0), sizeof line - 1));
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  spdlog::debug("{}", text);
  return n;
}

}  // namespace

void QuietLibbpf() { libbpf_set_print(LogLibbpf); }

base::Status KernelError(std::string_view what, int error) {
  error = std::abs(error);
  std::string text(what);
  text += ": ";
  text += std::strerror(error);
  if (error == EPERM) text += " (root, or CAP_BPF and CAP_PERFMON, is needed)";
  return base::Error(text);
}

base::Result<std::unique_ptr<Object>> Object::Open(ElfBytes bytes, const weft_settings& settings,
                                                   const Object* owner) {
  size_t size = 0;
  const void* elf = bytes(&size);
  struct bpf_object* opened = bpf_object__open_mem(elf, size, nullptr);
  if (opened == nullptr) return KernelError("open the programs", errno);
  std::unique_ptr<Object> object(new Object(opened));
  struct bpf_map* map = bpf_object__find_map_by_name(opened, kSettingsMap);
  size_t room = 0;
  // The initial value is what the load gives to the kernel, and may be written until then.
  void* initial = map == nullptr ? nullptr : const_cast<void*>(bpf_map__initial_value(map, &room));
  weft_settings built = {};
  if (initial != nullptr && room == sizeof built) std::memcpy(&built, initial, sizeof built);
  if (built.abi_version != settings.abi_version) {
    return base::Error("the BPF object is of another version than this program");
  }
  std::memcpy(initial, &settings, sizeof settings);
  if (owner != nullptr) {
    if (base::Status shared = object->ShareMaps(*owner); !shared.ok()) return shared;
  }
  return object;
}

Object::~Object() {
  Detach();
  bpf_object__close(object_);
}

base::Status Object::ShareMaps(const Object& owner) {
  struct bpf_map* map;
  bpf_object__for_each_map(map, object_) {
    if (bpf_map__is_internal(map)) continue;
    const int fd = owner.MapFd(bpf_map__name(map));
    if (fd < 0) continue;
    if (int error = bpf_map__reuse_fd(map, fd); error != 0) {
      return KernelError(std::string("share the map ") + bpf_map__name(map), error);
    }
  }
  return base::Ok();
}

void Object::SetMaxEntries(const char* map, uint32_t entries) {
  bpf_map__set_max_entries(bpf_object__find_map_by_name(object_, map), entries);
}

base::Status Object::Load() {
  int error = bpf_object__load(object_);
  return error == 0 ? base::Ok() : KernelError("load the programs", error);
}

void Object::Skip(const std::string& program) {
  struct bpf_program* found = bpf_object__find_program_by_name(object_, program.c_str());
  if (found != nullptr) bpf_program__set_autoload(found, false);
}

base::Status Object::Keep(struct bpf_link* link, const char* program, const char* where) {
  if (link == nullptr) {
    return KernelError(std::string("attach ") + program + " to " + where, errno);
  }
  links_.push_back(link);
  return base::Ok();
}

base::Status Object::AttachTracepoint(const char* program, const char* category,
                                      const char* tracepoint) {
  return Keep(bpf_program__attach_tracepoint(bpf_object__find_program_by_name(object_, program),
                                             category, tracepoint),
              program, tracepoint);
}

base::Status Object::AttachKprobe(const char* program, const char* function, bool at_return) {
  return Keep(bpf_program__attach_kprobe(bpf_object__find_program_by_name(object_, program),
                                         at_return, function),
              program, function);
}

base::Status Object::Attach() {
  struct bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    if (!bpf_program__autoload(program)) continue;
    struct bpf_link* link = bpf_program__attach(program);
    if (link == nullptr) {
      const int error = errno;
      Detach();
      return KernelError(std::string("attach ") + bpf_program__name(program), error);
    }
    links_.push_back(link);
  }
  return base::Ok();
}

void Object::Detach() {
  for (struct bpf_link* link : links_) bpf_link__destroy(link);
  links_.clear();
}

int Object::MapFd(const char* map) const { return bpf_object__find_map_fd_by_name(object_, map); }

uint64_t Object::RecursionMisses() const {
  uint64_t sum = 0;
  struct bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    struct bpf_prog_info info = {};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0) {
      sum += info.recursion_misses;
    }
  }
  return sum;
}

}  // namespace weft::sources::ebpf
