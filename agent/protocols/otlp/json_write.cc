#include "protocols/otlp/json_write.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "base/coding/json_text.h"
#include "protocols/otlp/base64.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/view.h"

namespace weft::protocols::otlp {
namespace {

// Writes members and items with the commas between them.
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out) : out_(*out) {}

  void BeginObject() { Separate(), out_.push_back('{'), fresh_ = true; }
  void EndObject() { out_.push_back('}'), fresh_ = false; }
  void BeginArray() { Separate(), out_.push_back('['), fresh_ = true; }
  void EndArray() { out_.push_back(']'), fresh_ = false; }
  // Keys are literals of the format.
  JsonWriter& Key(std::string_view key) {
    Separate();
    out_.append("\"").append(key).append("\":");
    fresh_ = true;
    return *this;
  }
  void TextKey(std::string_view key) {
    Text(key);
    out_.push_back(':');
    fresh_ = true;
  }
  void Text(std::string_view text) { Separate(), base::AppendJsonText(text, &out_); }
  void Raw(std::string_view token) { Separate(), out_.append(token); }
  void Quoted(std::string_view safe) { Separate(), out_.append("\"").append(safe).append("\""); }
  template <typename Int>
  void Number(Int v) {
    Separate();
    Digits(v);
  }
  template <typename Int>
  void QuotedNumber(Int v) {
    Separate();
    out_.push_back('"');
    Digits(v);
    out_.push_back('"');
  }
  void Real(double v) {
    if (!std::isfinite(v)) return Quoted(std::isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
    Separate();
    Digits(v);
  }

 private:
  void Separate() {
    if (!fresh_) out_.push_back(',');
    fresh_ = false;
  }
  template <typename T>
  void Digits(T v) {
    char text[32];
    out_.append(text, std::to_chars(text, text + sizeof text, v).ptr);
  }

  std::string& out_;
  bool fresh_ = true;  // nothing stands before the next value that needs a comma
};

void WriteAttributes(const AttributeViews& attributes, int depth, JsonWriter* json);

void WriteValue(const ValueView& value, int depth, JsonWriter* json) {
  using Kind = ValueView::Kind;
  json->BeginObject();
  switch (value.kind) {
    case Kind::kEmpty:
      break;
    case Kind::kText:
      json->Key("stringValue").Text(value.text);
      break;
    case Kind::kBool:
      json->Key("boolValue").Raw(value.number != 0 ? "true" : "false");
      break;
    case Kind::kInt:
      json->Key("intValue").QuotedNumber(value.number);
      break;
    case Kind::kDouble:
      json->Key("doubleValue").Real(value.real);
      break;
    case Kind::kBytes:
      json->Key("bytesValue").Quoted(Base64(base::AsBytes(value.text)));
      break;
    case Kind::kArray:
    case Kind::kMap: {
      json->Key(value.kind == Kind::kArray ? "arrayValue" : "kvlistValue").BeginObject();
      AttributeViews items = depth < kMaxDepth ? Items(value) : AttributeViews{};
      if (value.kind == Kind::kMap) {
        if (!items.empty()) WriteAttributes(items, depth + 1, &json->Key("values"));
      } else if (!items.empty()) {
        json->Key("values").BeginArray();
        for (const AttributeView& item : items) WriteValue(item.value, depth + 1, json);
        json->EndArray();
      }
      json->EndObject();
      break;
    }
  }
  json->EndObject();
}

// Without the type names: as a reader of a table would write it.
void WritePlain(const ValueView& value, int depth, JsonWriter* json) {
  using Kind = ValueView::Kind;
  switch (value.kind) {
    case Kind::kEmpty:
      return json->Raw("null");
    case Kind::kText:
      return json->Text(value.text);
    case Kind::kBool:
      return json->Raw(value.number != 0 ? "true" : "false");
    case Kind::kInt:
      return json->Number(value.number);
    case Kind::kDouble:
      return json->Real(value.real);
    case Kind::kBytes:
      return json->Quoted(Base64(base::AsBytes(value.text)));
    case Kind::kArray:
    case Kind::kMap:
      break;
  }
  AttributeViews items = depth < kMaxDepth ? Items(value) : AttributeViews{};
  if (value.kind == Kind::kArray) {
    json->BeginArray();
    for (const AttributeView& item : items) WritePlain(item.value, depth + 1, json);
    return json->EndArray();
  }
  json->BeginObject();
  for (const AttributeView& item : items) {
    json->TextKey(item.key);
    WritePlain(item.value, depth + 1, json);
  }
  json->EndObject();
}

void WriteAttributes(const AttributeViews& attributes, int depth, JsonWriter* json) {
  json->BeginArray();
  for (const AttributeView& attribute : attributes) {
    json->BeginObject();
    json->Key("key").Text(attribute.key);
    json->Key("value");
    WriteValue(attribute.value, depth, json);
    json->EndObject();
  }
  json->EndArray();
}

void TextMember(std::string_view key, std::string_view text, JsonWriter* json) {
  if (!text.empty()) json->Key(key).Text(text);
}
void NumberMember(std::string_view key, int64_t number, JsonWriter* json) {
  if (number != 0) json->Key(key).Number(number);
}
void TimeMember(std::string_view key, uint64_t time_ns, JsonWriter* json) {
  if (time_ns != 0) json->Key(key).QuotedNumber(time_ns);
}
template <size_t N>
void IdMember(std::string_view key, const base::Id<N>& id, JsonWriter* json) {
  if (!id.IsZero()) json->Key(key).Quoted(id.Hex());
}
void AttributesMember(const AttributeViews& attributes, uint32_t dropped, JsonWriter* json) {
  if (!attributes.empty()) WriteAttributes(attributes, 1, &json->Key("attributes"));
  NumberMember("droppedAttributesCount", dropped, json);
}

void WriteEvent(const EventView& event, JsonWriter* json) {
  json->BeginObject();
  TimeMember("timeUnixNano", event.time_ns, json);
  TextMember("name", event.name, json);
  AttributesMember(event.attributes, event.dropped_attributes, json);
  json->EndObject();
}

void WriteLink(const LinkView& link, JsonWriter* json) {
  json->BeginObject();
  IdMember("traceId", link.trace_id, json);
  IdMember("spanId", link.span_id, json);
  TextMember("traceState", link.trace_state, json);
  AttributesMember(link.attributes, link.dropped_attributes, json);
  NumberMember("flags", link.flags, json);
  json->EndObject();
}

// Writes `key` and an array of all items; nothing if there are none.
template <typename Items, typename Write>
void ArrayMember(std::string_view key, const Items& items, JsonWriter* json, Write&& write) {
  if (items.empty()) return;
  json->Key(key).BeginArray();
  for (const auto& item : items) write(item, json);
  json->EndArray();
}

void WriteSpan(const SpanView& span, JsonWriter* json) {
  json->BeginObject();
  IdMember("traceId", span.trace_id, json);
  IdMember("spanId", span.span_id, json);
  TextMember("traceState", span.trace_state, json);
  IdMember("parentSpanId", span.parent_id, json);
  NumberMember("flags", span.flags, json);
  TextMember("name", span.name, json);
  NumberMember("kind", span.kind, json);
  TimeMember("startTimeUnixNano", span.start_ns, json);
  TimeMember("endTimeUnixNano", span.end_ns, json);
  AttributesMember(span.attributes, span.dropped_attributes, json);
  ArrayMember("events", span.events, json, WriteEvent);
  NumberMember("droppedEventsCount", span.dropped_events, json);
  ArrayMember("links", span.links, json, WriteLink);
  NumberMember("droppedLinksCount", span.dropped_links, json);
  json->Key("status").BeginObject();
  TextMember("message", span.status_message, json);
  NumberMember("code", span.status_code, json);
  json->EndObject();
  json->EndObject();
}

void WriteScope(const ScopeSpansView& scope, JsonWriter* json) {
  json->BeginObject();
  json->Key("scope").BeginObject();
  TextMember("name", scope.name, json);
  TextMember("version", scope.version, json);
  AttributesMember(scope.attributes, scope.dropped_attributes, json);
  json->EndObject();
  ArrayMember("spans", scope.spans, json, WriteSpan);
  TextMember("schemaUrl", scope.schema_url, json);
  json->EndObject();
}

void WriteResource(const ResourceSpansView& resource, JsonWriter* json) {
  json->BeginObject();
  json->Key("resource").BeginObject();
  AttributesMember(resource.attributes, resource.dropped_attributes, json);
  json->EndObject();
  ArrayMember("scopeSpans", resource.scopes, json, WriteScope);
  TextMember("schemaUrl", resource.schema_url, json);
  json->EndObject();
}

}  // namespace

void AppendJson(base::ByteView request_proto, std::string* out) {
  std::vector<ResourceSpansView> resources;
  JsonWriter json(out);
  json.BeginObject();
  if (Decode(request_proto, &resources)) {
    ArrayMember("resourceSpans", resources, &json, WriteResource);
  }
  json.EndObject();
}

std::string ValueView::ToText() const {
  switch (kind) {
    case Kind::kEmpty:
      return "";
    case Kind::kText:
      return std::string(text);
    case Kind::kBool:
      return number != 0 ? "true" : "false";
    case Kind::kInt:
      return std::to_string(number);
    case Kind::kBytes:
      return Base64(base::AsBytes(text));
    case Kind::kDouble:
      if (!std::isfinite(real))
        return std::isnan(real) ? "NaN" : real > 0 ? "Infinity" : "-Infinity";
      break;
    case Kind::kArray:
    case Kind::kMap:
      break;
  }
  std::string out;
  JsonWriter json(&out);
  WritePlain(*this, 1, &json);
  return out;
}

}  // namespace weft::protocols::otlp
