// Strings of JSON, unescaped leniently: JavaScript senders write lone surrogates, which strict
// parsers refuse together with the whole request.
#pragma once

#include <string>
#include <string_view>

namespace weft::protocols::otlp {

// `raw` is behind the opening quote of a string that is known to have a closing one. `text` gets a
// view of it, or of `scratch` where there are escapes. Lone surrogates become U+FFFD.
// Fails: false for an escape that JSON does not have.
[[nodiscard]] bool UnescapeJson(const char* raw, std::string* scratch, std::string_view* text);

}  // namespace weft::protocols::otlp
