#include "sources/ebpf/tls/mapped_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace weft::sources::ebpf::tls {
namespace {

constexpr size_t kMaxMapsBytes = 8 << 20;
constexpr std::string_view kDeleted = " (deleted)";

std::string ReadSome(const std::string& path) {
  std::string text;
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char piece[16384];
  for (ssize_t n; text.size() < kMaxMapsBytes && (n = read(fd, piece, sizeof piece)) > 0;) {
    text.append(piece, static_cast<size_t>(n));
  }
  close(fd);
  return text;
}

std::string_view NextWord(std::string_view* line) {
  line->remove_prefix(std::min(line->find_first_not_of(' '), line->size()));
  std::string_view word = line->substr(0, line->find(' '));
  line->remove_prefix(word.size());
  return word;
}

template <typename T>
bool ParseNumber(std::string_view text, int base, T* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out, base);
  return error == std::errc() && end == text.data() + text.size();
}

std::string ReadLink(const std::string& path) {
  char target[4096];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : "";
}

}  // namespace

bool ParseMapsLine(std::string_view line, FileId* id, std::string_view* range,
                   std::string_view* path) {
  *range = NextWord(&line);
  const std::string_view rights = NextWord(&line);
  NextWord(&line);  // offset
  const std::string_view device = NextWord(&line);
  const std::string_view inode = NextWord(&line);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  *path = line;
  const size_t colon = device.find(':');
  uint32_t major = 0, minor = 0;
  if (rights.size() < 3 || rights[2] != 'x' || colon == std::string_view::npos) return false;
  if (!ParseNumber(device.substr(0, colon), 16, &major) ||
      !ParseNumber(device.substr(colon + 1), 16, &minor) || !ParseNumber(inode, 10, &id->inode)) {
    return false;
  }
  id->device = major << 20 | minor;
  return id->inode != 0 && path->starts_with('/');
}

std::vector<MappedFile> FilesMappedBy(const std::string& proc, uint32_t pid) {
  const std::string base = proc + "/" + std::to_string(pid);
  const std::string text = ReadSome(base + "/maps");
  std::vector<MappedFile> files;
  std::set<FileId> seen;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    FileId id;
    std::string_view range, path;
    if (!ParseMapsLine(line, &id, &range, &path) || !seen.insert(id).second) continue;
    MappedFile file{id, std::string(path), {base + "/map_files/" + std::string(range)}};
    // Without the right to use map_files; another file when this one was replaced, and then its
    // symbols would not fit.
    if (!path.ends_with(kDeleted)) file.opened.push_back(base + "/root" + file.path);
    files.push_back(std::move(file));
  }
  return files;
}

std::string ProgramOf(const std::string& proc, uint32_t pid) {
  std::string path = ReadLink(proc + "/" + std::to_string(pid) + "/exe");
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

std::vector<uint32_t> AllProcesses(const std::string& proc) {
  std::vector<uint32_t> pids;
  DIR* folder = opendir(proc.c_str());
  if (folder == nullptr) return pids;
  while (const dirent* entry = readdir(folder)) {
    uint32_t pid = 0;
    if (ParseNumber(std::string_view(entry->d_name), 10, &pid)) pids.push_back(pid);
  }
  closedir(folder);
  return pids;
}

}  // namespace weft::sources::ebpf::tls
