// MappedFiles: which files does a process run code from? Read from /proc/PID/maps, because that is
// true also in containers, after dlopen, and for a library that was replaced or deleted on disk
// while it is mapped. A file is named by (device, inode) as the map shows it, which is what a probe
// attaches to, whatever path leads there.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weft::sources::ebpf::tls {

struct FileId {
  uint32_t device = 0;
  uint64_t inode = 0;
  friend auto operator<=>(const FileId&, const FileId&) = default;
};

struct MappedFile {
  FileId id;
  std::string path;                 // as the process sees it; for people
  std::vector<std::string> opened;  // paths that we may open it by, best first
};

// Files mapped executable by `pid`, each once. Empty when the process is gone or has no files.
// `proc` is "/proc" but in tests. Cost: one file of /proc, at most 8 MiB of it.
std::vector<MappedFile> FilesMappedBy(const std::string& proc, uint32_t pid);

// The path of the program that `pid` runs, or "".
std::string ProgramOf(const std::string& proc, uint32_t pid);

// Every process there is.
std::vector<uint32_t> AllProcesses(const std::string& proc);

// One line of a maps file; false when it is none of a file's executable part.
bool ParseMapsLine(std::string_view line, FileId* id, std::string_view* range,
                   std::string_view* path);

}  // namespace weft::sources::ebpf::tls
