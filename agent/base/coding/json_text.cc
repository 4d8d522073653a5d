#include "base/coding/json_text.h"

#include <cstdint>

#include "base/coding/utf8.h"

namespace weft::base {
namespace {

bool MustEscape(char c) {
  const auto u = static_cast<uint8_t>(c);
  return u < 0x20 || u == 0x7F || c == '"' || c == '\\';
}

void AppendEscaped(char c, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  switch (c) {
    case '"':
    case '\\':
      out->append({'\\', c});
      return;
    case '\n':
      out->append("\\n");
      return;
    case '\t':
      out->append("\\t");
      return;
    case '\r':
      out->append("\\r");
      return;
    default:
      out->append("\\u00");
      out->append({kHex[static_cast<uint8_t>(c) >> 4], kHex[c & 15]});
  }
}

// `text` is UTF-8.
void AppendInside(std::string_view text, std::string* out) {
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!MustEscape(text[i])) continue;
    out->append(text, done, i - done);
    AppendEscaped(text[i], out);
    done = i + 1;
  }
  out->append(text, done);
}

// The repair puts one '?' for each bad byte and moves nothing: where the two differ stood one.
void AppendRepaired(std::string_view text, std::string* out) {
  std::string repaired(text);
  RepairUtf8(repaired.data(), repaired.size());
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (repaired[i] == text[i]) continue;
    AppendInside(text.substr(done, i - done), out);
    out->append("\xEF\xBF\xBD");
    done = i + 1;
  }
  AppendInside(text.substr(done), out);
}

}  // namespace

void AppendJsonText(std::string_view text, std::string* out) {
  out->push_back('"');
  if (IsUtf8(text)) {
    AppendInside(text, out);
  } else {
    AppendRepaired(text, out);
  }
  out->push_back('"');
}

}  // namespace weft::base
