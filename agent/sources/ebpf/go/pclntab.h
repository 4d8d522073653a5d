// Pclntab: finds Go functions by name in the table that the Go runtime itself needs for its
// tracebacks, `.gopclntab`, which is there also in stripped programs. Three layouts of it are in
// use since Go 1.16. The file belongs to somebody else: every offset is checked, tables are read in
// pieces and have a cap, and a damaged table yields fewer functions, never a crash.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sources/ebpf/tls/elf_file.h"

namespace weft::sources::ebpf::go {

// The functions among `names`. Cost: reads the table, up to 256 MiB, in pieces of 1 MiB.
std::map<std::string, tls::ElfFunction> FindInPclntab(const tls::ElfFile& file,
                                                      const std::vector<std::string_view>& names);

}  // namespace weft::sources::ebpf::go
