#include "protocols/http1/head.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace weft::protocols::http1 {
namespace {

constexpr std::string_view kKnownMethods[] = {"GET",    "POST",    "PUT",     "HEAD",
                                              "DELETE", "PATCH",   "TRACE",   "OPTIONS",
                                              "QUERY",  "CONNECT", "PROPFIND"};

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
char Lower(char c) { return IsUpper(c) ? static_cast<char>(c | 0x20) : c; }

// Methods are tokens, but lower-case ones are taken for what they nearly always are: not HTTP
// (T38).
bool IsMethodChar(char c) { return IsUpper(c) || IsDigit(c) || c == '-' || c == '_'; }

// A target starts with '/', '*', a scheme or an authority (T39).
bool IsTargetStart(char c) {
  return c == '/' || c == '*' || c == '[' || IsDigit(c) || IsUpper(c) || (c >= 'a' && c <= 'z');
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// Length of the method in front of a space; 0 when there is none within the limit.
size_t MethodSize(std::string_view line) {
  if (line.empty() || !IsUpper(line[0])) return 0;
  size_t n = 1;
  while (n < line.size() && n <= kMaxMethodBytes && IsMethodChar(line[n])) ++n;
  return n <= kMaxMethodBytes && n < line.size() && line[n] == ' ' ? n : 0;
}

bool IsTarget(std::string_view target) {
  if (target.empty() || !IsTargetStart(target[0])) return false;
  return std::none_of(target.begin(), target.end(),
                      [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

// "HTTP/1.x"
bool ParseVersion(std::string_view text, Head* head) {
  if (text.size() != 8 || text.substr(0, 7) != "HTTP/1." || !IsDigit(text[7])) return false;
  head->minor_version = static_cast<uint8_t>(text[7] - '0');
  return true;
}

constexpr size_t kBlock = 16;

// Bit i says whether byte i of a block is a line feed or a colon.
uint32_t Marks(const char* p) {
#ifdef __SSE2__
  const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i found = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('\n')),
                                     _mm_cmpeq_epi8(block, _mm_set1_epi8(':')));
  return static_cast<uint32_t>(_mm_movemask_epi8(found));
#else
  uint32_t marks = 0;
  for (size_t i = 0; i < kBlock; ++i) marks |= uint32_t{p[i] == '\n' || p[i] == ':'} << i;
  return marks;
#endif
}

// Only names of these lengths mean anything to us; most lines stop here.
bool IsNameSize(size_t size) {
  constexpr uint32_t kSizes =
      1u << 4 | 1u << 7 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14 | 1u << 15 | 1u << 17;
  return size < 32 && (kSizes >> size & 1) != 0;
}

template <typename Each>
void ForEachListItem(std::string_view list, Each each) {
  while (true) {
    size_t comma = list.find(',');
    each(Trim(list.substr(0, comma)));
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

void AddLength(std::string_view value, Framing* framing) {
  ForEachListItem(value, [framing](std::string_view item) {
    uint64_t length = 0;
    bool good = !item.empty();
    for (char c : item) {
      good = good && IsDigit(c) && length <= (INT64_MAX - 9) / 10;
      if (good) length = length * 10 + static_cast<uint64_t>(c - '0');
    }
    if (!good || (framing->has_length && framing->length != length)) framing->is_length_bad = true;
    framing->has_length = true;
    framing->length = length;
  });
}

void AddEncoding(std::string_view value, Framing* framing) {
  ForEachListItem(value, [framing](std::string_view item) {
    if (item.empty() || EqualsIgnoreCase(item, "identity")) return;
    framing->has_encoding = true;
    framing->is_chunked = EqualsIgnoreCase(item, "chunked");  // the last one decides
  });
}

// RFC 9112, 5.1: such a message is to be refused, yet lenient receivers read the field.
void AddBlankName(std::string_view name, Framing* framing) {
  const std::string_view meant = Trim(name);
  framing->is_ambiguous |=
      EqualsIgnoreCase(meant, "content-length") || EqualsIgnoreCase(meant, "transfer-encoding");
}

bool EndsInBlank(std::string_view name) { return IsBlank(name.back()); }

void AddField(std::string_view name, std::string_view value, Head* head, Framing* framing) {
  switch (name.size()) {
    case 4:
      if (EqualsIgnoreCase(name, "host") && head->host_count++ == 0) head->host = value;
      return;
    case 7:
      if (EqualsIgnoreCase(name, "upgrade")) head->upgrades_to_h2c = EqualsIgnoreCase(value, "h2c");
      return;
    case 10:
      if (EqualsIgnoreCase(name, "user-agent")) {
        head->user_agent = value;
      } else if (EqualsIgnoreCase(name, "tracestate") && head->tracestate_count < kMaxTraceStates) {
        head->tracestate[head->tracestate_count++] = value;
      }
      return;
    case 11:
      if (!EqualsIgnoreCase(name, "traceparent")) return;
      head->traceparent = value;
      if (head->traceparent_count < 2) ++head->traceparent_count;
      return;
    case 12:
      if (EqualsIgnoreCase(name, "content-type")) head->content_type = value;
      return;
    case 14:
      if (EqualsIgnoreCase(name, "content-length")) AddLength(value, framing);
      return;
    case 15:
      if (head->forwarded_for.empty() && EqualsIgnoreCase(name, "x-forwarded-for"))
        head->forwarded_for = value;
      return;
    case 17:
      if (EqualsIgnoreCase(name, "transfer-encoding")) AddEncoding(value, framing);
      return;
    default:
      return;
  }
}

}  // namespace

bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Lower(text[i]) != lower[i]) return false;
  }
  return true;
}

StartLine ParseRequestLine(std::string_view line, Head* head) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  size_t method = MethodSize(line);
  size_t last_space = line.rfind(' ');
  if (method == 0 || last_space <= method) return StartLine::kBad;
  if (line == "PRI * HTTP/2.0") return StartLine::kHttp2;
  head->method = line.substr(0, method);
  head->target = line.substr(method + 1, last_space - method - 1);
  bool good = IsTarget(head->target) && ParseVersion(line.substr(last_space + 1), head);
  return good ? StartLine::kGood : StartLine::kBad;
}

bool ParseCutRequestLine(std::string_view line, Head* head) {
  const size_t method = MethodSize(line);
  if (method == 0) return false;
  head->method = line.substr(0, method);
  head->target = line.substr(method + 1);
  head->target = head->target.substr(0, head->target.find(' '));
  head->has_version = false;
  return IsTarget(head->target);
}

StartLine ParseStatusLine(std::string_view line, Head* head) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (line.size() < 12 || !ParseVersion(line.substr(0, 8), head) || line[8] != ' ')
    return StartLine::kBad;
  if (line.size() > 12 && line[12] != ' ') return StartLine::kBad;
  if (line[9] == '0' || !IsDigit(line[9]) || !IsDigit(line[10]) || !IsDigit(line[11]))
    return StartLine::kBad;
  head->status =
      static_cast<uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  return StartLine::kGood;
}

bool ParseFields(std::string_view lines, bool is_cut, Head* head, Framing* framing) {
  const char* p = lines.data();
  const char* const end = p + lines.size();
  while (p != end) {
    auto* newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
    // A line that starts with a blank continues the value before it (obs-fold).
    while (newline != nullptr && newline + 1 != end && (newline[1] == ' ' || newline[1] == '\t')) {
      newline = static_cast<const char*>(
          std::memchr(newline + 1, '\n', static_cast<size_t>(end - newline - 1)));
    }
    if (newline == nullptr && is_cut) return true;
    std::string_view line(p, static_cast<size_t>((newline == nullptr ? end : newline) - p));
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    if (EndsInBlank(line.substr(0, colon))) {
      AddBlankName(line.substr(0, colon), framing);
    } else if (IsNameSize(colon)) {
      AddField(line.substr(0, colon), Trim(line.substr(colon + 1)), head, framing);
    }
    if (newline == nullptr) break;
    p = newline + 1;
  }
  return true;
}

bool ScanHead(std::string_view bytes, HeadLines* out) {
  const char* const data = bytes.data();
  const auto size = static_cast<uint32_t>(std::min(bytes.size(), kMaxHeadBytes));
  uint32_t line = 0, colon = 0, count = 0;  // `line`: where the current one begins
  for (uint32_t at = 0; at < size; at += kBlock) {
    char tail[kBlock] = {};
    const bool is_tail = size - at < kBlock;
    if (is_tail) std::memcpy(tail, data + at, size - at);
    for (uint32_t marks = Marks(is_tail ? tail : data + at); marks != 0; marks &= marks - 1) {
      const uint32_t i = at + static_cast<uint32_t>(std::countr_zero(marks));
      if (data[i] == ':') {
        if (colon == 0) colon = i;
        continue;
      }
      if (i == line || (i == line + 1 && data[line] == '\r')) {
        out->size = i + 1;
        out->count = count;
        return count != 0;
      }
      const bool is_folded = count > 1 && (data[line] == ' ' || data[line] == '\t');
      if (count == HeadLines::kMax || is_folded) return false;
      out->lines[count++] = {colon, i};
      line = i + 1;
      colon = 0;
    }
  }
  return false;
}

bool ParseFields(std::string_view head, const HeadLines& lines, Head* out, Framing* framing) {
  for (uint32_t i = 1; i < lines.count; ++i) {
    const auto [colon, end] = lines.lines[i];
    const uint32_t begin = lines.lines[i - 1].end + 1;
    if (colon <= begin) return false;
    if (EndsInBlank(head.substr(begin, colon - begin))) {
      AddBlankName(head.substr(begin, colon - begin), framing);
    } else if (IsNameSize(colon - begin)) {
      AddField(head.substr(begin, colon - begin), Trim(head.substr(colon + 1, end - colon - 1)),
               out, framing);
    }
  }
  return true;
}

bool IsPlausiblePrefix(MessageKind kind, std::string_view bytes) {
  bytes = bytes.substr(0, 32);
  if (kind == MessageKind::kResponse) {
    constexpr std::string_view kStart = "HTTP/1.";
    size_t n = std::min(bytes.size(), kStart.size());
    return bytes.substr(0, n) == kStart.substr(0, n);
  }
  if (bytes.empty()) return true;
  if (!IsUpper(bytes[0])) return false;
  size_t n = 1;
  while (n < bytes.size() && IsMethodChar(bytes[n])) ++n;
  if (n > kMaxMethodBytes) return false;
  if (n == bytes.size()) return true;
  return bytes[n] == ' ' && (n + 1 == bytes.size() || IsTargetStart(bytes[n + 1]));
}

bool IsPlausibleBoundary(MessageKind kind, std::string_view bytes) {
  if (bytes.empty() || !IsPlausiblePrefix(kind, bytes)) return false;
  size_t newline = bytes.find('\n');
  Head ignored;
  if (newline != std::string_view::npos) {
    std::string_view line = bytes.substr(0, newline);
    StartLine start = kind == MessageKind::kRequest ? ParseRequestLine(line, &ignored)
                                                    : ParseStatusLine(line, &ignored);
    return start == StartLine::kGood;
  }
  if (kind == MessageKind::kResponse) return true;
  return std::any_of(
      std::begin(kKnownMethods), std::end(kKnownMethods), [bytes](std::string_view method) {
        size_t n = std::min(bytes.size(), method.size());
        return bytes.substr(0, n) == method.substr(0, n) && (bytes.size() <= n || bytes[n] == ' ');
      });
}

}  // namespace weft::protocols::http1
