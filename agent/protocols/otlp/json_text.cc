#include "protocols/otlp/json_text.h"

#include <cstdint>

namespace weft::protocols::otlp {
namespace {

constexpr uint32_t kReplacement = 0xfffd;

void AppendCodePoint(uint32_t c, std::string* out) {
  auto push = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xc0 | c >> 6), push(0x80 | (c & 63));
  } else if (c < 0x10000) {
    push(0xe0 | c >> 12), push(0x80 | (c >> 6 & 63)), push(0x80 | (c & 63));
  } else {
    push(0xf0 | c >> 18), push(0x80 | (c >> 12 & 63));
    push(0x80 | (c >> 6 & 63)), push(0x80 | (c & 63));
  }
}

// Four hex digits at `p`; stops at the closing quote.
bool ReadHex4(const char* p, uint32_t* out) {
  uint32_t v = 0;
  for (int i = 0; i < 4; ++i) {
    char c = p[i];
    uint32_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
      digit = static_cast<uint32_t>((c | 32) - 'a' + 10);
    } else {
      return false;
    }
    v = v << 4 | digit;
  }
  *out = v;
  return true;
}

// `p` stands behind "\u" and moves behind the escape, or behind both of a surrogate pair.
bool ReadUnicode(const char*& p, std::string* out) {
  uint32_t unit, low;
  if (!ReadHex4(p, &unit)) return false;
  p += 4;
  if (unit >= 0xd800 && unit < 0xdc00 && p[0] == '\\' && p[1] == 'u' && ReadHex4(p + 2, &low) &&
      low >= 0xdc00 && low < 0xe000) {
    p += 6;
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  } else if (unit >= 0xd800 && unit < 0xe000) {
    unit = kReplacement;
  }
  AppendCodePoint(unit, out);
  return true;
}

}  // namespace

bool UnescapeJson(const char* raw, std::string* scratch, std::string_view* text) {
  const char* p = raw;
  while (*p != '"' && *p != '\\') ++p;
  if (*p == '"') {
    *text = {raw, static_cast<size_t>(p - raw)};
    return true;
  }
  static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
  scratch->assign(raw, p);
  while (*p != '"') {
    if (*p != '\\') {
      scratch->push_back(*p++);
      continue;
    }
    char kind = p[1];
    p += 2;
    if (kind == 'u') {
      if (!ReadUnicode(p, scratch)) return false;
    } else if (size_t i = kFrom.find(kind); i != kFrom.npos) {
      scratch->push_back(kTo[i]);
    } else {
      return false;
    }
  }
  *text = *scratch;
  return true;
}

}  // namespace weft::protocols::otlp
