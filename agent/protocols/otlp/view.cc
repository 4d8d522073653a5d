#include "protocols/otlp/view.h"

#include <cmath>
#include <cstring>

#include "protocols/otlp/index.h"
#include "protocols/otlp/json_write.h"
#include "protocols/otlp/wire.h"

namespace weft::protocols::otlp {
namespace {

using base::ByteView;

double AsDouble(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, 8);
  return value;
}

bool ReadValue(ByteView message, ValueView* out) {
  using Kind = ValueView::Kind;
  return ForEachField(message, [&](const Field& f) {
    auto set = [&](Kind kind) {
      *out = ValueView{};
      out->kind = kind;
    };
    switch (f.tag) {
      case BytesTag(field::kTextValue):
        set(Kind::kText), out->text = f.text();
        break;
      case VarintTag(field::kBoolValue):
        set(Kind::kBool), out->number = f.number != 0;
        break;
      case VarintTag(field::kIntValue):
        set(Kind::kInt), out->number = static_cast<int64_t>(f.number);
        break;
      case TagOf(field::kDoubleValue, WireType::kFixed64):
        set(Kind::kDouble), out->real = AsDouble(f.number);
        break;
      case BytesTag(field::kArrayValue):
        set(Kind::kArray), out->text = f.text();
        break;
      case BytesTag(field::kMapValue):
        set(Kind::kMap), out->text = f.text();
        break;
      case BytesTag(field::kBytesValue):
        set(Kind::kBytes), out->text = f.text();
        break;
      default:
        break;
    }
    return true;
  });
}

bool ReadAttribute(ByteView message, AttributeViews* out) {
  AttributeView& attribute = out->emplace_back();
  return ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(field::kKey)) attribute.key = f.text();
    if (f.tag == BytesTag(field::kValue)) return ReadValue(f.view(), &attribute.value);
    return true;
  });
}

bool ReadEvent(ByteView message, EventView* out) {
  return ForEachField(message, [&](const Field& f) {
    switch (f.tag) {
      case TagOf(field::kEventTime, WireType::kFixed64):
        out->time_ns = f.number;
        return true;
      case BytesTag(field::kEventName):
        out->name = f.text();
        return true;
      case BytesTag(field::kEventAttribute):
        return ReadAttribute(f.view(), &out->attributes);
      case VarintTag(field::kEventDropped):
        out->dropped_attributes = static_cast<uint32_t>(f.number);
        return true;
      default:
        return true;
    }
  });
}

bool ReadLink(ByteView message, LinkView* out) {
  return ForEachField(message, [&](const Field& f) {
    switch (f.tag) {
      case BytesTag(field::kLinkTraceId):
        out->trace_id = base::TraceId::FromBytes(f.view());
        return true;
      case BytesTag(field::kLinkSpanId):
        out->span_id = base::SpanId::FromBytes(f.view());
        return true;
      case BytesTag(field::kLinkTraceState):
        out->trace_state = f.text();
        return true;
      case BytesTag(field::kLinkAttribute):
        return ReadAttribute(f.view(), &out->attributes);
      case VarintTag(field::kLinkDropped):
        out->dropped_attributes = static_cast<uint32_t>(f.number);
        return true;
      case TagOf(field::kLinkFlags, WireType::kFixed32):
        out->flags = static_cast<uint32_t>(f.number);
        return true;
      default:
        return true;
    }
  });
}

bool ReadStatus(ByteView message, SpanView* out) {
  return ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(field::kStatusMessage)) out->status_message = f.text();
    if (f.tag == VarintTag(field::kStatusCode)) out->status_code = static_cast<int>(f.number);
    return true;
  });
}

// The fields of a span that are no messages.
void ReadScalar(const Field& f, SpanView* out) {
  switch (f.tag) {
    case BytesTag(field::kTraceId):
      out->trace_id = base::TraceId::FromBytes(f.view());
      break;
    case BytesTag(field::kSpanId):
      out->span_id = base::SpanId::FromBytes(f.view());
      break;
    case BytesTag(field::kParentSpanId):
      out->parent_id = base::SpanId::FromBytes(f.view());
      break;
    case BytesTag(field::kTraceState):
      out->trace_state = f.text();
      break;
    case BytesTag(field::kName):
      out->name = f.text();
      break;
    case VarintTag(field::kKind):
      out->kind = static_cast<int>(f.number);
      break;
    case TagOf(field::kStart, WireType::kFixed64):
      out->start_ns = f.number;
      break;
    case TagOf(field::kEnd, WireType::kFixed64):
      out->end_ns = f.number;
      break;
    case TagOf(field::kFlags, WireType::kFixed32):
      out->flags = static_cast<uint32_t>(f.number);
      break;
    case VarintTag(field::kDroppedAttributes):
      out->dropped_attributes = static_cast<uint32_t>(f.number);
      break;
    case VarintTag(field::kDroppedEvents):
      out->dropped_events = static_cast<uint32_t>(f.number);
      break;
    case VarintTag(field::kDroppedLinks):
      out->dropped_links = static_cast<uint32_t>(f.number);
      break;
    default:
      break;
  }
}

bool ReadSpan(ByteView message, SpanView* out) {
  return ForEachField(message, [&](const Field& f) {
    switch (f.tag) {
      case BytesTag(field::kAttribute):
        return ReadAttribute(f.view(), &out->attributes);
      case BytesTag(field::kEvent):
        return ReadEvent(f.view(), &out->events.emplace_back());
      case BytesTag(field::kLink):
        return ReadLink(f.view(), &out->links.emplace_back());
      case BytesTag(field::kStatus):
        return ReadStatus(f.view(), out);
      default:
        ReadScalar(f, out);
        return true;
    }
  });
}

bool ReadScope(ByteView message, ScopeSpansView* out) {
  return ForEachField(message, [&](const Field& f) {
    switch (f.tag) {
      case BytesTag(field::kScopeName):
        out->name = f.text();
        return true;
      case BytesTag(field::kScopeVersion):
        out->version = f.text();
        return true;
      case BytesTag(field::kScopeAttribute):
        return ReadAttribute(f.view(), &out->attributes);
      case VarintTag(field::kScopeDropped):
        out->dropped_attributes = static_cast<uint32_t>(f.number);
        return true;
      default:
        return true;
    }
  });
}

bool ReadScopeSpans(ByteView message, ScopeSpansView* out) {
  return ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(field::kScope)) return ReadScope(f.view(), out);
    if (f.tag == BytesTag(field::kSpan)) return ReadSpan(f.view(), &out->spans.emplace_back());
    if (f.tag == BytesTag(field::kSchemaUrl)) out->schema_url = f.text();
    return true;
  });
}

bool ReadResource(ByteView message, ResourceSpansView* out) {
  return ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(field::kResourceAttribute)) {
      return ReadAttribute(f.view(), &out->attributes);
    }
    if (f.tag == VarintTag(field::kResourceDropped)) {
      out->dropped_attributes = static_cast<uint32_t>(f.number);
    }
    return true;
  });
}

bool ReadResourceSpans(ByteView message, ResourceSpansView* out) {
  return ForEachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(field::kResource)) return ReadResource(f.view(), out);
    if (f.tag == BytesTag(field::kScopeSpans)) {
      return ReadScopeSpans(f.view(), &out->scopes.emplace_back());
    }
    if (f.tag == BytesTag(field::kSchemaUrl)) out->schema_url = f.text();
    return true;
  });
}

const ValueView* FindKey(const AttributeViews& attributes, std::string_view key) {
  for (const AttributeView& attribute : attributes) {
    if (attribute.key == key) return &attribute.value;
  }
  return nullptr;
}

}  // namespace

const ValueView* SpanView::Find(std::string_view key) const { return FindKey(attributes, key); }

const ValueView* ResourceSpansView::Find(std::string_view key) const {
  return FindKey(attributes, key);
}

std::string ResourceSpansView::ServiceName() const {
  const ValueView* name = Find("service.name");
  std::string text = name != nullptr ? name->ToText() : std::string();
  return text.empty() ? "unknown_service" : text;
}

bool Decode(ByteView request, std::vector<ResourceSpansView>* out) {
  return ForEachField(request, [&](const Field& f) {
    if (f.tag != BytesTag(field::kResourceSpans)) return true;
    return ReadResourceSpans(f.view(), &out->emplace_back());
  });
}

AttributeViews Items(const ValueView& value) {
  AttributeViews items;
  bool map = value.kind == ValueView::Kind::kMap;
  if (!map && value.kind != ValueView::Kind::kArray) return items;
  ForEachField(base::AsBytes(value.text), [&](const Field& f) {
    if (f.tag != BytesTag(field::kItem)) return true;
    if (map) return ReadAttribute(f.view(), &items);
    return ReadValue(f.view(), &items.emplace_back().value);
  });
  return items;
}

}  // namespace weft::protocols::otlp
