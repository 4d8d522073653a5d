#include "exporters/sampling/threshold.h"

#include <algorithm>
#include <cmath>

namespace weft::exporters::sampling {
namespace {

constexpr size_t kHexDigits = 14;  // of 56 bits
constexpr size_t kMaxTraceState = 512;
constexpr std::string_view kMember = "ot=";

// Calls `use(part)` for the parts between separators.
template <typename Use>
void ForEachPart(std::string_view text, char separator, Use use) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Up to 14 digits, as if there were zeros behind them.
std::optional<uint64_t> ReadHex(std::string_view hex) {
  if (hex.empty() || hex.size() > kHexDigits) return std::nullopt;
  uint64_t value = 0;
  for (char c : hex) {
    const bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
    if (!digit && !letter) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return value << 4 * (kHexDigits - hex.size());
}

std::string WriteHex(uint64_t value) {
  std::string hex(kHexDigits, '0');
  for (size_t i = kHexDigits; i-- > 0; value >>= 4) hex[i] = "0123456789abcdef"[value & 15];
  while (hex.size() > 1 && hex.back() == '0') hex.pop_back();
  return hex;
}

}  // namespace

uint64_t ThresholdOf(double probability) {
  if (!(probability > 0)) return kMaxThreshold;
  if (probability >= 1) return 0;
  const double most = static_cast<double>(kMaxThreshold);
  return kMaxThreshold -
         std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(probability * most)));
}

uint64_t Randomness(const base::TraceId& trace) {
  uint64_t value = 0;
  for (size_t i = 9; i < 16; ++i) value = value << 8 | trace.bytes[i];
  return value;
}

TraceState ReadTraceState(std::string_view trace_state) {
  TraceState out;
  ForEachPart(trace_state, ',', [&](std::string_view member) {
    member = Trim(member);
    if (!member.starts_with(kMember)) return;
    ForEachPart(member.substr(kMember.size()), ';', [&](std::string_view part) {
      if (part.starts_with("th:")) out.threshold = ReadHex(part.substr(3));
      if (part.starts_with("rv:") && part.size() == 3 + kHexDigits)
        out.randomness = ReadHex(part.substr(3));
    });
  });
  return out;
}

std::string WithThreshold(std::string_view trace_state, uint64_t threshold) {
  std::string ours = std::string(kMember) + "th:" + WriteHex(threshold), others;
  ForEachPart(trace_state, ',', [&](std::string_view member) {
    member = Trim(member);
    if (!member.starts_with(kMember)) {
      if (!member.empty()) others.append(",").append(member);
      return;
    }
    ForEachPart(member.substr(kMember.size()), ';', [&](std::string_view part) {
      if (!part.starts_with("th:") && !part.empty()) ours.append(";").append(part);
    });
  });
  if (ours.size() + others.size() > kMaxTraceState) return std::string(trace_state);
  return ours + others;
}

}  // namespace weft::exporters::sampling
