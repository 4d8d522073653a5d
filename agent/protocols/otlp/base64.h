// Base64 of bytesValue in OTLP/JSON. Written in the standard alphabet with padding; read in the
// standard or the URL alphabet, padded or not.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"

namespace weft::protocols::otlp {

std::string Base64(base::ByteView bytes);
// False for characters of neither alphabet or an impossible length; `out` is then unspecified.
[[nodiscard]] bool FromBase64(std::string_view text, std::string* out);

}  // namespace weft::protocols::otlp
