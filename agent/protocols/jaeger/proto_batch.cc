// jaeger.api_v2 in protobuf. Field numbers are those of jaeger-idl's proto/api_v2/model.proto and
// collector.proto:
//
//   PostSpansRequest  batch 1             Batch    spans 1, process 2
//   Process  service_name 1, tags 2       KeyValue key 1, v_type 2, v_str 3, v_bool 4, v_int64 5,
//   Log      timestamp 1, fields 2                 v_float64 6, v_binary 7
//   SpanRef  trace_id 1, span_id 2, ref_type 3     (v_type: text, bool, int64, float64, binary)
//   Span     trace_id 1, span_id 2, operation_name 3, references 4, flags 5, start_time 6,
//            duration 7, tags 8, logs 9, process 10, process_id 11, warnings 12
//   google.protobuf.Timestamp and Duration: seconds 1, nanos 2
#include <algorithm>
#include <bit>

#include "protocols/jaeger/compose.h"
#include "protocols/jaeger/span_output.h"
#include "protocols/jaeger/transcode.h"
#include "protocols/otlp/wire.h"

namespace weft::protocols::jaeger {
namespace {

namespace field = otlp::field;
using base::ByteView;
using otlp::BytesTag;
using otlp::Field;
using otlp::VarintTag;

constexpr uint32_t kFloat64Tag = otlp::TagOf(6, otlp::WireType::kFixed64);

// As otlp::ForEachField, with the fields that most are, short texts and messages, read in place.
template <typename Use>
bool EachField(ByteView message, Use&& use) {
  const uint8_t* p = message.data();
  const uint8_t* const end = p + message.size();
  Field f;
  while (p != end) {
    const bool is_short = end - p >= 2 && p[0] >= 8 && (p[0] & 0x87) == 2 && p[1] <= end - p - 2;
    if (is_short && p[1] < 0x80) {
      f.tag = p[0], f.data = p + 2, f.size = p[1];
      p = f.end();
    } else if (!otlp::ReadField(p, end, &f)) {
      return false;
    }
    if (!use(f)) return false;
  }
  return true;
}

uint64_t Big64(const uint8_t* p) {
  uint64_t v = 0;
  for (int i = 0; i < 8; ++i) v = v << 8 | p[i];
  return v;
}
void ReadTraceId(ByteView raw, uint64_t* high, uint64_t* low) {
  *high = *low = 0;
  if (raw.size() == 16) {
    *high = Big64(raw.data()), *low = Big64(raw.data() + 8);
  } else if (raw.size() == 8) {
    *low = Big64(raw.data());
  }
}
uint64_t ReadSpanId(ByteView raw) { return raw.size() == 8 ? Big64(raw.data()) : 0; }

// A Timestamp or Duration, clamped at both ends instead of wrapped.
bool ReadTime(ByteView message, uint64_t* ns) {
  int64_t seconds = 0;
  int32_t nanos = 0;
  const bool ok = EachField(message, [&](const Field& f) {
    if (f.tag == VarintTag(1)) seconds = static_cast<int64_t>(f.number);
    if (f.tag == VarintTag(2)) nanos = static_cast<int32_t>(f.number);
    return true;
  });
  constexpr int64_t kMaxSeconds = static_cast<int64_t>(UINT64_MAX / 1'000'000'000) - 3;
  if (seconds > kMaxSeconds) {
    *ns = UINT64_MAX;
  } else if (seconds < 0) {
    *ns = 0;
  } else {
    const uint64_t whole = static_cast<uint64_t>(seconds) * 1'000'000'000;
    const uint64_t part = static_cast<uint64_t>(nanos < 0 ? -static_cast<int64_t>(nanos) : nanos);
    *ns = nanos >= 0 ? whole + part : whole - std::min(whole, part);
  }
  return ok;
}

bool ReadTag(ByteView message, Tag* tag) {
  // ValueType counts otherwise than the TagType of the thrift form.
  static constexpr TagType kTypes[] = {TagType::kString, TagType::kBool, TagType::kLong,
                                       TagType::kDouble, TagType::kBinary};
  return EachField(message, [&](const Field& f) {
    if (f.tag == BytesTag(1)) tag->key = f.text();
    if (f.tag == VarintTag(2)) {
      tag->type = f.number < std::size(kTypes) ? kTypes[f.number]
                                               : static_cast<TagType>(f.number & INT32_MAX);
    }
    if (f.tag == BytesTag(3)) tag->text = f.text();
    if (f.tag == VarintTag(4)) tag->flag = f.number != 0;
    if (f.tag == VarintTag(5)) tag->number = static_cast<int64_t>(f.number);
    if (f.tag == kFloat64Tag) tag->real = std::bit_cast<double>(f.number);
    if (f.tag == BytesTag(7)) tag->binary = f.text();
    return true;
  });
}

// A short key and a short text and nothing else: what most tags are. Else false.
bool TryTextTag(ByteView message, Tag* tag) {
  const size_t size = message.size();
  if (size < 4 || message[0] != BytesTag(1) || message[1] >= 0x80 || size < 4u + message[1])
    return false;
  const uint8_t* const value = message.data() + 2 + message[1];
  if (value[0] != BytesTag(3) || value[1] >= 0x80 || value[1] + message[1] + 4u != size)
    return false;
  tag->key = {reinterpret_cast<const char*>(message.data() + 2), message[1]};
  tag->text = {reinterpret_cast<const char*>(value + 2), value[1]};
  return true;
}

// Writes as it reads. One per request.
class ProtoWriter {
 public:
  ProtoWriter(ByteView request, base::ByteBuffer& out, size_t limit, DatagramReport& report)
      : end_(request.data() + request.size()), out_(out), limit_(limit), report_(report) {}

  bool expanded() const { return expanded_; }

  // Spans that follow one another with the same process share a ResourceSpans, and within it those
  // of the same scope a ScopeSpans. The process of the batch may stand behind its spans.
  bool Batch(ByteView batch) {
    ByteView common{};
    bool ok = EachField(batch, [&](const Field& f) {
      if (f.tag == BytesTag(2)) common = f.view();
      return true;
    });
    return ok &&
           EachField(
               batch,
               [&](const Field& f) { return f.tag != BytesTag(1) || SpanOf(f.view(), common); }) &&
           (CloseResource(), !expanded_);
  }

 private:
  bool SpanOf(ByteView message, ByteView common) {
    ByteView process = common;
    bool has_references = false;
    SpanFacts span;
    if (!ScanSpan(message, span, process, has_references)) return false;
    if (!resource_open_ || !Same(process, process_)) {
      CloseResource();
      process_ = process;
      resource_ = OpenMessage(out_, field::kResourceSpans, 3);
      resource_open_ = true;
      if (!Process(process)) return false;
    }
    if (!scope_open_ || span.scope_name != scope_name_ || span.scope_version != scope_version_) {
      BeginScope(span);
    }
    ++report_.spans;
    return Span(message, span, has_references);
  }

  static bool Same(ByteView a, ByteView b) {
    return (a.data() == b.data() && a.size() == b.size()) ||
           std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

  void CloseResource() {
    if (scope_open_) scope_.Close(out_);
    if (resource_open_) resource_.Close(out_);
    scope_open_ = resource_open_ = false;
  }

  void BeginScope(const SpanFacts& span) {
    if (scope_open_) scope_.Close(out_);
    scope_ = OpenMessage(out_, field::kScopeSpans, 3);
    scope_open_ = true;
    scope_name_ = span.scope_name, scope_version_ = span.scope_version;
    if (scope_name_.empty() && scope_version_.empty()) return;
    OpenMessage message(out_, field::kScope, 1);
    if (!scope_name_.empty()) PutText(out_, field::kScopeName, scope_name_);
    if (!scope_version_.empty()) PutText(out_, field::kScopeVersion, scope_version_);
    message.Close(out_);
  }

  bool Process(ByteView message) {
    OpenMessage resource(out_, field::kResource, 2);
    attributes_.Start(field::kResourceAttribute);
    std::string_view name, hostname;
    bool has_host_name = false;
    const bool ok = EachField(message, [&](const Field& f) {
      if (f.tag == BytesTag(1)) name = f.text();
      if (f.tag != BytesTag(2)) return true;
      Tag tag;
      if (!ReadTag(f.view(), &tag) || !Room(tag.key.size() + tag.text.size() + tag.binary.size()))
        return false;
      has_host_name |= tag.key == "host.name";
      const bool is_text = tag.type == TagType::kString;
      if (tag.key == "hostname" && is_text) {
        hostname = tag.text;
      } else if (tag.key == "jaeger.version" && is_text) {
        attributes_.Put(out_, "opencensus.exporterversion",
                        Value::Text("Jaeger-" + std::string(tag.text)));
      } else {
        PutTag(out_, attributes_, tag);
      }
      return true;
    });
    if (!ok || !Room(name.size() + hostname.size())) return false;
    if (!hostname.empty()) {
      attributes_.Put(out_, has_host_name ? "hostname" : "host.name", Value::Text(hostname));
    }
    if (!name.empty() && name != kNoServiceName) {
      attributes_.Put(out_, "service.name", Value::Text(name));
    }
    if (resource.HasContent(out_)) {
      resource.Close(out_);
    } else {
      out_.Truncate(resource.begin());
    }
    return true;
  }

  // What decides about the envelopes and the fixed fields: everything but attributes and logs.
  bool ScanSpan(ByteView message, SpanFacts& span, ByteView& process, bool& has_references) {
    return EachField(message, [&](const Field& f) {
      if (f.tag == BytesTag(1)) ReadTraceId(f.view(), &span.trace_high, &span.trace_low);
      if (f.tag == BytesTag(2)) span.span = ReadSpanId(f.view());
      if (f.tag == BytesTag(3)) span.name = f.text();
      if (f.tag == VarintTag(5)) span.flags = static_cast<int32_t>(f.number);
      if (f.tag == BytesTag(6)) return ReadTime(f.view(), &span.start_ns);
      if (f.tag == BytesTag(7)) return ReadTime(f.view(), &span.duration_ns);
      if (f.tag == BytesTag(10)) process = f.view();
      has_references |= f.tag == BytesTag(4);
      if (f.tag != BytesTag(8)) return true;
      Tag tag;
      if (TryTextTag(f.view(), &tag)) {
        if (SpanFacts::MayTake(tag.key)) span.Take(tag);
        return true;
      }
      if (!ReadTag(f.view(), &tag)) return false;
      span.Take(tag);
      return true;
    });
  }

  // Tags are looked at a second time here, because the scope had to be known before.
  bool Span(ByteView message, SpanFacts& span, bool has_references) {
    OpenMessage open(out_, field::kSpan, 2);
    attributes_.Start(field::kAttribute);
    const bool ok = EachField(message, [&](const Field& f) {
      if (f.tag == BytesTag(9)) return Log(f.view());
      if (f.tag != BytesTag(8)) return true;
      Tag tag;
      const bool is_text = TryTextTag(f.view(), &tag);
      if (!is_text && !ReadTag(f.view(), &tag)) return false;
      if (!Room(tag.key.size() + tag.text.size() + tag.binary.size())) return false;
      if (is_text && !SpanFacts::MayTake(tag.key) &&
          static_cast<size_t>(end_ - f.end()) >= Attributes::kReadOver) {
        attributes_.PutShortText(out_, tag.key, tag.text);
      } else if (span.Take(tag) == TagUse::kAttribute) {
        PutTag(out_, attributes_, tag);
      } else {
        attributes_.Remove(out_, tag.key);
      }
      return true;
    });
    if (!ok || (has_references && !References(message, span))) return false;
    const Status status = span.ToStatus();
    if (!Room(ScalarTextBytes(span, status))) return false;
    PutSpanScalars(out_, attributes_, span, status);
    open.Close(out_);
    return true;
  }

  // Like the thrift form; there the parent has a field of its own, here it is a reference only.
  bool References(ByteView message, SpanFacts& span) {
    const auto each = [&](auto visit) {
      return EachField(message, [&](const Field& f) {
        if (f.tag != BytesTag(4)) return true;
        Reference r;
        const bool ok = EachField(f.view(), [&](const Field& g) {
          if (g.tag == BytesTag(1)) ReadTraceId(g.view(), &r.trace_high, &r.trace_low);
          if (g.tag == BytesTag(2)) r.span = ReadSpanId(g.view());
          if (g.tag == VarintTag(3)) r.type = static_cast<int32_t>(g.number);
          return true;
        });
        return ok && visit(r);
      });
    };
    const auto same_trace = [&](const Reference& r) {
      return r.trace_low == span.trace_low && r.trace_high == span.trace_high;
    };
    uint64_t child_of = 0, follows = 0;
    const bool ok = each([&](const Reference& r) {
      uint64_t& first = r.type == kChildOf ? child_of : follows;
      if (first == 0 && same_trace(r)) first = r.span;
      return true;
    });
    span.parent = child_of != 0 ? child_of : follows;
    return ok && each([&](const Reference& r) {
             if (r.type == kChildOf && r.span == span.parent && same_trace(r)) return true;
             if (!Room(0)) return false;
             PutLink(out_, r);
             return true;
           });
  }

  bool Log(ByteView message) {
    OpenMessage event(out_, field::kEvent, 1);
    event_attributes_.Start(field::kEventAttribute);
    uint64_t time_ns = 0;
    std::string_view name;
    const bool ok = EachField(message, [&](const Field& f) {
      if (f.tag == BytesTag(1)) return ReadTime(f.view(), &time_ns);
      if (f.tag != BytesTag(2)) return true;
      Tag tag;
      if (!ReadTag(f.view(), &tag)) return false;
      if (!Room(tag.key.size() + tag.text.size() + tag.binary.size())) return false;
      if (tag.key == "event" && tag.type == TagType::kString) {
        name = tag.text;
      } else {
        PutTag(out_, event_attributes_, tag);
      }
      return true;
    });
    if (!ok || !Room(name.size())) return false;
    uint8_t* const p = out_.Grow(9);
    out_.Commit(static_cast<size_t>(PutLittle64(p, field::kEventTime, time_ns) - p));
    if (!name.empty()) PutText(out_, field::kEventName, name);
    event.Close(out_);
    return true;
  }

  bool Room(size_t bytes) {
    if (out_.size() + bytes + kAround <= limit_) return true;
    expanded_ = true;
    return false;
  }

  const uint8_t* const end_;  // of the request
  base::ByteBuffer& out_;
  const size_t limit_;
  DatagramReport& report_;
  bool expanded_ = false, resource_open_ = false, scope_open_ = false;
  OpenMessage resource_, scope_;
  ByteView process_;  // of the open ResourceSpans
  std::string_view scope_name_, scope_version_;
  Attributes attributes_;  // of the resource, then of each span
  Attributes event_attributes_;
};

}  // namespace

TranscodeStatus TranscodeProto(base::ByteView request, base::ByteBuffer* out,
                               DatagramReport* report) {
  *report = {};
  const size_t begin = out->size();
  ProtoWriter writer(request, *out, begin + kMaxExpansion * request.size() + kFreeBytes, *report);
  const bool ok = EachField(
      request, [&](const Field& f) { return f.tag != BytesTag(1) || writer.Batch(f.view()); });
  if (ok) return TranscodeStatus::kDone;
  out->Truncate(begin);
  *report = {};
  return writer.expanded() ? TranscodeStatus::kTooExpanded : TranscodeStatus::kMalformed;
}

}  // namespace weft::protocols::jaeger
