#include "protocols/otlp/base64.h"

#include <algorithm>

namespace weft::protocols::otlp {
namespace {

int Digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

}  // namespace

std::string Base64(base::ByteView bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = uint32_t{bytes[i]} << 16;
    if (n > 1) group |= uint32_t{bytes[i + 1]} << 8;
    if (n > 2) group |= bytes[i + 2];
    out.push_back(kDigits[group >> 18]);
    out.push_back(kDigits[group >> 12 & 63]);
    out.push_back(n > 1 ? kDigits[group >> 6 & 63] : '=');
    out.push_back(n > 2 ? kDigits[group & 63] : '=');
  }
  return out;
}

bool FromBase64(std::string_view text, std::string* out) {
  out->clear();
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  if (text.size() % 4 == 1) return false;
  out->reserve(text.size() / 4 * 3 + 3);
  uint32_t group = 0;
  int bits = 0;
  for (char c : text) {
    int digit = Digit(c);
    if (digit < 0) return false;
    group = group << 6 | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out->push_back(static_cast<char>(group >> bits));
    }
  }
  return true;
}

}  // namespace weft::protocols::otlp
