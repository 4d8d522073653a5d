#include <simdjson.h>

#include <charconv>
#include <cstring>
#include <deque>

#include "base/coding/utf8.h"
#include "protocols/otlp/json_text.h"
#include "protocols/zipkin/reader.h"

namespace weft::protocols::zipkin {
namespace {

namespace od = simdjson::ondemand;
using model::SpanKind;

// A parser holds six times the bytes of the largest document that it has seen; one that has grown
// beyond this is not kept.
constexpr size_t kKeptParserBytes = 1 << 20;

// The parser of a thread; shrinks at the end of its use.
class KeptParser {
 public:
  explicit KeptParser(od::parser& parser) : parser_(parser) {}
  ~KeptParser() {
    if (parser_.capacity() > kKeptParserBytes) parser_ = od::parser();
  }
  KeptParser(const KeptParser&) = delete;
  KeptParser& operator=(const KeptParser&) = delete;
  od::parser* operator->() const { return &parser_; }

 private:
  od::parser& parser_;
};

std::string_view Trim(std::string_view token) {
  while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') token.remove_suffix(1);
  return token;
}

// Texts without escapes are views of the request; the others are kept here until the span is done.
class Texts {
 public:
  void Clear() { unescaped_.clear(); }
  bool Unescape(const char* raw, std::string_view* text) {
    std::string& scratch = unescaped_.emplace_back();
    if (!otlp::UnescapeJson(raw, &scratch, text)) return false;
    if (scratch.empty()) unescaped_.pop_back();
    return true;
  }

 private:
  std::deque<std::string> unescaped_;
};

// A request's JSON text as simdjson wants it.
class Padded {
 public:
  explicit Padded(std::string_view json) : bytes_(json.size() + simdjson::SIMDJSON_PADDING) {
    if (json.starts_with("\xef\xbb\xbf")) json.remove_prefix(3);
    size_ = json.size();
    bytes_.Append(json);
    std::memset(bytes_.data() + size_, ' ', simdjson::SIMDJSON_PADDING);
    if (!base::IsUtf8({text(), size_})) base::RepairUtf8(text(), size_);
  }
  char* text() { return reinterpret_cast<char*>(bytes_.data()); }
  size_t size() const { return size_; }
  size_t capacity() const { return bytes_.capacity(); }

 private:
  base::ByteBuffer bytes_;
  size_t size_;
};

class Reader {
 public:
  Reader(bool version1, Composer& composer, std::string* error)
      : is_version1_(version1), composer_(composer), error_(error), version1_(span_) {}

  bool Request(od::document& document) {
    od::array spans;
    if (document.get_array().get(spans)) return Bad("not a JSON array of spans");
    for (auto result : spans) {
      od::value item;
      if (auto code = std::move(result).get(item)) return Bad(simdjson::error_message(code));
      od::object object;
      if (item.get_object().get(object)) return Bad("expected a span as an object");
      if (!OneSpan(object)) return false;
    }
    return document.current_location().error() || Bad("bytes behind the JSON array");
  }

 private:
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
      std::string_view key;
      if (!texts_.Unescape(member.key().raw(), &key)) return Bad("bad escape in a key");
      od::value value = member.value();
      if (!use(key, value)) return false;
    }
    return true;
  }
  // An object or null.
  template <typename Use>
  bool ObjectOf(std::string_view key, od::value& v, Use&& use) {
    if (IsNull(v)) return true;
    od::object object;
    if (v.get_object().get(object)) return Bad(key, "expected an object");
    return EachMember(object, use);
  }
  // An array of objects or null.
  template <typename Each>
  bool ArrayOf(std::string_view key, od::value& v, Each&& each) {
    if (IsNull(v)) return true;
    od::array array;
    if (v.get_array().get(array)) return Bad(key, "expected an array");
    for (auto result : array) {
      od::value item;
      if (auto code = std::move(result).get(item)) return Bad(simdjson::error_message(code));
      od::object object;
      if (item.get_object().get(object)) return Bad(key, "expected objects");
      if (!each(object)) return false;
    }
    return true;
  }
  static bool IsNull(od::value& v) {
    od::json_type type;
    return !v.type().get(type) && type == od::json_type::null && Trim(v.raw_json_token()) == "null";
  }

  // The text of a string, the token of a number, true and false; nothing for anything else.
  bool TextOf(od::value& v, std::string_view* text) {
    od::json_type type;
    if (auto code = v.type().get(type)) return Bad(simdjson::error_message(code));
    if (type == od::json_type::string) {
      od::raw_json_string raw;
      if (auto code = v.get_raw_json_string().get(raw)) return Bad(simdjson::error_message(code));
      return texts_.Unescape(raw.raw(), text) || Bad("bad escape in a string");
    }
    if (type == od::json_type::number || type == od::json_type::boolean)
      *text = Trim(v.raw_json_token());
    return true;
  }
  // As a number or a string; negative and broken ones count as absent.
  bool NumberOf(od::value& v, uint64_t* number) {
    std::string_view text;
    if (!TextOf(v, &text)) return false;
    const char* const end = text.data() + text.size();
    if (std::from_chars(text.data(), end, *number).ptr == end && !text.empty()) return true;
    double real = 0;
    const bool is_real = std::from_chars(text.data(), end, real).ptr == end && !text.empty();
    *number = is_real && real >= 0 && real < 0x1p63 ? static_cast<uint64_t>(real) : 0;
    return true;
  }
  bool FlagOf(od::value& v, bool* flag) {
    std::string_view text;
    if (!TextOf(v, &text)) return false;
    *flag = text == "true" || text == "1";
    return true;
  }
  template <size_t N>
  bool IdOf(od::value& v, base::Id<N>* id) {
    std::string_view text;
    if (!TextOf(v, &text)) return false;
    (void)ParseHexId(text, id);  // a bad one stays zero: that span alone is left out
    return true;
  }

  bool OneSpan(od::object& object);
  bool SpanMember(std::string_view key, od::value& v);
  bool KindMember(od::value& v);
  bool EndpointMember(std::string_view key, od::value& v, Endpoint* endpoint);
  bool TagsMember(std::string_view key, od::value& v);
  bool OneAnnotation(od::object& object);
  bool OneBinary(od::object& object);

  const bool is_version1_;
  Composer& composer_;
  std::string* const error_;
  Span span_;
  Version1 version1_;
  Texts texts_;
};

bool Reader::OneSpan(od::object& object) {
  texts_.Clear();
  span_.Clear();
  if (is_version1_) version1_.Start();
  const bool ok =
      EachMember(object, [this](std::string_view key, od::value& v) { return SpanMember(key, v); });
  if (!ok) return false;
  if (is_version1_) version1_.Finish();
  return composer_.Add(span_) || Bad("too many spans for so few bytes");
}

bool Reader::SpanMember(std::string_view key, od::value& v) {
  if (key == "traceId") return IdOf(v, &span_.trace_id);
  if (key == "id") return IdOf(v, &span_.id);
  if (key == "parentId") return IdOf(v, &span_.parent_id);
  if (key == "name") return TextOf(v, &span_.name);
  if (key == "timestamp") return NumberOf(v, &span_.timestamp_us);
  if (key == "duration") return NumberOf(v, &span_.duration_us);
  if (key == "debug") return FlagOf(v, &span_.debug);
  if (key == "annotations")
    return ArrayOf(key, v, [this](od::object& object) { return OneAnnotation(object); });
  if (is_version1_) {
    if (key != "binaryAnnotations") return true;
    return ArrayOf(key, v, [this](od::object& object) { return OneBinary(object); });
  }
  if (key == "kind") return KindMember(v);
  if (key == "shared") return FlagOf(v, &span_.shared);
  if (key == "localEndpoint") return EndpointMember(key, v, &span_.local);
  if (key == "remoteEndpoint") return EndpointMember(key, v, &span_.remote);
  if (key == "tags") return TagsMember(key, v);
  return true;
}

bool Reader::KindMember(od::value& v) {
  std::string_view text;
  if (!TextOf(v, &text)) return false;
  span_.kind = text == "CLIENT"     ? SpanKind::kClient
               : text == "SERVER"   ? SpanKind::kServer
               : text == "PRODUCER" ? SpanKind::kProducer
               : text == "CONSUMER" ? SpanKind::kConsumer
                                    : SpanKind::kUnspecified;
  return true;
}

bool Reader::EndpointMember(std::string_view key, od::value& v, Endpoint* endpoint) {
  std::string_view ipv4, ipv6;
  const bool ok = ObjectOf(key, v, [&](std::string_view name, od::value& value) {
    if (name == "serviceName") return TextOf(value, &endpoint->service);
    if (name == "ipv4") return TextOf(value, &ipv4);
    if (name == "ipv6") return TextOf(value, &ipv6);
    if (name != "port") return true;
    uint64_t port = 0;
    if (!NumberOf(value, &port)) return false;
    endpoint->port = port <= 65535 ? static_cast<uint16_t>(port) : 0;
    return true;
  });
  const std::string_view ip = ipv6.empty() ? ipv4 : ipv6;
  if (ip.size() <= 45) endpoint->ip = ip;
  return ok;
}

bool Reader::TagsMember(std::string_view key, od::value& v) {
  return ObjectOf(key, v, [&](std::string_view name, od::value& value) {
    std::string_view text;
    if (span_.Full()) return Bad("too many tags and annotations in a span");
    if (!TextOf(value, &text)) return false;
    span_.tags.push_back({name, {Value::Kind::kText, text}});
    return true;
  });
}

bool Reader::OneAnnotation(od::object& object) {
  uint64_t time_us = 0;
  std::string_view value;
  Endpoint host;
  const bool ok = EachMember(object, [&](std::string_view key, od::value& v) {
    if (key == "timestamp") return NumberOf(v, &time_us);
    if (key == "value") return TextOf(v, &value);
    if (key == "endpoint" && is_version1_) return EndpointMember(key, v, &host);
    return true;
  });
  if (!ok) return false;
  if (span_.Full()) return Bad("too many tags and annotations in a span");
  if (is_version1_) {
    version1_.Annotation(time_us, value, host);
  } else {
    span_.annotations.push_back({time_us, value});
  }
  return true;
}

bool Reader::OneBinary(od::object& object) {
  std::string_view name;
  Value value;
  Endpoint host;
  const bool ok = EachMember(object, [&](std::string_view key, od::value& v) {
    if (key == "key") return TextOf(v, &name);
    if (key == "endpoint") return EndpointMember(key, v, &host);
    if (key != "value") return true;
    od::json_type type;
    if (auto code = v.type().get(type)) return Bad(simdjson::error_message(code));
    if (!TextOf(v, &value.text)) return false;
    if (type == od::json_type::boolean) value = {Value::Kind::kBool, {}, value.text == "true"};
    return true;
  });
  if (span_.Full()) return Bad("too many tags and annotations in a span");
  if (ok) version1_.Binary(name, value, host);
  return ok;
}

}  // namespace

bool ReadJson(base::ByteView request, bool version1, Composer& composer, std::string* error) {
  thread_local od::parser kept;
  const KeptParser parser(kept);
  Padded padded(base::AsText(request));
  od::document document;
  bool ok = false;
  if (auto code = parser->iterate(padded.text(), padded.size(), padded.capacity()).get(document)) {
    *error = simdjson::error_message(code);
  } else {
    ok = Reader(version1, composer, error).Request(document);
  }
  return ok;
}

bool AppendJsonAttributes(std::string_view json, uint32_t field, base::ByteBuffer* out) {
  thread_local od::parser kept;  // not the one that is in the middle of the request
  const KeptParser parser(kept);
  const size_t begin = out->size();
  Padded padded(json);
  od::document document;
  od::object object;
  if (parser->iterate(padded.text(), padded.size(), padded.capacity()).get(document) ||
      document.get_object().get(object)) {
    return false;
  }
  otlp::Writer w(*out);
  Texts texts;
  const auto append = [&](od::field& member) {
    std::string_view key, text;
    od::value v = member.value();
    od::json_type type;
    if (!texts.Unescape(member.key().raw(), &key) || v.type().get(type)) return false;
    if (type == od::json_type::string) {
      od::raw_json_string raw;
      if (v.get_raw_json_string().get(raw) || !texts.Unescape(raw.raw(), &text)) return false;
      otlp::WriteAttribute(w, field, key, text);
    } else if (type == od::json_type::boolean) {
      bool flag;
      if (v.get_bool().get(flag)) return false;
      otlp::WriteAttribute(w, field, key, flag);
    } else if (type == od::json_type::number) {
      text = Trim(v.raw_json_token());
      int64_t number = 0;
      double real = 0;
      const char* const end = text.data() + text.size();
      if (std::from_chars(text.data(), end, number).ptr == end) {
        otlp::WriteAttribute(w, field, key, number);
      } else if (std::from_chars(text.data(), end, real).ptr == end) {
        otlp::WriteAttribute(w, field, key, real);
      } else {
        return false;
      }
    } else {
      if (simdjson::to_json_string(v).get(text)) return false;
      otlp::WriteAttribute(w, field, key, text);
    }
    return true;
  };
  for (auto result : object) {
    od::field member;
    if (std::move(result).get(member) || !append(member)) {
      out->Truncate(begin);
      return false;
    }
  }
  return true;
}

}  // namespace weft::protocols::zipkin
