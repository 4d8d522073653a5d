#include "console/query_params.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "base/coding/percent.h"
#include "base/ids.h"

namespace weft::console {
namespace {

constexpr uint64_t kDefaultLookbackNs = 48ull * 3600 * 1'000'000'000;
constexpr size_t kDefaultLimit = 100, kMaxLimit = 1500;
constexpr size_t kMaxPairs = 256;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// ns of one duration unit at the start of `text`, which is moved behind it; 0 when there is none.
double TakeUnit(std::string_view* text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1},   {"us", 1e3}, {"\xC2\xB5s", 1e3}, {"\xCE\xBCs", 1e3},
      {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9}};
  for (const auto& [name, ns] : kUnits) {
    if (text->starts_with(name)) {
      text->remove_prefix(name.size());
      return ns;
    }
  }
  return 0;
}

base::Status ParamError(std::string_view key, std::string_view what) {
  return base::Error("unable to parse param '" + std::string(key) + "': " + std::string(what));
}

template <typename T>
bool ParseNumber(std::string_view text, T* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// Reads the flat JSON objects that a `tags` parameter may hold, and nothing else.
class TagReader {
 public:
  explicit TagReader(std::string_view json) : rest_(json) {}

  bool Read(std::vector<std::pair<std::string, std::string>>* out) {
    if (!Take('{')) return false;
    if (Take('}')) return AtEnd();
    do {
      std::string key, value;
      if (!ReadString(&key) || !Take(':') || !ReadValue(&value) || out->size() >= kMaxPairs)
        return false;
      out->emplace_back(std::move(key), std::move(value));
    } while (Take(','));
    return Take('}') && AtEnd();
  }

 private:
  void SkipSpace() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_[0]) != std::string_view::npos) {
      rest_.remove_prefix(1);
    }
  }
  bool Take(char c) {
    SkipSpace();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool AtEnd() {
    SkipSpace();
    return rest_.empty();
  }
  bool ReadValue(std::string* out) {
    SkipSpace();
    if (!rest_.empty() && rest_[0] == '"') return ReadString(out);
    size_t n = rest_.find_first_of(",} \t\r\n");
    std::string_view word = rest_.substr(0, n);
    double number;
    if (word != "true" && word != "false" && !ParseNumber(word, &number)) return false;
    out->assign(word);
    rest_.remove_prefix(word.size());
    return true;
  }
  bool ReadString(std::string* out) {
    if (!Take('"')) return false;
    while (!rest_.empty()) {
      char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (static_cast<uint8_t>(c) < 0x20) return false;
      if (c != '\\') {
        out->push_back(c);
      } else if (!ReadEscape(out)) {
        return false;
      }
    }
    return false;
  }
  bool ReadEscape(std::string* out) {
    if (rest_.empty()) return false;
    char c = rest_[0];
    rest_.remove_prefix(1);
    static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (size_t i = kFrom.find(c); i != std::string_view::npos) return out->push_back(kTo[i]), true;
    uint32_t code = 0;
    if (c != 'u' || !ReadUnicode(&code)) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      uint32_t low = 0;
      if (!rest_.starts_with("\\u")) return false;
      rest_.remove_prefix(2);
      if (!ReadUnicode(&low) || low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      return false;
    }
    AppendUtf8(code, out);
    return true;
  }
  bool ReadUnicode(uint32_t* code) {
    if (rest_.size() < 4) return false;
    for (int i = 0; i < 4; ++i) {
      int digit = HexDigit(rest_[i]);
      if (digit < 0) return false;
      *code = *code << 4 | static_cast<uint32_t>(digit);
    }
    rest_.remove_prefix(4);
    return true;
  }
  static void AppendUtf8(uint32_t c, std::string* out) {
    auto tail = [&](int shift) { out->push_back(static_cast<char>(0x80 | (c >> shift & 0x3F))); };
    if (c < 0x80) return out->push_back(static_cast<char>(c));
    if (c < 0x800) return out->push_back(static_cast<char>(0xC0 | c >> 6)), tail(0);
    if (c < 0x10000) return out->push_back(static_cast<char>(0xE0 | c >> 12)), tail(6), tail(0);
    out->push_back(static_cast<char>(0xF0 | c >> 18)), tail(12), tail(6), tail(0);
  }

  std::string_view rest_;
};

base::Status ReadTime(const QueryParams& params, std::string_view key, uint64_t* ns) {
  std::string_view text = params.Get(key);
  if (text.empty()) return base::Ok();
  uint64_t us = 0;
  if (!ParseNumber(text, &us)) return ParamError(key, "not microseconds since the epoch");
  *ns = us > UINT64_MAX / 1000 ? UINT64_MAX : us * 1000;
  return base::Ok();
}

base::Status ReadDuration(const QueryParams& params, std::string_view key, uint64_t* ns) {
  std::string_view text = params.Get(key);
  if (text.empty()) return base::Ok();
  auto value = ParseDuration(text);
  if (!value.ok()) return ParamError(key, std::string(value.status().message()));
  *ns = *value;
  return base::Ok();
}

base::Status ReadTags(const QueryParams& params, model::TraceQuery::Filter* filter) {
  for (std::string_view tag : params.All("tag")) {
    size_t colon = tag.find(':');
    if (colon == std::string_view::npos) {
      return base::Error("malformed 'tag' parameter, expecting key:value, received: " +
                         std::string(tag));
    }
    filter->tags.emplace_back(tag.substr(0, colon), tag.substr(colon + 1));
  }
  for (std::string_view json : params.All("tags")) {
    if (json.empty()) continue;
    auto tags = ParseTags(json);
    if (!tags.ok()) return tags.status();
    filter->tags.insert(filter->tags.end(), tags->begin(), tags->end());
  }
  return base::Ok();
}

base::Status ReadWindow(const QueryParams& params, uint64_t now_ns,
                        model::TraceQuery::Filter* filter) {
  filter->start_max_ns = now_ns;
  if (auto s = ReadTime(params, "end", &filter->start_max_ns); !s.ok()) return s;
  uint64_t lookback = kDefaultLookbackNs;
  std::string_view text = params.Get("lookback");
  if (text.ends_with('d')) {  // the UI's "2d"; Go's durations have no days
    uint64_t days = 0;
    if (!ParseNumber(text.substr(0, text.size() - 1), &days) || days > 36500) {
      return ParamError("lookback", "not a duration");
    }
    lookback = days * 86'400'000'000'000ull;
  } else if (text != "custom") {
    if (auto s = ReadDuration(params, "lookback", &lookback); !s.ok()) return s;
  }
  filter->start_min_ns = filter->start_max_ns > lookback ? filter->start_max_ns - lookback : 0;
  return ReadTime(params, "start", &filter->start_min_ns);
}

}  // namespace

QueryParams::QueryParams(std::string_view query) {
  while (!query.empty() && pairs_.size() < kMaxPairs) {
    std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    size_t equals = pair.find('=');
    std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    pairs_.emplace_back(base::PercentDecode(pair.substr(0, equals), true),
                        base::PercentDecode(value, true));
  }
}

std::string_view QueryParams::Get(std::string_view key) const {
  for (const auto& [name, value] : pairs_) {
    if (name == key) return value;
  }
  return {};
}

std::vector<std::string_view> QueryParams::All(std::string_view key) const {
  std::vector<std::string_view> out;
  for (const auto& [name, value] : pairs_) {
    if (name == key) out.push_back(value);
  }
  return out;
}

base::Result<uint64_t> ParseDuration(std::string_view text) {
  if (text == "0") return uint64_t{0};
  const std::string error = "invalid duration \"" + std::string(text) + "\"";
  if (text.empty()) return base::Error(error);
  double total = 0;
  while (!text.empty()) {
    size_t n = text.find_first_not_of("0123456789.");
    double value = 0;
    if (n == 0 || n == std::string_view::npos || !ParseNumber(text.substr(0, n), &value)) {
      return base::Error(error);
    }
    text.remove_prefix(n);
    double unit = TakeUnit(&text);
    if (unit == 0) return base::Error(error);
    total += value * unit;
  }
  if (!(total < 9.2e18)) return base::Error(error);
  return static_cast<uint64_t>(std::llround(total));
}

base::Result<std::vector<std::pair<std::string, std::string>>> ParseTags(std::string_view json) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!TagReader(json).Read(&out)) {
    return base::Error("malformed 'tags' parameter, expecting a JSON object of strings");
  }
  return out;
}

base::Result<base::TraceId> ParseTraceId(std::string_view text) {
  base::TraceId id;
  if (text.empty() || text.size() > 32) {
    return base::Error("a trace id has 1 to 32 hex digits: " + std::string(text.substr(0, 64)));
  }
  std::string padded(32 - text.size(), '0');
  padded.append(text);
  if (!base::TraceId::FromHex(padded, &id))
    return base::Error("not hex digits: " + std::string(text));
  return id;
}

base::Result<model::TraceQuery::Filter> ParseTraceFilter(const QueryParams& params,
                                                         uint64_t now_ns) {
  model::TraceQuery::Filter filter;
  filter.service = params.Get("service");
  filter.operation = params.Get("operation");
  if (filter.operation == "all") filter.operation.clear();  // what Jaeger's UI means by it
  if (auto s = ReadTags(params, &filter); !s.ok()) return s;
  if (auto s = ReadWindow(params, now_ns, &filter); !s.ok()) return s;
  if (auto s = ReadDuration(params, "minDuration", &filter.duration_min_ns); !s.ok()) return s;
  uint64_t longest = 0;
  if (auto s = ReadDuration(params, "maxDuration", &longest); !s.ok()) return s;
  if (longest != 0) filter.duration_max_ns = longest;
  if (filter.duration_max_ns < filter.duration_min_ns) {
    return base::Error("'maxDuration' should be greater than 'minDuration'");
  }
  filter.limit = kDefaultLimit;
  if (std::string_view text = params.Get("limit"); !text.empty()) {
    if (!ParseNumber(text, &filter.limit)) return ParamError("limit", "not a number");
    filter.limit = std::min(filter.limit, kMaxLimit);
  }
  return filter;
}

}  // namespace weft::console
