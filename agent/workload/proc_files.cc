#include "workload/proc_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>

namespace weft::workload {

std::string ReadBounded(const std::string& path, size_t limit_bytes) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string out;
  char chunk[4096];
  while (out.size() < limit_bytes) {
    ssize_t n = read(fd, chunk, std::min(sizeof chunk, limit_bytes - out.size()));
    if (n <= 0) break;
    out.append(chunk, static_cast<size_t>(n));
  }
  close(fd);
  return out;
}

std::string ReadLink(const std::string& path) {
  char target[4096];
  ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n > 0 ? std::string(target, static_cast<size_t>(n)) : std::string();
}

std::vector<std::string_view> SplitNul(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    size_t end = text.find('\0');
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

std::optional<uint64_t> StartTicks(std::string_view stat) {
  // comm may hold spaces and parentheses; the last ')' ends it. Field 3 follows.
  size_t at = stat.rfind(')');
  if (at == std::string_view::npos) return std::nullopt;
  stat.remove_prefix(at + 1);
  for (int field = 3; field <= 22; ++field) {
    size_t begin = stat.find_first_not_of(' ');
    if (begin == std::string_view::npos) return std::nullopt;
    stat.remove_prefix(begin);
    size_t end = stat.find(' ');
    if (field == 22) {
      uint64_t ticks = 0;
      auto parsed = std::from_chars(stat.data(), stat.data() + std::min(end, stat.size()), ticks);
      return parsed.ec == std::errc() ? std::optional(ticks) : std::nullopt;
    }
    if (end == std::string_view::npos) return std::nullopt;
    stat.remove_prefix(end);
  }
  return std::nullopt;
}

}  // namespace weft::workload
