// Binary: what weft must know of a program that was written in Go: its Go version, where the
// running goroutine and its number are found, and the places of probes. Works on static, PIE and
// cgo builds of Go 1.17 and later, stripped or not. Whatever cannot be established leaves out what
// depends on it, with the reason; nothing is assumed of a version that is not in the table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sources/ebpf/tls/elf_file.h"

namespace weft::sources::ebpf::go {

// The programs of bpf/probes/go.bpf.c.
enum class Program : uint8_t {
  kStart,
  kEnterWrite,
  kLeaveWrite,
  kEnterRead,
  kLeaveReadCopy,
  kLeaveReadReader,
  kEnterHandshake,
  kHandOver1,
  kHandOver2,
  kTakeOver1,
  kTakeOver2,
};
constexpr size_t kProgramCount = 11;
std::string_view NameOf(Program program);  // as in the BPF object: "go_start"

struct Probe {
  Program program;
  uint64_t offset = 0;  // in the file
  uint64_t cookie = 0;
};

// `struct go_process` of bpf/lib/go.h.
struct Facts {
  int32_t running_offset = 0;
  uint16_t id_offset = 0;
  uint16_t parent_offset = 0;
};
uint64_t CookieOf(const Facts& facts);

struct Version {
  unsigned major = 0, minor = 0;
};

struct Binary {
  Version version;
  Facts facts;
  std::vector<Probe> probes;
  bool has_tls = false, has_http = false;  // among the probes
  std::string tls_reason, http_reason;     // why not, when not; empty: the program does not have it
};

// Nothing when the file is no Go program that weft knows to treat; `reason` then says why, or stays
// empty for a program that is not Go at all.
std::optional<Binary> Study(const tls::ElfFile& file, std::string* reason);

// "go1.26.8" and the like; fails on a development version.
std::optional<Version> ParseVersion(std::string_view text);

}  // namespace weft::sources::ebpf::go
