// The TLS libraries that weft can look into: which functions carry plaintext, and which BPF program
// belongs to each. A library family is a row of a table; PlanProbes turns a file that has some of
// the functions into probes at the cheapest places. Another family is another file and another row.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sources/ebpf/tls/elf_file.h"
#include "sources/ebpf/tls/probe_site.h"

namespace weft::sources::ebpf::tls {

// The programs of bpf/probes/tls.bpf.c, by what they do at a call and behind it.
enum class Program : uint8_t {
  kEnterRead,       // (session, buffer, size)
  kEnterWrite,      // (session, buffer, size)
  kEnterReadEx,     // (session, buffer, size, size_t* moved)
  kEnterWriteEx,    // (session, buffer, size, size_t* moved)
  kEnterHandshake,  // (session)
  kLeave,           // the result is the number of bytes, or not positive
  kLeaveEx,         // the result is 1 and the number stands where `moved` pointed to
  kForget,          // (session): it is about to be freed
};
constexpr size_t kProgramCount = 8;
std::string_view NameOf(Program program);  // as in the BPF object: "enter_read"

struct Probe {
  Program program;
  uint64_t offset = 0;  // in the file
  bool is_return_probe = false;
  Price price = Price::kStepped;
};

struct ProbePlan {
  std::string_view family;  // "openssl", "gnutls"
  std::vector<Probe> probes;
};

// One plan per family found in the file; empty for most files.
std::vector<ProbePlan> PlanProbes(const ElfFile& file);

// The families, for reports.
std::vector<std::string_view> FamilyNames();

// A function of a family, as the table has it.
struct FamilyFunction {
  std::string_view symbol;
  int arguments;
  Program enter;
  std::optional<Program> leave = std::nullopt;
  std::string_view unless = "";   // not probed where this symbol exists: this one calls it
  std::string_view wrapper = "";  // the same call with `moved`; may wrap what this one calls too
  std::vector<std::string_view> strangers = {};  // who must not call what is wrapped
};

struct Family {
  std::string_view name;
  std::string_view mark;  // the file is of this family when it has this symbol
  std::vector<FamilyFunction> functions;
};

Family OpenSsl();  // and BoringSSL with symbols
Family GnuTls();

}  // namespace weft::sources::ebpf::tls
