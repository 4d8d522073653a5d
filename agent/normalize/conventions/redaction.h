// What may leave the process of text that users sent: valid UTF-8 without control characters, and
// queries without values.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weft::normalize {

inline constexpr size_t kMaxUrlBytes = 4096;
inline constexpr size_t kMaxQueryBytes = 1024;
inline constexpr size_t kMaxUserAgentBytes = 256;

// `text`, cut to `max_bytes` at a character boundary, with invalid UTF-8 and control characters
// replaced by '?'. Returns a view of `text` where nothing had to change, else of `scratch`.
std::string_view CleanText(std::string_view text, size_t max_bytes, std::string* scratch);

// "a=1&b=2" with the value of each key not in `allowed` replaced by REDACTED. The keys of signed
// URLs are redacted even when allowed. A part without '=' stays when it is short and plain, since
// it is then a flag, not a value. At most kMaxQueryBytes.
void RedactQuery(std::string_view query, std::span<const std::string> allowed, std::string* out);

}  // namespace weft::normalize
