// Bounded reads of /proc. A process may end at any moment, so everything here may come back empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::workload {

// At most `limit_bytes` of a file; empty when it cannot be read.
std::string ReadBounded(const std::string& path, size_t limit_bytes);
// The target of a symbolic link; empty when it cannot be read.
std::string ReadLink(const std::string& path);
// The NUL-terminated strings of cmdline and environ.
std::vector<std::string_view> SplitNul(std::string_view text);
// Field 22 of PROC/PID/stat: start time in clock ticks since boot. Robust against any comm.
std::optional<uint64_t> StartTicks(std::string_view stat);

}  // namespace weft::workload
