// Object: one BPF object of bpf/probes, from its bytes in this program to attached programs. The
// maps of all objects are those of conn.bpf.c: an object opened with an owner gets the owner's
// instead of making its own. Also the two words that every user of libbpf here needs: an error text
// and the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "abi/weft_abi.h"
#include "base/result.h"

struct bpf_link;
struct bpf_object;

namespace weft::sources::ebpf {

// What bpftool writes into NAME.skel.h as NAME__elf_bytes.
using ElfBytes = const void* (*)(size_t* size);

// "what: text of errno", with the advice that EPERM needs.
base::Status KernelError(std::string_view what, int error);
// libbpf's warnings go to the log at debug level; nothing reaches the terminal.
void QuietLibbpf();
// "program: the verifier's reason", when libbpf said in this message that a program was refused;
// else empty.
std::string RefusalIn(std::string_view said);

// Threads: one. Owns: programs, links, and the maps that it does not share.
// Order: Open Load Attach? Detach*.
class Object {
 public:
  // `owner` is null for the object that owns the maps.
  static base::Result<std::unique_ptr<Object>> Open(ElfBytes bytes, const weft_settings& settings,
                                                    const Object* owner);
  ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  // Before Load. A map that is not there, or that is another object's, is left alone.
  void SetMaxEntries(const char* map, uint32_t entries);
  void SetValueSize(const char* map, uint32_t bytes);
  base::Status Load();
  // Before Load: this program is not wanted. One that is not there is not either.
  void Skip(const std::string& program);
  // Attaches every program that was loaded by its section's name. Fails: nothing stays attached.
  base::Status Attach();
  // Attaches one program to a classic tracepoint or kprobe; the same one to as many as wanted.
  // Fails: what was attached before stays.
  base::Status AttachTracepoint(const char* program, const char* category, const char* tracepoint);
  base::Status AttachKprobe(const char* program, const char* function, bool at_return);
  void Detach();

  // -1 when there is no such map.
  int MapFd(const char* map) const;
  // Runs of a program that the kernel skipped because it was already running on that CPU.
  uint64_t RecursionMisses() const;
  // For programs that are attached one by one (uprobes).
  struct bpf_object* raw() const {
    return object_;
  }

 private:
  explicit Object(struct bpf_object* object) : object_(object) {}
  base::Status ShareMaps(const Object& owner);
  base::Status Keep(struct bpf_link* link, const char* program, const char* where);

  struct bpf_object* object_;
  std::vector<struct bpf_link*> links_;
};

}  // namespace weft::sources::ebpf
