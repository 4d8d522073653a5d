#include "protocols/otlp/index.h"

#include <cstring>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/coding/utf8.h"
#include "protocols/otlp/wire.h"

namespace weft::protocols::otlp {
namespace {

using base::ByteBuffer;
using base::ByteView;

// Where the children of an envelope lie among its other fields.
struct Layout {
  const uint8_t* begin;
  const uint8_t* first_child = nullptr;
  const uint8_t* children_end = nullptr;
  bool other_behind = false;  // a field that is no child was seen behind a child
  bool interleaved = false;

  void Child(const uint8_t* from, const uint8_t* to) {
    if (first_child == nullptr) first_child = from;
    interleaved |= other_behind;
    children_end = to;
  }
  void Other() { other_behind = first_child != nullptr; }
};

// Bit i says whether byte i of 32 is not ASCII.
inline uint64_t HighBits32(const uint8_t* p) {
#ifdef __SSE2__
  auto mask = [](const uint8_t* q) {
    return static_cast<uint32_t>(
        _mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q))));
  };
  return mask(p) | uint64_t{mask(p + 16)} << 16;
#else
  uint64_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    uint64_t word;
    std::memcpy(&word, p + 8 * i, 8);
    bits |= (((word & 0x8080808080808080ull) >> 7) * 0x0102040810204080ull >> 56) << (8 * i);
  }
  return bits;
#endif
}

class Indexer {
 public:
  Indexer(ByteView bytes, model::OtlpBatch* out) : bytes_(bytes), out_(out) {}

  bool Request();
  IndexReport report;
  ByteBuffer repaired;  // the whole request with its strings repaired; empty if nothing was wrong

 private:
  bool Bad(const char* reason) {
    if (report.status == IndexStatus::kDone) {
      report.status = IndexStatus::kBad;
      report.reason = reason;
    }
    return false;
  }
  bool Malformed() { return Bad("not a valid ExportTraceServiceRequest"); }

  bool ResourceSpans(const uint8_t* p, const uint8_t* end);
  bool ScopeSpans(const uint8_t* p, const uint8_t* end);
  bool Span(const uint8_t* p, const uint8_t* end);
  bool Resource(const uint8_t* p, const uint8_t* end);
  bool Entity(const uint8_t* p, const uint8_t* end);
  bool Scope(const uint8_t* p, const uint8_t* end);
  bool Event(const uint8_t* p, const uint8_t* end);
  bool Link(const uint8_t* p, const uint8_t* end);
  bool SpanStatus(const uint8_t* p, const uint8_t* end);
  bool KeyValue(const uint8_t* p, const uint8_t* end, int depth);
  bool KeyValueFields(const uint8_t* p, const uint8_t* end, int depth);
  bool Value(const uint8_t* p, const uint8_t* end, int depth);
  bool ValueFields(const uint8_t* p, const uint8_t* end, int depth);

  void Text(const uint8_t* data, size_t size) {
    // Most strings are short: one load without a loop, reading over the string's end but not over
    // the request's.
    if (size <= 32 && bytes_.data() + bytes_.size() - data >= 32) [[likely]] {
      if ((HighBits32(data) & ((uint64_t{1} << size) - 1)) == 0) [[likely]]
        return;
    }
    if (!base::IsUtf8({reinterpret_cast<const char*>(data), size})) [[unlikely]]
      Repair(data, size);
  }
  void Repair(const uint8_t* data, size_t size);
  void SetSlices(const Layout& layout, const uint8_t* end, model::Slice* head, model::Slice* tail);
  uint32_t Offset(const uint8_t* p) const { return static_cast<uint32_t>(p - bytes_.data()); }

  const ByteView bytes_;
  model::OtlpBatch* const out_;
};

void Indexer::Repair(const uint8_t* data, size_t size) {
  if (repaired.empty()) repaired.Append(bytes_);
  base::RepairUtf8(reinterpret_cast<char*>(repaired.data() + (data - bytes_.data())), size);
  ++report.bad_utf8;
}

// The children of both kinds of envelope are their field 2.
void Indexer::SetSlices(const Layout& layout, const uint8_t* end, model::Slice* head,
                        model::Slice* tail) {
  auto slice = [&](const uint8_t* from, const uint8_t* to) {
    return model::Slice{Offset(from), static_cast<uint32_t>(to - from)};
  };
  if (!layout.interleaved) {
    *head = slice(layout.begin, layout.first_child);
    *tail = slice(layout.children_end, end);
    return;
  }
  const uint8_t* content = repaired.empty() ? bytes_.data() : repaired.data();
  size_t start = out_->extra.size();
  Field f;
  for (const uint8_t* p = layout.begin; p != end;) {
    const uint8_t* from = p;
    if (!ReadField(p, end, &f)) break;  // cannot happen: it was read once already
    if (f.tag == BytesTag(2)) continue;
    out_->extra.append(reinterpret_cast<const char*>(content + Offset(from)),
                       static_cast<size_t>(p - from));
  }
  *head = {static_cast<uint32_t>(start) | model::kExtra,
           static_cast<uint32_t>(out_->extra.size() - start)};
  *tail = {Offset(end), 0};
}

bool Indexer::Request() {
  const uint8_t* p = bytes_.data();
  const uint8_t* end = p + bytes_.size();
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kResourceSpans) && !ResourceSpans(f.data, f.end())) return false;
  }
  return true;
}

bool Indexer::ResourceSpans(const uint8_t* p, const uint8_t* end) {
  Layout layout{p};
  auto first_scope = static_cast<uint32_t>(out_->scopes.size());
  Field f;
  while (p != end) {
    const uint8_t* from = p;
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kScopeSpans)) {
      if (!ScopeSpans(f.data, f.end())) return false;
      layout.Child(from, p);
      continue;
    }
    layout.Other();
    if (f.tag == BytesTag(field::kResource)) {
      if (!Resource(f.data, f.end())) return false;
    } else if (f.tag == BytesTag(field::kSchemaUrl)) {
      Text(f.data, f.size);
    }
  }
  auto count = static_cast<uint32_t>(out_->scopes.size()) - first_scope;
  if (count == 0)
    return true;  // nothing to say about: also keeps memory in proportion to the input
  model::ResourceGroup& group = out_->resources.emplace_back();
  group.first_scope = first_scope;
  group.scope_count = count;
  SetSlices(layout, end, &group.head, &group.tail);
  return true;
}

bool Indexer::ScopeSpans(const uint8_t* p, const uint8_t* end) {
  Layout layout{p};
  auto first_span = static_cast<uint32_t>(out_->spans.size());
  Field f;
  while (p != end) {
    const uint8_t* from = p;
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kSpan)) {
      if (!Span(f.data, f.end())) return false;
      layout.Child(from, p);
      continue;
    }
    layout.Other();
    if (f.tag == BytesTag(field::kScope)) {
      if (!Scope(f.data, f.end())) return false;
    } else if (f.tag == BytesTag(field::kSchemaUrl)) {
      Text(f.data, f.size);
    }
  }
  auto count = static_cast<uint32_t>(out_->spans.size()) - first_span;
  if (count == 0) return true;
  model::ScopeGroup& group = out_->scopes.emplace_back();
  group.first_span = first_span;
  group.span_count = count;
  SetSlices(layout, end, &group.head, &group.tail);
  return true;
}

bool Indexer::Span(const uint8_t* p, const uint8_t* end) {
  if (++report.spans > kMaxSpans) {
    report.status = IndexStatus::kTooManySpans;
    report.reason = "too many spans in one request";
    return false;
  }
  model::SpanRef ref;
  ref.body = {Offset(p), static_cast<uint32_t>(end - p)};
  Field f;
  while (p != end) {
    // Attributes are most of a span: taken before the general way of reading a field.
    if (end - p >= 2 && p[0] == BytesTag(field::kAttribute) && p[1] < 0x80 && p[1] <= end - p - 2) {
      const uint8_t* pair = p + 2;
      p = pair + p[1];
      if (!KeyValue(pair, p, 1)) return false;
      continue;
    }
    if (!ReadField(p, end, &f)) return Malformed();
    switch (f.tag) {
      case BytesTag(field::kAttribute):
        if (!KeyValue(f.data, f.end(), 1)) return false;
        break;
      case BytesTag(field::kTraceId):
        ref.trace_id = base::TraceId::FromBytes(f.view());
        break;
      case BytesTag(field::kSpanId):
        ref.span_id = base::SpanId::FromBytes(f.view());
        break;
      case BytesTag(field::kParentSpanId):
        ref.parent_id = base::SpanId::FromBytes(f.view());
        break;
      case BytesTag(field::kTraceState):
      case BytesTag(field::kName):
        Text(f.data, f.size);
        break;
      case VarintTag(field::kKind):
        ref.kind =
            f.number <= 5 ? static_cast<model::SpanKind>(f.number) : model::SpanKind::kUnspecified;
        break;
      case TagOf(field::kStart, WireType::kFixed64):
        ref.start_ns = f.number;
        break;
      case TagOf(field::kEnd, WireType::kFixed64):
        ref.end_ns = f.number;
        break;
      case TagOf(field::kFlags, WireType::kFixed32):
        ref.flags = static_cast<uint32_t>(f.number);
        break;
      case BytesTag(field::kEvent):
        if (!Event(f.data, f.end())) return false;
        break;
      case BytesTag(field::kLink):
        if (!Link(f.data, f.end())) return false;
        break;
      case BytesTag(field::kStatus):
        if (!SpanStatus(f.data, f.end())) return false;
        break;
      default:
        break;
    }
  }
  if (ref.trace_id.IsZero() || ref.span_id.IsZero()) {
    ++report.zero_ids;
    out_->edited = true;
    return true;
  }
  out_->spans.push_back(ref);
  return true;
}

bool Indexer::Resource(const uint8_t* p, const uint8_t* end) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kResourceAttribute) && !KeyValue(f.data, f.end(), 1)) return false;
    if (f.tag == BytesTag(field::kEntityRef) && !Entity(f.data, f.end())) return false;
  }
  return true;
}

// schema_url, type, id_keys and description_keys: all strings.
bool Indexer::Entity(const uint8_t* p, const uint8_t* end) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag >= BytesTag(1) && f.tag <= BytesTag(4) && (f.tag & 7) == 2) Text(f.data, f.size);
  }
  return true;
}

bool Indexer::Scope(const uint8_t* p, const uint8_t* end) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kScopeName) || f.tag == BytesTag(field::kScopeVersion)) {
      Text(f.data, f.size);
    } else if (f.tag == BytesTag(field::kScopeAttribute)) {
      if (!KeyValue(f.data, f.end(), 1)) return false;
    }
  }
  return true;
}

bool Indexer::Event(const uint8_t* p, const uint8_t* end) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kEventName)) {
      Text(f.data, f.size);
    } else if (f.tag == BytesTag(field::kEventAttribute)) {
      if (!KeyValue(f.data, f.end(), 1)) return false;
    }
  }
  return true;
}

bool Indexer::Link(const uint8_t* p, const uint8_t* end) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kLinkTraceState)) {
      Text(f.data, f.size);
    } else if (f.tag == BytesTag(field::kLinkAttribute)) {
      if (!KeyValue(f.data, f.end(), 1)) return false;
    }
  }
  return true;
}

bool Indexer::SpanStatus(const uint8_t* p, const uint8_t* end) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kStatusMessage)) Text(f.data, f.size);
  }
  return true;
}

// Nearly every attribute is a short key and then one value: looked at in place. Everything else
// goes through the fields.
inline bool Indexer::KeyValue(const uint8_t* p, const uint8_t* end, int depth) {
  auto size = static_cast<size_t>(end - p);
  if (size >= 4 && p[0] == BytesTag(field::kKey) && p[1] < 0x80 && size >= size_t{p[1]} + 4u) {
    const uint8_t* value = p + 2 + p[1];
    if (value[0] == BytesTag(field::kValue) && value[1] < 0x80 &&
        value[1] == static_cast<size_t>(end - value) - 2) {
      Text(p + 2, p[1]);
      return Value(value + 2, end, depth);
    }
  }
  return KeyValueFields(p, end, depth);
}

bool Indexer::KeyValueFields(const uint8_t* p, const uint8_t* end, int depth) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kKey)) {
      Text(f.data, f.size);
    } else if (f.tag == BytesTag(field::kValue)) {
      if (!Value(f.data, f.end(), depth)) return false;
    }
  }
  return true;
}

inline bool Indexer::Value(const uint8_t* p, const uint8_t* end, int depth) {
  auto size = static_cast<size_t>(end - p);
  if (size >= 2 && p[0] == BytesTag(field::kTextValue) && p[1] < 0x80 && p[1] == size - 2) {
    Text(p + 2, p[1]);
    return true;
  }
  // A bool, or an int of one or two bytes.
  if (size == 2 && (p[0] == VarintTag(field::kBoolValue) || p[0] == VarintTag(field::kIntValue)) &&
      p[1] < 0x80) {
    return true;
  }
  if (size == 3 && p[0] == VarintTag(field::kIntValue) && p[1] >= 0x80 && p[2] < 0x80) return true;
  return ValueFields(p, end, depth);
}

// Recursion is bounded by kMaxDepth (case F27).
bool Indexer::ValueFields(const uint8_t* p, const uint8_t* end, int depth) {
  Field f;
  while (p != end) {
    if (!ReadField(p, end, &f)) return Malformed();
    if (f.tag == BytesTag(field::kTextValue)) {
      Text(f.data, f.size);
    } else if (f.tag == BytesTag(field::kArrayValue) || f.tag == BytesTag(field::kMapValue)) {
      if (depth >= kMaxDepth) return Bad("attribute value nested too deeply");
      bool map = f.tag == BytesTag(field::kMapValue);
      const uint8_t* item = f.data;
      Field child;
      while (item != f.end()) {
        if (!ReadField(item, f.end(), &child)) return Malformed();
        if (child.tag != BytesTag(field::kItem)) continue;
        if (!(map ? KeyValue(child.data, child.end(), depth + 1)
                  : Value(child.data, child.end(), depth + 1))) {
          return false;
        }
      }
    }
  }
  return true;
}

void Clear(model::OtlpBatch* out) {
  out->bytes.reset();
  out->resources.clear();
  out->scopes.clear();
  out->spans.clear();
  out->appends.clear();
  out->extra.clear();
  out->edited = false;
}

}  // namespace

IndexReport Index(base::SharedBytes bytes, model::OtlpBatch* out) {
  Clear(out);
  ByteView view = bytes ? bytes->view() : ByteView{};
  Indexer indexer(view, out);
  if (view.size() > kMaxRequestBytes) {
    indexer.report.status = IndexStatus::kBad;
    indexer.report.reason = "request above 64 MiB";
  } else {
    indexer.Request();
  }
  if (indexer.report.status != IndexStatus::kDone) {
    Clear(out);
  } else if (!indexer.repaired.empty()) {
    out->bytes = base::Share(std::move(indexer.repaired));
  } else {
    out->bytes = std::move(bytes);
  }
  return indexer.report;
}

bool ReadLongVarint(const uint8_t*& p, const uint8_t* end, int max_bytes, uint64_t* value) {
  uint64_t v = 0;
  for (int i = 0; i < max_bytes && p != end; ++i) {
    uint8_t byte = *p++;
    v |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) {
      *value = v;
      return true;
    }
  }
  return false;
}

}  // namespace weft::protocols::otlp
