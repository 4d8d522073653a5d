#include "normalize/conventions/redaction.h"

#include <algorithm>

namespace weft::normalize {
namespace {

constexpr std::string_view kRedacted = "REDACTED";
// Keys whose values sign or open something; compared with regard to case, as the conventions say.
constexpr std::string_view kSensitiveKeys[] = {
    "X-Amz-Signature",  "X-Amz-Credential", "X-Amz-Security-Token",
    "AWSAccessKeyId",   "Signature",        "sig",
    "X-Goog-Signature", "X-Goog-Credential"};
constexpr size_t kMaxFlagBytes = 16;

bool IsPlain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f;
}

// Length of the UTF-8 character at the front of `text`; 0 when it is none.
size_t CharacterSize(std::string_view text) {
  auto at = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return IsPlain(text[0]) ? 1 : 0;
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
  const bool is_outside = (first == 0xed && at(1) > 0x9f) || (first == 0xf4 && at(1) > 0x8f);
  return is_overlong || is_outside ? 0 : size;
}

bool IsFlag(std::string_view part) {
  return part.size() <= kMaxFlagBytes && std::all_of(part.begin(), part.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

bool IsAllowed(std::string_view key, std::span<const std::string> allowed) {
  return std::find(allowed.begin(), allowed.end(), key) != allowed.end() &&
         std::find(std::begin(kSensitiveKeys), std::end(kSensitiveKeys), key) ==
             std::end(kSensitiveKeys);
}

}  // namespace

std::string_view CleanText(std::string_view text, size_t max_bytes, std::string* scratch) {
  const bool is_cut = text.size() > max_bytes;
  if (is_cut) text = text.substr(0, max_bytes);
  if (std::all_of(text.begin(), text.end(), IsPlain)) return text;
  scratch->clear();
  while (!text.empty()) {
    size_t n = CharacterSize(text);
    // A character that our own cut broke is left out, not replaced.
    if (n == 0 && is_cut && text.size() < 4 && static_cast<unsigned char>(text[0]) >= 0xc2) break;
    if (n == 0) {
      scratch->push_back('?');
      n = 1;
    } else {
      scratch->append(text.substr(0, n));
    }
    text.remove_prefix(n);
  }
  return *scratch;
}

void RedactQuery(std::string_view query, std::span<const std::string> allowed, std::string* out) {
  out->clear();
  while (true) {
    const size_t end = query.find('&');
    const std::string_view part = query.substr(0, end);
    const size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    if (out->size() + part.size() + kRedacted.size() + 1 > kMaxQueryBytes) return;
    if (!out->empty()) out->push_back('&');
    if (equals == std::string_view::npos) {
      out->append(IsFlag(part) ? part : kRedacted);
    } else {
      out->append(key).push_back('=');
      out->append(IsAllowed(key, allowed) ? part.substr(equals + 1) : kRedacted);
    }
    if (end == std::string_view::npos) return;
    query.remove_prefix(end + 1);
  }
}

}  // namespace weft::normalize
