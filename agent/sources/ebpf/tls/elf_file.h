// ElfFile: finds functions by name in a library or program on disk and reads their bytes. An own
// reader of the few tables needed, because the file belongs to somebody else: every offset is
// checked against the file, tables have a cap, nothing is mapped (a file cut while it is mapped
// would kill the reader) and a damaged table yields fewer symbols, never a crash.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weft::sources::ebpf::tls {

enum class Machine { kOther, kX86_64, kAarch64 };

// A section of the file; without bytes when it has none there.
struct ElfPart {
  uint64_t address = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

struct ElfFunction {
  uint64_t address = 0;  // as linked
  uint64_t offset = 0;   // in the file
  uint64_t size = 0;     // 0: the symbol does not say
};

// Threads: one. Owns: the descriptor. Cost: Find reads symbol tables in pieces, of one file at most
// kMaxTableBytesRead however often it is asked; what lies beyond is not found.
class ElfFile {
 public:
  static constexpr uint64_t kMaxTableBytesRead = 160 << 20;

  // Fails: not a 64-bit little-endian ELF file, or its tables do not fit into it.
  static base::Result<ElfFile> Open(const std::string& path);
  ElfFile(ElfFile&& other) noexcept;
  ElfFile& operator=(ElfFile&& other) noexcept;
  ~ElfFile();

  Machine machine() const { return machine_; }

  // The defined functions among `names`. The dynamic symbols are asked first; the full table only
  // when they have none of them.
  std::map<std::string, ElfFunction> Find(const std::vector<std::string_view>& names) const;

  // Up to `length` bytes from `offset` on; fewer at the end of the file.
  std::vector<uint8_t> Read(uint64_t offset, uint64_t length) const;
  // The file offset of an address in executable code; false when it is none.
  bool OffsetOf(uint64_t address, uint64_t* offset) const;
  std::optional<ElfPart> SectionNamed(std::string_view name) const;
  // Bytes of the program's own thread-local storage.
  uint64_t thread_local_bytes() const { return thread_local_bytes_; }

 private:
  struct Segment {
    uint64_t address, offset, file_bytes;
  };
  struct Section {
    uint32_t type, link, name;
    uint64_t address, offset, size, entry_bytes;
  };
  explicit ElfFile(int fd) : fd_(fd) {}
  base::Status Parse();
  bool ReadExactly(uint64_t offset, void* to, uint64_t length) const;
  void FindIn(const Section& symbols, const std::vector<std::string_view>& names,
              std::map<std::string, ElfFunction>* found) const;

  int fd_ = -1;
  uint64_t file_bytes_ = 0;
  Machine machine_ = Machine::kOther;
  uint64_t thread_local_bytes_ = 0;
  std::vector<Segment> code_;
  std::vector<Section> sections_;
  std::string section_names_;
  mutable uint64_t table_bytes_left_ = kMaxTableBytesRead;
};

}  // namespace weft::sources::ebpf::tls
