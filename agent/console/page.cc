#include "console/page.h"

#include <string>

namespace weft::console {

std::optional<net::Response> PageAnswer(std::string_view path) {
  const bool is_document = path == "/" || path == "/search" || path.starts_with("/trace/");
  const PageFile* file = FindPageFile(is_document ? "/index.html" : path);
  if (file == nullptr) return std::nullopt;
  net::Response response;
  response.content_type = file->type;
  response.body = file->content;
  response.headers = {{"Content-Security-Policy", kContentSecurityPolicy},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}};
  return response;
}

}  // namespace weft::console
