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
constexpr size_t kLogged = 500, kReason = 160;  // bytes

thread_local std::string load_refusal;  // why the load under way fails, as far as libbpf said it

int LogLibbpf(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  std::string text(static_cast<size_t>(std::max(std::vsnprintf(nullptr, 0, format, again), 0)), 0);
  va_end(again);
  const int n = std::vsnprintf(text.data(), text.size() + 1, format, arguments);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (load_refusal.empty()) load_refusal = RefusalIn(text);
  spdlog::debug("{}", std::string_view(text).substr(0, kLogged));
  return n;
}

}  // namespace

void QuietLibbpf() { libbpf_set_print(LogLibbpf); }

std::string RefusalIn(std::string_view said) {
  constexpr std::string_view kBegin = "-- BEGIN PROG LOAD LOG --\n", kCounts = "processed ";
  const size_t log = said.find(kBegin);
  const size_t name = said.find('\'');
  if (log == said.npos || name == said.npos) return {};
  const std::string_view program = said.substr(name + 1, said.find('\'', name + 1) - name - 1);
  // The verifier's last line but for its counts.
  std::string_view line, last;
  for (std::string_view rest = said.substr(log + kBegin.size()); !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    line = rest.substr(0, end);
    if (line.starts_with(kCounts) || line.starts_with("-- END")) break;
    if (!line.empty()) last = line;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::string(program) + ": " + std::string(last.substr(0, kReason));
}

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
  struct bpf_map* found = bpf_object__find_map_by_name(object_, map);
  if (found != nullptr) bpf_map__set_max_entries(found, entries);
}

void Object::SetValueSize(const char* map, uint32_t bytes) {
  struct bpf_map* found = bpf_object__find_map_by_name(object_, map);
  if (found != nullptr) bpf_map__set_value_size(found, bytes);
}

base::Status Object::Load() {
  load_refusal.clear();
  int error = bpf_object__load(object_);
  if (error == 0) return base::Ok();
  const base::Status refused = KernelError("load the programs", error);
  if (load_refusal.empty()) return refused;
  return base::Error(std::string(refused.message()) + ", " + load_refusal);
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
