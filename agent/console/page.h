// The web page: three files that are compiled into the program. It loads nothing from elsewhere,
// and its content security policy forbids it to (no inline script or style either), so that a
// hostile span name stays a text.
#pragma once

#include <optional>
#include <string_view>

#include "net/listener.h"

namespace weft::console {

inline constexpr char kContentSecurityPolicy[] =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src "
    "'none'";

// The page at /, /search and /trace/{id}, and its files; nothing for any other path.
std::optional<net::Response> PageAnswer(std::string_view path);

// One embedded file. The table is written by the build from agent/console/page/.
struct PageFile {
  std::string_view path, type, content;
};
const PageFile* FindPageFile(std::string_view path);

}  // namespace weft::console
