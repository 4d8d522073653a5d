#include "protocols/jaeger/transcode.h"

#include <algorithm>

#include "protocols/jaeger/compose.h"
#include "protocols/jaeger/span_facts.h"
#include "protocols/jaeger/span_output.h"
#include "protocols/otlp/write.h"
#include "protocols/thrift/binary_reader.h"
#include "protocols/thrift/compact_reader.h"
#include "protocols/thrift/skip.h"

namespace weft::protocols::jaeger {
namespace {

namespace field = otlp::field;
using thrift::Field;
using thrift::Type;

// Which fields of a struct were there, for the ones that the IDL calls required.
class Seen {
 public:
  void Add(int16_t id) {
    if (id > 0 && id < 32) bits_ |= 1u << id;
  }
  bool All(uint32_t bits) const { return (bits_ & bits) == bits; }

 private:
  uint32_t bits_ = 0;
};
constexpr uint32_t Ids(auto... ids) { return ((1u << ids) | ...); }

// What is shorter than this usually makes less than 16 KiB, a length of two bytes.
constexpr size_t kShortInput = 14 << 10;

// Reads one emitBatch call and writes as it reads. One per datagram.
template <typename Reader>
class BatchWriter {
 public:
  BatchWriter(Reader& reader, base::ByteBuffer& out, size_t limit, DatagramReport& report)
      : reader_(reader),
        out_(out),
        limit_(limit),
        report_(report),
        envelope_room_(reader.left() < kShortInput ? 2 : 3) {}

  // The arguments of emitBatch: a struct whose field 1 is the Batch.
  bool Arguments() {
    bool found = false;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.id == 1 && f.type == Type::kStruct && !found) {
        found = true;
        Batch();
      } else {
        thrift::SkipField(reader_, f);
      }
    }
    return found && reader_.ok() && !expanded_;
  }
  // A Batch with no call around it.
  bool Bare() {
    Batch();
    return reader_.ok() && !expanded_;
  }
  bool expanded() const { return expanded_; }

 private:
  void Batch() {
    OpenMessage envelope(out_, field::kResourceSpans, envelope_room_);
    Seen seen;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.id == 1 && f.type == Type::kStruct && !seen.All(Ids(1))) {
        Process();
      } else if (f.id == 2 && f.type == Type::kList && !seen.All(Ids(2))) {
        Spans();
      } else if (f.id == 3 && f.type == Type::kI64) {
        report_.client.sequence = reader_.I64();
      } else if (f.id == 4 && f.type == Type::kStruct) {
        Client();
      } else {
        thrift::SkipField(reader_, f);
        continue;
      }
      seen.Add(f.id);
    }
    if (!seen.All(Ids(1, 2))) reader_.Fail();
    if (!reader_.ok()) return;
    if (report_.spans == 0) {
      out_.Truncate(envelope.begin());
    } else {
      envelope.Close(out_);
    }
  }

  void Client() {
    report_.client.present = true;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      int64_t* const target = f.type != Type::kI64 ? nullptr
                              : f.id == 1          ? &report_.client.full_queue
                              : f.id == 2          ? &report_.client.too_large
                              : f.id == 3          ? &report_.client.send_failed
                                                   : nullptr;
      if (target != nullptr) {
        *target = reader_.I64();
      } else {
        thrift::SkipField(reader_, f);
      }
    }
  }

  void Process() {
    OpenMessage resource(out_, field::kResource, 2);
    attributes_.Start(field::kResourceAttribute);
    std::string_view name, hostname;
    bool has_host_name = false;
    Seen seen;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.id == 1 && f.type == Type::kBinary) {
        name = reader_.Binary();
      } else if (f.id == 2 && f.type == Type::kList) {
        EachTag([&](const Tag& tag) {
          has_host_name |= tag.key == "host.name";
          if (tag.key == "hostname" && tag.type == TagType::kString) {
            hostname = tag.text;
          } else {
            ProcessTag(tag);
          }
        });
      } else {
        thrift::SkipField(reader_, f);
        continue;
      }
      seen.Add(f.id);
    }
    if (!seen.All(Ids(1)) || !Room(name.size() + hostname.size())) reader_.Fail();
    if (!reader_.ok()) return;
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
  }

  void ProcessTag(const Tag& tag) {
    if (tag.key == "client-uuid") report_.client.client_uuid = tag.text;
    if (tag.key != "jaeger.version" || tag.type != TagType::kString)
      return PutTag(out_, attributes_, tag);
    std::string version = "Jaeger-";
    version += tag.text;
    attributes_.Put(out_, "opencensus.exporterversion", Value::Text(version));
  }

  // All spans stand in ScopeSpans, a new one whenever the scope is another than that of the span
  // before.
  void Spans() {
    const thrift::ListHead list = reader_.List();
    if (list.element != Type::kStruct && list.count > 0) reader_.Fail();
    OpenMessage scope;
    std::string_view name, version;  // of the open scope
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) {
      if (i == 0) scope = OpenMessage(out_, field::kScopeSpans, envelope_room_);
      const size_t begin = out_.size();
      SpanFacts span;
      Span(span);
      ++report_.spans;
      if (span.scope_name != name || span.scope_version != version) {
        name = span.scope_name, version = span.scope_version;
        BeginScope(scope, begin, i == 0, name, version);
      }
    }
    if (list.count > 0 && reader_.ok()) scope.Close(out_);
  }

  // Makes the span that begins at `begin` and ends the buffer the first of a new ScopeSpans, or of
  // `scope` itself as long as nothing else is in there.
  void BeginScope(OpenMessage& scope, size_t begin, bool reuse, std::string_view name,
                  std::string_view version) {
    if (!reuse) begin += static_cast<size_t>(scope.CloseAt(out_, begin));
    const size_t span_end = out_.size();
    OpenMessage next = scope;
    if (!reuse) next = OpenMessage(out_, field::kScopeSpans, envelope_room_);
    if (!name.empty() || !version.empty()) {
      OpenMessage message(out_, field::kScope, 1);
      if (!name.empty()) PutText(out_, field::kScopeName, name);
      if (!version.empty()) PutText(out_, field::kScopeVersion, version);
      message.Close(out_);
    }
    std::rotate(out_.data() + begin, out_.data() + span_end, out_.data() + out_.size());
    scope = reuse ? scope : next.MovedBack(span_end - begin);
  }

  void Span(SpanFacts& span) {
    OpenMessage message(out_, field::kSpan, 2);
    attributes_.Start(field::kAttribute);
    Seen seen;
    Reader references(base::ByteView{});
    Field f{.type = Type::kStop, .flag = false, .id = UsualSpanFields(span, seen)};
    while ((f = reader_.NextField(f.id)).type != Type::kStop) {
      if (f.type == Type::kI64) {
        if (!SpanNumber(f.id, span)) {
          reader_.I64();
          continue;
        }
      } else if (f.id == 5 && f.type == Type::kBinary) {
        span.name = reader_.Binary();
      } else if (f.id == 7 && f.type == Type::kI32) {
        span.flags = reader_.I32();
      } else if (f.id == 6 && f.type == Type::kList) {
        references = reader_;  // read again when the parent is known
        thrift::SkipField(reader_, f);
      } else if (f.id == 10 && f.type == Type::kList) {
        SpanTags(span);
      } else if (f.id == 11 && f.type == Type::kList) {
        Logs();
      } else {
        thrift::SkipField(reader_, f);
        continue;
      }
      seen.Add(f.id);
    }
    if (!seen.All(Ids(1, 2, 3, 4, 5, 7, 8, 9))) reader_.Fail();
    if (!reader_.ok()) return;
    if (references.left() > 0) References(references, span);
    SpanScalars(span);
    message.Close(out_);
  }

  // The numbers and the name, as far as they come in the order in which every writer puts them.
  // Returns the id of the last one read.
  int16_t UsualSpanFields(SpanFacts& span, Seen& seen) {
    Reader r({reader_.position(), reader_.left()});
    const int16_t last = ReadUsualSpanFields(r, span, seen);
    reader_.MoveTo(r);
    return last;
  }
  static int16_t ReadUsualSpanFields(Reader& r, SpanFacts& span, Seen& seen) {
    uint64_t* const ids[] = {&span.trace_low, &span.trace_high, &span.span, &span.parent};
    for (int16_t id = 1; id <= 4; ++id) {
      if (!r.TryField(id - 1, id, Type::kI64)) return id - 1;
      *ids[id - 1] = static_cast<uint64_t>(r.I64());
      seen.Add(id);
    }
    if (!r.TryField(4, 5, Type::kBinary)) return 4;
    span.name = r.Binary();
    seen.Add(5);
    if (!r.TryField(5, 7, Type::kI32)) return 5;
    span.flags = r.I32();
    seen.Add(7);
    if (!r.TryField(7, 8, Type::kI64)) return 7;
    span.start_ns = Nanoseconds(r.I64());
    seen.Add(8);
    if (!r.TryField(8, 9, Type::kI64)) return 8;
    span.duration_ns = Nanoseconds(r.I64());
    seen.Add(9);
    return 9;
  }

  void SpanTags(SpanFacts& span) {
    const thrift::ListHead list = reader_.List();
    if (list.element != Type::kStruct && list.count > 0) reader_.Fail();
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) {
      Tag tag;
      const bool is_text = reader_.TryTextTag(&tag.key, &tag.text);
      if (!is_text && !ReadTag(tag)) return;
      if (!Room(tag.key.size() + tag.text.size() + tag.binary.size())) return;
      if (is_text && !SpanFacts::MayTake(tag.key) && reader_.left() >= Attributes::kReadOver) {
        attributes_.PutShortText(out_, tag.key, tag.text);
      } else if (span.Take(tag) == TagUse::kAttribute) {
        PutTag(out_, attributes_, tag);
      } else {
        attributes_.Remove(out_, tag.key);
      }
    }
  }

  bool SpanNumber(int16_t id, SpanFacts& span) {
    switch (id) {
      case 1:
        span.trace_low = static_cast<uint64_t>(reader_.I64());
        return true;
      case 2:
        span.trace_high = static_cast<uint64_t>(reader_.I64());
        return true;
      case 3:
        span.span = static_cast<uint64_t>(reader_.I64());
        return true;
      case 4:
        span.parent = static_cast<uint64_t>(reader_.I64());
        return true;
      case 8:
        span.start_ns = Nanoseconds(reader_.I64());
        return true;
      case 9:
        span.duration_ns = Nanoseconds(reader_.I64());
        return true;
      default:
        return false;
    }
  }

  void SpanScalars(const SpanFacts& span) {
    const Status status = span.ToStatus();
    if (Room(ScalarTextBytes(span, status))) PutSpanScalars(out_, attributes_, span, status);
  }

  // The parent is the parent id, else the first CHILD_OF and then the first FOLLOWS_FROM of the
  // same trace. Every reference but the CHILD_OF to the parent becomes a link. `at` stands before
  // the list, which has been skipped once and is therefore sound.
  void References(Reader at, SpanFacts& span) {
    const auto same_trace = [&](const Reference& r) {
      return r.trace_low == span.trace_low && r.trace_high == span.trace_high;
    };
    if (span.parent == 0) {
      uint64_t child_of = 0, follows = 0;
      EachReference(at, [&](const Reference& r) {
        uint64_t& first = r.type == kChildOf ? child_of : follows;
        if (first == 0 && same_trace(r)) first = r.span;
      });
      span.parent = child_of != 0 ? child_of : follows;
    }
    EachReference(at, [&](const Reference& r) {
      if (r.type == kChildOf && r.span == span.parent && same_trace(r)) return;
      if (Room(0)) PutLink(out_, r);
    });
  }

  template <typename Visit>
  void EachReference(Reader at, Visit visit) {
    const thrift::ListHead list = at.List();
    if (list.element != Type::kStruct) return;
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) {
      Reference r;
      Seen seen;
      for (Field f; (f = at.NextField(f.id)).type != Type::kStop;) {
        if (f.id == 1 && f.type == Type::kI32) {
          r.type = at.I32();
        } else if (f.type == Type::kI64 && f.id >= 2 && f.id <= 4) {
          (f.id == 2   ? r.trace_low
           : f.id == 3 ? r.trace_high
                       : r.span) = static_cast<uint64_t>(at.I64());
        } else {
          thrift::SkipField(at, f);
          continue;
        }
        seen.Add(f.id);
      }
      if (!seen.All(Ids(1, 2, 3, 4))) reader_.Fail();
      if (reader_.ok()) visit(r);
    }
  }

  void Logs() {
    const thrift::ListHead list = reader_.List();
    if (list.element != Type::kStruct && list.count > 0) reader_.Fail();
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) Log();
  }

  void Log() {
    OpenMessage event(out_, field::kEvent, 1);
    event_attributes_.Start(field::kEventAttribute);
    int64_t time_us = 0;
    std::string_view name;
    Seen seen;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.id == 1 && f.type == Type::kI64) {
        time_us = reader_.I64();
      } else if (f.id == 2 && f.type == Type::kList) {
        EachTag([&](const Tag& tag) {
          if (tag.key == "event" && tag.type == TagType::kString) {
            name = tag.text;
          } else {
            PutTag(out_, event_attributes_, tag);
          }
        });
      } else {
        thrift::SkipField(reader_, f);
        continue;
      }
      seen.Add(f.id);
    }
    if (!seen.All(Ids(1, 2))) reader_.Fail();
    if (!Room(name.size())) return;
    uint8_t* const p = out_.Grow(9);
    out_.Commit(static_cast<size_t>(PutLittle64(p, field::kEventTime, Nanoseconds(time_us)) - p));
    if (!name.empty()) PutText(out_, field::kEventName, name);
    event.Close(out_);
  }

  template <typename Visit>
  void EachTag(Visit visit) {
    const thrift::ListHead list = reader_.List();
    if (list.element != Type::kStruct && list.count > 0) reader_.Fail();
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) {
      Tag tag;
      if (!ReadTag(tag)) return;
      if (!Room(tag.key.size() + tag.text.size() + tag.binary.size())) return;
      visit(tag);
    }
  }

  bool ReadTag(Tag& tag) {
    Reader r({reader_.position(), reader_.left()});  // in registers, if its address is never taken
    Seen seen;
    Field f{.type = Type::kStop, .flag = false, .id = UsualTagFields(r, tag, seen)};
    while ((f = r.NextField(f.id)).type != Type::kStop) {
      if (f.type == Type::kBinary && (f.id == 1 || f.id == 3 || f.id == 7)) {
        (f.id == 1 ? tag.key : f.id == 3 ? tag.text : tag.binary) = r.Binary();
      } else if (f.id == 2 && f.type == Type::kI32) {
        tag.type = static_cast<TagType>(r.I32());
      } else if (f.id == 4 && f.type == Type::kDouble) {
        tag.real = r.Double();
      } else if (f.id == 5 && f.type == Type::kBool) {
        tag.flag = r.Bool(f);
      } else if (f.id == 6 && f.type == Type::kI64) {
        tag.number = r.I64();
      } else {
        reader_.MoveTo(r);
        thrift::SkipField(reader_, f);
        r.MoveTo(reader_);
        continue;
      }
      seen.Add(f.id);
    }
    reader_.MoveTo(r);
    return seen.All(Ids(1, 2)) ? reader_.ok() : reader_.Fail();
  }

  // The fields in the order in which every writer puts them; stops at the first that is another.
  // Returns the id of the last one read.
  static int16_t UsualTagFields(Reader& r, Tag& tag, Seen& seen) {
    if (!r.TryField(0, 1, Type::kBinary)) return 0;
    tag.key = r.Binary();
    seen.Add(1);
    if (!r.TryField(1, 2, Type::kI32)) return 1;
    tag.type = static_cast<TagType>(r.I32());
    seen.Add(2);
    if (tag.type == TagType::kString && r.TryField(2, 3, Type::kBinary))
      return tag.text = r.Binary(), int16_t{3};
    if (tag.type == TagType::kLong && r.TryField(2, 6, Type::kI64))
      return tag.number = r.I64(), int16_t{6};
    if (tag.type == TagType::kDouble && r.TryField(2, 4, Type::kDouble))
      return tag.real = r.Double(), int16_t{4};
    return 2;
  }

  // True when `bytes` more, and what little goes around them, are within the bound; else this
  // datagram is refused.
  bool Room(size_t bytes) {
    if (out_.size() + bytes + kAround <= limit_) return true;
    expanded_ = true;
    return reader_.Fail();
  }

  Reader& reader_;
  base::ByteBuffer& out_;
  const size_t limit_;
  DatagramReport& report_;
  const size_t envelope_room_;
  bool expanded_ = false;
  Attributes attributes_;  // of the resource, then of each span
  Attributes event_attributes_;
};

template <typename Reader>
TranscodeStatus Run(base::ByteView datagram, base::ByteBuffer* out, DatagramReport* report) {
  Reader reader(datagram);
  thrift::MessageHead head;
  switch (reader.Head(&head)) {
    case thrift::HeadStatus::kBad:
      return TranscodeStatus::kMalformed;
    case thrift::HeadStatus::kOtherProtocol:
      return TranscodeStatus::kWrongProtocol;
    case thrift::HeadStatus::kDone:
      break;
  }
  // A client never replies; both ways of calling a method without a result are in use.
  if (head.kind != thrift::MessageKind::kCall && head.kind != thrift::MessageKind::kOneway) {
    return TranscodeStatus::kMalformed;
  }
  if (head.name == "emitZipkinBatch") return TranscodeStatus::kZipkinBatch;
  if (head.name != "emitBatch") return TranscodeStatus::kUnknownMethod;

  const uint64_t room = kMaxExpansion * datagram.size() + kFreeBytes;
  out->Grow(room);
  BatchWriter<Reader> writer(reader, *out, out->size() + room, *report);
  if (writer.Arguments()) return TranscodeStatus::kDone;
  return writer.expanded() ? TranscodeStatus::kTooExpanded : TranscodeStatus::kMalformed;
}

}  // namespace

std::string_view StatusName(TranscodeStatus status) {
  switch (status) {
    case TranscodeStatus::kDone:
      return "done";
    case TranscodeStatus::kMalformed:
      return "malformed";
    case TranscodeStatus::kWrongProtocol:
      return "wrong_protocol";
    case TranscodeStatus::kZipkinBatch:
      return "emit_zipkin_batch";
    case TranscodeStatus::kUnknownMethod:
      return "unknown_method";
    case TranscodeStatus::kTooExpanded:
      return "too_expanded";
  }
  return "unknown";
}

TranscodeStatus TranscodeBatch(base::ByteView batch, base::ByteBuffer* out,
                               DatagramReport* report) {
  *report = {};
  const size_t begin = out->size();
  thrift::BinaryReader reader(batch);
  BatchWriter<thrift::BinaryReader> writer(
      reader, *out, begin + kMaxExpansion * batch.size() + kFreeBytes, *report);
  if (writer.Bare()) return TranscodeStatus::kDone;
  const bool expanded = writer.expanded();
  out->Truncate(begin);
  *report = {};
  return expanded ? TranscodeStatus::kTooExpanded : TranscodeStatus::kMalformed;
}

TranscodeStatus Transcode(base::ByteView datagram, Encoding encoding, base::ByteBuffer* out,
                          DatagramReport* report) {
  *report = {};
  const size_t begin = out->size();
  const TranscodeStatus status = encoding == Encoding::kCompact
                                     ? Run<thrift::CompactReader>(datagram, out, report)
                                     : Run<thrift::BinaryReader>(datagram, out, report);
  if (status != TranscodeStatus::kDone) {
    out->Truncate(begin);
    *report = {};
  }
  return status;
}

}  // namespace weft::protocols::jaeger
