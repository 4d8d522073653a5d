#include "protocols/otlp/json_read.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "base/coding/utf8.h"
#include "protocols/otlp/base64.h"
#include "protocols/otlp/index.h"
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

// Enums are integers; their names are accepted too.
bool ParseEnum(std::string_view text, uint64_t* out) {
  static constexpr std::pair<std::string_view, uint64_t> kNames[] = {
      {"SPAN_KIND_UNSPECIFIED", 0}, {"SPAN_KIND_INTERNAL", 1}, {"SPAN_KIND_SERVER", 2},
      {"SPAN_KIND_CLIENT", 3},      {"SPAN_KIND_PRODUCER", 4}, {"SPAN_KIND_CONSUMER", 5},
      {"STATUS_CODE_UNSET", 0},     {"STATUS_CODE_OK", 1},     {"STATUS_CODE_ERROR", 2}};
  for (const auto& [name, number] : kNames) {
    if (text == name) return *out = number, true;
  }
  return ParseInteger(text, out);
}

// Transcodes while it reads: protobuf fields may stand in any order, as JSON members do.
class Reader {
 public:
  Reader(base::ByteBuffer& out, std::string* error) : w_(out), error_(error) {}

  bool Request(od::document& document) {
    od::object root;
    if (document.get_object().get(root)) return Bad("not a JSON object");
    bool ok = EachMember(root, [&](std::string_view key, od::value v) {
      if (key != "resourceSpans") return true;
      return Messages(field::kResourceSpans, v, &Reader::ResourceSpans);
    });
    return ok && (document.current_location().error() || Bad("bytes behind the JSON object"));
  }

 private:
  using Member = bool (Reader::*)(std::string_view key, od::value v);

  bool Bad(std::string_view what) {
    if (error_->empty()) *error_ = what;
    return false;
  }
  bool Bad(std::string_view key, std::string_view what) {
    return Bad(std::string(key) + ": " + std::string(what));
  }

  template <typename Use>
  bool EachMember(od::object& object, Use&& use) {
    for (auto result : object) {
      od::field member;
      if (auto code = std::move(result).get(member)) return Bad(simdjson::error_message(code));
      std::string unescaped;  // allocates only for keys that have escapes and are long
      std::string_view key;
      if (!UnescapeJson(member.key().raw(), &unescaped, &key)) return Bad("bad escape in a key");
      if (!use(key, member.value())) return false;
    }
    return true;
  }
  template <typename Use>
  bool EachItem(od::value v, Use&& use) {
    if (IsNull(v)) return true;
    od::array array;
    if (v.get_array().get(array)) return Bad("expected an array");
    for (auto result : array) {
      od::value item;
      if (auto code = std::move(result).get(item)) return Bad(simdjson::error_message(code));
      if (!use(item)) return false;
    }
    return true;
  }
  bool IsNull(od::value& v) {
    od::json_type type;
    return !v.type().get(type) && type == od::json_type::null && Trim(v.raw_json_token()) == "null";
  }

  // One embedded message from one object.
  bool Message(uint32_t number, od::value v, Member member) {
    if (IsNull(v)) return true;
    od::object object;
    if (v.get_object().get(object)) return Bad("expected an object");
    size_t begin = w_.Begin(number);
    bool ok = EachMember(
        object, [&](std::string_view key, od::value value) { return (this->*member)(key, value); });
    w_.End(begin);
    return ok;
  }
  bool Messages(uint32_t number, od::value v, Member member) {
    return EachItem(v, [&](od::value item) { return Message(number, item, member); });
  }
  bool Attributes(uint32_t number, od::value v) { return Messages(number, v, &Reader::KeyValue); }

  // The text of a string, or the token of a number: what both spellings of a number have in common.
  bool TextOf(std::string_view key, od::value v, bool number_allowed, std::string_view* text) {
    od::json_type type;
    if (auto code = v.type().get(type)) return Bad(simdjson::error_message(code));
    if (type == od::json_type::string) {
      od::raw_json_string raw;
      if (v.get_raw_json_string().get(raw)) return Bad(key, "expected a string");
      return UnescapeJson(raw.raw(), &text_, text) || Bad(key, "bad escape");
    }
    if (type != od::json_type::number || !number_allowed) return Bad(key, "wrong type");
    *text = Trim(v.raw_json_token());
    return true;
  }
  bool Text(uint32_t number, std::string_view key, od::value v) {
    std::string_view text;
    if (IsNull(v)) return true;
    if (!TextOf(key, v, false, &text)) return false;
    w_.Text(number, text);
    return true;
  }
  bool Id(uint32_t number, std::string_view key, od::value v) {
    std::string_view text;
    if (IsNull(v)) return true;
    if (!TextOf(key, v, false, &text)) return false;
    if (FromHex(text, &raw_)) w_.Bytes(number, base::AsBytes(raw_));
    return true;
  }
  bool Integer(std::string_view key, od::value v, uint64_t* number) {
    std::string_view text;
    return TextOf(key, v, true, &text) && (ParseEnum(text, number) || Bad(key, "not an integer"));
  }
  bool Uint(uint32_t number, std::string_view key, od::value v) {
    uint64_t value;
    if (IsNull(v)) return true;
    if (!Integer(key, v, &value)) return false;
    w_.Uint(number, value);
    return true;
  }
  bool Fixed(uint32_t number, std::string_view key, od::value v, WireType type) {
    uint64_t value;
    if (IsNull(v)) return true;
    if (!Integer(key, v, &value)) return false;
    if (type == WireType::kFixed64) {
      w_.Fixed64(number, value);
    } else {
      w_.Fixed32(number, static_cast<uint32_t>(value));
    }
    return true;
  }

  bool ResourceSpans(std::string_view key, od::value v);
  bool Resource(std::string_view key, od::value v);
  bool Entity(std::string_view key, od::value v);
  bool ScopeSpans(std::string_view key, od::value v);
  bool Scope(std::string_view key, od::value v);
  bool Span(std::string_view key, od::value v);
  bool SpanCounts(std::string_view key, od::value v);
  bool Event(std::string_view key, od::value v);
  bool Link(std::string_view key, od::value v);
  bool Status(std::string_view key, od::value v);
  bool KeyValue(std::string_view key, od::value v);
  bool Value(std::string_view key, od::value v);
  bool Nested(uint32_t number, od::value v, Member item);
  bool ArrayItems(std::string_view key, od::value v);
  bool MapItems(std::string_view key, od::value v);
  bool Scalar(std::string_view key, od::value v);

  Writer w_;
  std::string* const error_;
  std::string text_, raw_;  // the last unescaped text, the last decoded bytes
  int depth_ = 1;
};

bool Reader::ResourceSpans(std::string_view key, od::value v) {
  if (key == "resource") return Message(field::kResource, v, &Reader::Resource);
  if (key == "scopeSpans") return Messages(field::kScopeSpans, v, &Reader::ScopeSpans);
  if (key == "schemaUrl") return Text(field::kSchemaUrl, key, v);
  return true;
}

bool Reader::Resource(std::string_view key, od::value v) {
  if (key == "attributes") return Attributes(field::kResourceAttribute, v);
  if (key == "droppedAttributesCount") return Uint(field::kResourceDropped, key, v);
  if (key == "entityRefs") return Messages(field::kEntityRef, v, &Reader::Entity);
  return true;
}

bool Reader::Entity(std::string_view key, od::value v) {
  if (key == "schemaUrl") return Text(1, key, v);
  if (key == "type") return Text(2, key, v);
  uint32_t number = key == "idKeys" ? 3 : key == "descriptionKeys" ? 4 : 0;
  if (number == 0) return true;
  return EachItem(v, [&](od::value item) { return Text(number, key, item); });
}

bool Reader::ScopeSpans(std::string_view key, od::value v) {
  if (key == "scope") return Message(field::kScope, v, &Reader::Scope);
  if (key == "spans") return Messages(field::kSpan, v, &Reader::Span);
  if (key == "schemaUrl") return Text(field::kSchemaUrl, key, v);
  return true;
}

bool Reader::Scope(std::string_view key, od::value v) {
  if (key == "name") return Text(field::kScopeName, key, v);
  if (key == "version") return Text(field::kScopeVersion, key, v);
  if (key == "attributes") return Attributes(field::kScopeAttribute, v);
  if (key == "droppedAttributesCount") return Uint(field::kScopeDropped, key, v);
  return true;
}

bool Reader::Span(std::string_view key, od::value v) {
  if (key == "traceId") return Id(field::kTraceId, key, v);
  if (key == "spanId") return Id(field::kSpanId, key, v);
  if (key == "parentSpanId") return Id(field::kParentSpanId, key, v);
  if (key == "traceState") return Text(field::kTraceState, key, v);
  if (key == "name") return Text(field::kName, key, v);
  if (key == "kind") return Uint(field::kKind, key, v);
  if (key == "startTimeUnixNano") return Fixed(field::kStart, key, v, WireType::kFixed64);
  if (key == "endTimeUnixNano") return Fixed(field::kEnd, key, v, WireType::kFixed64);
  if (key == "attributes") return Attributes(field::kAttribute, v);
  if (key == "events") return Messages(field::kEvent, v, &Reader::Event);
  if (key == "links") return Messages(field::kLink, v, &Reader::Link);
  if (key == "status") return Message(field::kStatus, v, &Reader::Status);
  if (key == "flags") return Fixed(field::kFlags, key, v, WireType::kFixed32);
  return SpanCounts(key, v);
}

bool Reader::SpanCounts(std::string_view key, od::value v) {
  if (key == "droppedAttributesCount") return Uint(field::kDroppedAttributes, key, v);
  if (key == "droppedEventsCount") return Uint(field::kDroppedEvents, key, v);
  if (key == "droppedLinksCount") return Uint(field::kDroppedLinks, key, v);
  return true;
}

bool Reader::Event(std::string_view key, od::value v) {
  if (key == "timeUnixNano") return Fixed(field::kEventTime, key, v, WireType::kFixed64);
  if (key == "name") return Text(field::kEventName, key, v);
  if (key == "attributes") return Attributes(field::kEventAttribute, v);
  if (key == "droppedAttributesCount") return Uint(field::kEventDropped, key, v);
  return true;
}

bool Reader::Link(std::string_view key, od::value v) {
  if (key == "traceId") return Id(field::kLinkTraceId, key, v);
  if (key == "spanId") return Id(field::kLinkSpanId, key, v);
  if (key == "traceState") return Text(field::kLinkTraceState, key, v);
  if (key == "attributes") return Attributes(field::kLinkAttribute, v);
  if (key == "droppedAttributesCount") return Uint(field::kLinkDropped, key, v);
  if (key == "flags") return Fixed(field::kLinkFlags, key, v, WireType::kFixed32);
  return true;
}

bool Reader::Status(std::string_view key, od::value v) {
  if (key == "message") return Text(field::kStatusMessage, key, v);
  if (key == "code") return Uint(field::kStatusCode, key, v);
  return true;
}

bool Reader::KeyValue(std::string_view key, od::value v) {
  if (key == "key") return Text(field::kKey, key, v);
  if (key == "value") return Message(field::kValue, v, &Reader::Value);
  return true;
}

bool Reader::Value(std::string_view key, od::value v) {
  if (key == "stringValue") return Text(field::kTextValue, key, v);
  if (key == "intValue") return Uint(field::kIntValue, key, v);
  if (key == "arrayValue") return Nested(field::kArrayValue, v, &Reader::ArrayItems);
  if (key == "kvlistValue") return Nested(field::kMapValue, v, &Reader::MapItems);
  return Scalar(key, v);
}

bool Reader::Scalar(std::string_view key, od::value v) {
  if (IsNull(v)) return true;
  std::string_view text;
  if (key == "boolValue") {
    bool value;
    if (v.get_bool().get(value)) return Bad(key, "expected true or false");
    w_.Uint(field::kBoolValue, value ? 1 : 0);
  } else if (key == "doubleValue") {
    double value;
    if (!TextOf(key, v, true, &text)) return false;
    if (!ParseDouble(text, &value)) return Bad(key, "not a number");
    w_.Double(field::kDoubleValue, value);
  } else if (key == "bytesValue") {
    if (!TextOf(key, v, false, &text)) return false;
    if (!FromBase64(text, &raw_)) return Bad(key, "not base64");
    w_.Bytes(field::kBytesValue, base::AsBytes(raw_));
  }
  return true;
}

// The only recursion: bounded here.
bool Reader::Nested(uint32_t number, od::value v, Member item) {
  if (++depth_ > kMaxDepth) return Bad("attribute value nested too deeply");
  bool ok = Message(number, v, item);
  --depth_;
  return ok;
}

bool Reader::ArrayItems(std::string_view key, od::value v) {
  return key != "values" || Messages(field::kItem, v, &Reader::Value);
}

bool Reader::MapItems(std::string_view key, od::value v) {
  return key != "values" || Messages(field::kItem, v, &Reader::KeyValue);
}

}  // namespace

bool JsonToProto(base::ByteView json, base::ByteBuffer* out, std::string* error) {
  thread_local od::parser parser;
  error->clear();
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
    ok = Reader(*out, error).Request(document);
  }
  if (!ok) out->Truncate(old_size);
  if (parser.capacity() > kKeptParserBytes) parser = od::parser();
  return ok;
}

}  // namespace weft::protocols::otlp
