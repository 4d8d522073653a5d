#include "protocols/otlp/json_read.h"

#include <simdjson.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/coding/utf8.h"
#include "protocols/otlp/base64.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/json/schema.h"
#include "protocols/otlp/json_text.h"
#include "protocols/otlp/write.h"

namespace weft::protocols::otlp {
namespace {

namespace od = simdjson::ondemand;

constexpr size_t kKeptParserBytes = 4 << 20;  // a parser that grew beyond this is not kept

std::string_view Trim(std::string_view token) {
  while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') token.remove_suffix(1);
  return token;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool FromHex(std::string_view hex, std::string* out) {
  out->clear();
  if (hex.size() % 2 != 0) return false;
  for (size_t i = 0; i < hex.size(); i += 2) {
    int high = HexDigit(hex[i]), low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<char>(high << 4 | low));
  }
  return true;
}

bool ParseDouble(std::string_view text, double* out) {
  if (text == "NaN") return *out = std::nan(""), true;
  if (text == "Infinity") return *out = HUGE_VAL, true;
  if (text == "-Infinity") return *out = -HUGE_VAL, true;
  if (text.empty() || !(text[0] == '-' || (text[0] >= '0' && text[0] <= '9'))) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (end != text.data() + text.size()) return false;
  if (error == std::errc::result_out_of_range)
    *out = std::strtod(std::string(text).c_str(), nullptr);
  return error != std::errc::invalid_argument;
}

// Integers of up to 64 bits, signed or not, also as "1e3": senders differ.
bool ParseInteger(std::string_view text, uint64_t* out) {
  const char* end = text.data() + text.size();
  if (auto r = std::from_chars(text.data(), end, *out); r.ptr == end && r.ec == std::errc{}) {
    return true;
  }
  int64_t negative;
  if (auto r = std::from_chars(text.data(), end, negative); r.ptr == end && r.ec == std::errc{}) {
    *out = static_cast<uint64_t>(negative);
    return true;
  }
  double real;
  if (!ParseDouble(text, &real) || std::trunc(real) != real) return false;
  if (!(real >= -0x1p63 && real < 0x1p64)) return false;
  *out = real < 0 ? static_cast<uint64_t>(static_cast<int64_t>(real)) : static_cast<uint64_t>(real);
  return true;
}

// Transcodes while it reads: protobuf fields may stand in any order, as JSON members do.
class Reader {
 public:
  Reader(base::ByteBuffer& out, std::string* error) : w_(out), error_(error) {}

  bool Request(const JsonMessage& type, od::document& document) {
    od::object root;
    if (document.get_object().get(root)) return Bad("not a JSON object");
    return Members(type, root) &&
           (document.current_location().error() || Bad("bytes behind the JSON object"));
  }

 private:
  bool Bad(std::string_view what) {
    if (error_->empty()) *error_ = what;
    return false;
  }
  bool Bad(std::string_view key, std::string_view what) {
    return Bad(std::string(key) + ": " + std::string(what));
  }

  bool Members(const JsonMessage& type, od::object& object);
  bool Member(const JsonField& field, od::value v);
  bool Items(const JsonField& field, od::value v);
  bool Message(const JsonField& field, od::value v);
  bool Bytes(const JsonField& field, std::string_view text);
  bool Scalar(const JsonField& field, od::value v, bool with_tag);
  bool Number(const JsonField& field, std::string_view text, bool with_tag);
  template <typename Use>
  bool EachItem(od::value v, Use&& use);
  bool TextOf(const JsonField& field, od::value v, std::string_view* text);

  Writer w_;
  std::string* const error_;
  std::string text_, raw_;  // the last unescaped text, the last decoded bytes
  int depth_ = 1;
};

bool IsNull(od::value& v) {
  od::json_type type;
  return !v.type().get(type) && type == od::json_type::null && Trim(v.raw_json_token()) == "null";
}

bool IsText(JsonKind kind) {
  return kind == JsonKind::kText || kind == JsonKind::kId || kind == JsonKind::kBase64;
}

// The field of that key. The search begins at `*next`, where it most often ends: senders write
// their members in the same order.
const JsonField* Find(const JsonMessage& type, std::string_view key, size_t* next) {
  const size_t count = type.fields.size();
  for (size_t i = 0; i < count; ++i) {
    const size_t at = *next + i < count ? *next + i : *next + i - count;
    if (type.fields[at].key != key) continue;
    *next = at + 1 < count ? at + 1 : 0;
    return &type.fields[at];
  }
  return nullptr;
}

bool Reader::Members(const JsonMessage& type, od::object& object) {
  size_t next = 0;
  for (auto result : object) {
    od::field member;
    if (auto code = std::move(result).get(member)) return Bad(simdjson::error_message(code));
    std::string unescaped;  // allocates only for keys that have escapes and are long
    std::string_view key;
    if (!UnescapeJson(member.key().raw(), &unescaped, &key)) return Bad("bad escape in a key");
    const JsonField* field = Find(type, key, &next);
    if (field != nullptr && !Member(*field, member.value())) return false;
  }
  return true;
}

bool Reader::Member(const JsonField& field, od::value v) {
  if (IsNull(v)) return true;
  if (field.repeated) return Items(field, v);
  return field.kind == JsonKind::kMessage ? Message(field, v) : Scalar(field, v, true);
}

template <typename Use>
bool Reader::EachItem(od::value v, Use&& use) {
  od::array array;
  if (v.get_array().get(array)) return Bad("expected an array");
  for (auto result : array) {
    od::value item;
    if (auto code = std::move(result).get(item)) return Bad(simdjson::error_message(code));
    if (!IsNull(item) && !use(item)) return false;
  }
  return true;
}

bool Reader::Items(const JsonField& field, od::value v) {
  if (field.kind == JsonKind::kMessage) {
    return EachItem(v, [&](od::value item) { return Message(field, item); });
  }
  if (IsText(field.kind)) {
    return EachItem(v, [&](od::value item) { return Scalar(field, item, true); });
  }
  const size_t begin = w_.Begin(field.number);
  const bool ok = EachItem(v, [&](od::value item) { return Scalar(field, item, false); });
  w_.End(begin);
  return ok;
}

// The only recursion: bounded here.
bool Reader::Message(const JsonField& field, od::value v) {
  od::object object;
  if (v.get_object().get(object)) return Bad("expected an object");
  if (field.child->nests && ++depth_ > kMaxDepth) return Bad("attribute value nested too deeply");
  const size_t begin = w_.Begin(field.number);
  const bool ok = Members(*field.child, object);
  w_.End(begin);
  if (field.child->nests) --depth_;
  return ok;
}

// The text of a string, or the token of a number: what both spellings of a number have in common.
bool Reader::TextOf(const JsonField& field, od::value v, std::string_view* text) {
  od::json_type type;
  if (auto code = v.type().get(type)) return Bad(simdjson::error_message(code));
  if (type == od::json_type::string) {
    od::raw_json_string raw;
    if (v.get_raw_json_string().get(raw)) return Bad(field.key, "expected a string");
    return UnescapeJson(raw.raw(), &text_, text) || Bad(field.key, "bad escape");
  }
  if (type != od::json_type::number || IsText(field.kind)) return Bad(field.key, "wrong type");
  *text = Trim(v.raw_json_token());
  return true;
}

bool Reader::Scalar(const JsonField& field, od::value v, bool with_tag) {
  if (field.kind == JsonKind::kBool) {
    bool value;
    if (v.get_bool().get(value)) return Bad(field.key, "expected true or false");
    w_.Uint(field.number, value ? 1 : 0);
    return true;
  }
  std::string_view text;
  if (!TextOf(field, v, &text)) return false;
  return IsText(field.kind) ? Bytes(field, text) : Number(field, text, with_tag);
}

bool Reader::Bytes(const JsonField& field, std::string_view text) {
  if (field.kind == JsonKind::kText) {
    w_.Text(field.number, text);
  } else if (field.kind == JsonKind::kId) {
    if (FromHex(text, &raw_)) w_.Bytes(field.number, base::AsBytes(raw_));
  } else {
    if (!FromBase64(text, &raw_)) return Bad(field.key, "not base64");
    w_.Bytes(field.number, base::AsBytes(raw_));
  }
  return true;
}

// Without a tag: within a packed field.
bool Reader::Number(const JsonField& field, std::string_view text, bool with_tag) {
  uint64_t bits;
  if (field.kind == JsonKind::kDouble) {
    double value;
    if (!ParseDouble(text, &value)) return Bad(field.key, "not a number");
    bits = std::bit_cast<uint64_t>(value);
  } else if (!ParseInteger(text, &bits) &&
             !(field.kind == JsonKind::kEnum && JsonEnum(text, &bits))) {
    return Bad(field.key, "not an integer");
  }
  const bool is_fixed64 = field.kind == JsonKind::kFixed64 || field.kind == JsonKind::kDouble;
  if (field.kind == JsonKind::kSigned) {
    const auto value = static_cast<int64_t>(bits);
    if (value != static_cast<int32_t>(value)) return Bad(field.key, "out of range");
    bits = static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
  }
  if (field.kind == JsonKind::kFixed32) {
    w_.Fixed32(field.number, static_cast<uint32_t>(bits));
  } else if (is_fixed64 && with_tag) {
    w_.Fixed64(field.number, bits);
  } else if (is_fixed64) {
    w_.Raw({reinterpret_cast<const uint8_t*>(&bits), sizeof bits});
  } else if (with_tag) {
    w_.Uint(field.number, bits);
  } else {
    w_.Varint(bits);
  }
  return true;
}

}  // namespace

bool JsonToProto(base::ByteView json, base::ByteBuffer* out, std::string* error,
                 model::Signal signal) {
  thread_local od::parser parser;
  error->clear();
  const JsonMessage* type = JsonRequest(signal);
  if (type == nullptr) return *error = "no JSON form", false;
  if (json.size() > kMaxRequestBytes) return *error = "request above 64 MiB", false;
  if (base::AsText(json).starts_with("\xef\xbb\xbf")) json = json.subspan(3);
  base::ByteBuffer padded(json.size() + simdjson::SIMDJSON_PADDING);
  padded.Append(json);
  std::memset(padded.data() + json.size(), ' ', simdjson::SIMDJSON_PADDING);
  auto* text = reinterpret_cast<char*>(padded.data());
  if (!base::IsUtf8({text, json.size()})) base::RepairUtf8(text, json.size());

  size_t old_size = out->size();
  od::document document;
  bool ok = false;
  if (auto code = parser.iterate(text, json.size(), padded.capacity()).get(document)) {
    *error = simdjson::error_message(code);
  } else {
    ok = Reader(*out, error).Request(*type, document);
  }
  if (!ok) out->Truncate(old_size);
  if (parser.capacity() > kKeptParserBytes) parser = od::parser();
  return ok;
}

}  // namespace weft::protocols::otlp
