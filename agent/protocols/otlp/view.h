// Decoding for the cold path (console, store, JSON): the spans of a request as structs of views
// into its bytes. Never used on the way of a span through the agent. Reads everything that Index
// accepts; repeated embedded messages are merged and the last scalar wins, as protobuf has it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace weft::protocols::otlp {

// An AnyValue.
struct ValueView {
  enum class Kind : uint8_t { kEmpty, kText, kBool, kInt, kDouble, kArray, kMap, kBytes };
  Kind kind = Kind::kEmpty;
  std::string_view
      text;  // kText, kBytes: the content; kArray, kMap: the encoded ArrayValue/KeyValueList
  int64_t number = 0;  // kInt; kBool: 0 or 1
  double real = 0;     // kDouble

  // Text as it is, numbers in decimal, "true"/"false", bytes in base64, arrays and maps as JSON.
  std::string ToText() const;
};

struct AttributeView {
  std::string_view key;
  ValueView value;

  std::string ToText() const { return value.ToText(); }
};
using AttributeViews = std::vector<AttributeView>;

struct EventView {
  uint64_t time_ns = 0;
  std::string_view name;
  AttributeViews attributes;
  uint32_t dropped_attributes = 0;
};

struct LinkView {
  base::TraceId trace_id;
  base::SpanId span_id;
  std::string_view trace_state;
  AttributeViews attributes;
  uint32_t dropped_attributes = 0;
  uint32_t flags = 0;
};

struct SpanView {
  base::TraceId trace_id;
  base::SpanId span_id, parent_id;
  std::string_view trace_state, name;
  int kind = 0;  // OTLP SpanKind, perhaps one that is not known here
  uint64_t start_ns = 0, end_ns = 0;
  uint32_t flags = 0;
  AttributeViews attributes;
  std::vector<EventView> events;
  std::vector<LinkView> links;
  uint32_t dropped_attributes = 0, dropped_events = 0, dropped_links = 0;
  int status_code = 0;  // 0 unset, 1 ok, 2 error
  std::string_view status_message;

  // The first attribute of this key; null if there is none.
  const ValueView* Find(std::string_view key) const;
};

struct ScopeSpansView {
  std::string_view name, version, schema_url;
  AttributeViews attributes;
  uint32_t dropped_attributes = 0;
  std::vector<SpanView> spans;
};

struct ResourceSpansView {
  AttributeViews attributes;
  uint32_t dropped_attributes = 0;
  std::string_view schema_url;
  std::vector<ScopeSpansView> scopes;

  const ValueView* Find(std::string_view key) const;
  // The text of service.name, or "unknown_service".
  std::string ServiceName() const;
};

// Appends the request's ResourceSpans to `out`; the views live as long as `request`.
// Fails: false for bytes that Index would refuse; what was read before is in `out`.
[[nodiscard]] bool Decode(base::ByteView request, std::vector<ResourceSpansView>* out);

// The items of an array or map value, one level. Items of arrays have no key.
AttributeViews Items(const ValueView& value);

}  // namespace weft::protocols::otlp
