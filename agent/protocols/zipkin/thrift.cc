// zipkincore.thrift (openzipkin/zipkin-api, thrift/zipkinCore.thrift):
//
//   Endpoint          ipv4 1 i32, port 2 i16, service_name 3, ipv6 4 binary
//   Annotation        timestamp 1 i64 µs, value 2, host 3 Endpoint
//   BinaryAnnotation  key 1, value 2 binary, annotation_type 3 i32, host 4 Endpoint
//   Span              trace_id 1 i64, name 3, id 4 i64, parent_id 5 i64, annotations 6,
//                     binary_annotations 8, debug 9, timestamp 10 i64 µs, duration 11 i64 µs,
//                     trace_id_high 12 i64
//   Agent.emitZipkinBatch(1: list<Span>); over HTTP the bare list in thrift binary
#include <bit>
#include <cstring>

#include "protocols/thrift/binary_reader.h"
#include "protocols/thrift/compact_reader.h"
#include "protocols/thrift/skip.h"
#include "protocols/zipkin/reader.h"

namespace weft::protocols::zipkin {
namespace {

using thrift::Field;
using thrift::Type;

void PutBig(uint64_t value, uint8_t* to) {
  for (int i = 7; i >= 0; --i, value >>= 8) to[i] = static_cast<uint8_t>(value);
}
uint64_t NotNegative(int64_t value) { return value > 0 ? static_cast<uint64_t>(value) : 0; }

// `type`: BOOL, BYTES, I16, I32, I64, DOUBLE, STRING. A number of a wrong length is kept as bytes.
Value TypedValue(int32_t type, std::string_view raw) {
  static constexpr size_t kSizes[] = {1, 0, 2, 4, 8, 8, 0};
  if (type == 6) return {Value::Kind::kText, raw};
  if (type < 0 || type > 6 || kSizes[type] == 0 || raw.size() != kSizes[type])
    return {Value::Kind::kBytes, raw};
  uint64_t bits = 0;
  for (char c : raw) bits = bits << 8 | static_cast<uint8_t>(c);
  if (type == 0) return {Value::Kind::kBool, {}, bits != 0};
  if (type == 5) return {Value::Kind::kDouble, {}, 0, std::bit_cast<double>(bits)};
  const int shift = static_cast<int>(64 - 8 * raw.size());
  return {Value::Kind::kInt, {}, static_cast<int64_t>(bits << shift) >> shift};
}

template <typename Reader>
class SpanReader {
 public:
  SpanReader(Reader& reader, Composer& composer)
      : reader_(reader), composer_(composer), version1_(span_) {}

  bool List() {
    const thrift::ListHead list = reader_.List();
    if (list.element != Type::kStruct && list.count > 0) return reader_.Fail();
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) {
      span_.Clear();
      version1_.Start();
      OneSpan();
      if (!reader_.ok()) return false;
      version1_.Finish();
      if (!composer_.Add(span_)) return false;
    }
    return reader_.ok();
  }

 private:
  void OneSpan() {
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.type == Type::kI64 && SpanNumber(f.id)) continue;
      if (f.id == 3 && f.type == Type::kBinary) {
        span_.name = reader_.Binary();
      } else if (f.id == 6 && f.type == Type::kList) {
        Each([this] { OneAnnotation(); });
      } else if (f.id == 8 && f.type == Type::kList) {
        Each([this] { OneBinary(); });
      } else if (f.id == 9 && f.type == Type::kBool) {
        span_.debug = reader_.Bool(f);
      } else {
        thrift::SkipField(reader_, f);
      }
    }
  }

  bool SpanNumber(int16_t id) {
    switch (id) {
      case 1:
        PutBig(static_cast<uint64_t>(reader_.I64()), span_.trace_id.bytes.data() + 8);
        return true;
      case 4:
        PutBig(static_cast<uint64_t>(reader_.I64()), span_.id.bytes.data());
        return true;
      case 5:
        PutBig(static_cast<uint64_t>(reader_.I64()), span_.parent_id.bytes.data());
        return true;
      case 10:
        span_.timestamp_us = NotNegative(reader_.I64());
        return true;
      case 11:
        span_.duration_us = NotNegative(reader_.I64());
        return true;
      case 12:
        PutBig(static_cast<uint64_t>(reader_.I64()), span_.trace_id.bytes.data());
        return true;
      default:
        return false;
    }
  }

  template <typename One>
  void Each(One one) {
    const thrift::ListHead list = reader_.List();
    if (list.element != Type::kStruct && list.count > 0) reader_.Fail();
    for (uint32_t i = 0; i < list.count && reader_.ok(); ++i) {
      one();
      if (span_.Full()) reader_.Fail();
    }
  }

  void OneAnnotation() {
    uint64_t time_us = 0;
    std::string_view value;
    Endpoint host;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.id == 1 && f.type == Type::kI64) {
        time_us = NotNegative(reader_.I64());
      } else if (f.id == 2 && f.type == Type::kBinary) {
        value = reader_.Binary();
      } else if (f.id == 3 && f.type == Type::kStruct) {
        Host(&host);
      } else {
        thrift::SkipField(reader_, f);
      }
    }
    if (reader_.ok()) version1_.Annotation(time_us, value, host);
  }

  void OneBinary() {
    std::string_view key, value;
    int32_t type = 6;
    Endpoint host;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.type == Type::kBinary && (f.id == 1 || f.id == 2)) {
        (f.id == 1 ? key : value) = reader_.Binary();
      } else if (f.id == 3 && f.type == Type::kI32) {
        type = reader_.I32();
      } else if (f.id == 4 && f.type == Type::kStruct) {
        Host(&host);
      } else {
        thrift::SkipField(reader_, f);
      }
    }
    if (reader_.ok()) version1_.Binary(key, TypedValue(type, value), host);
  }

  void Host(Endpoint* host) {
    std::string_view ipv6;
    uint32_t ipv4 = 0;
    for (Field f; (f = reader_.NextField(f.id)).type != Type::kStop;) {
      if (f.id == 1 && f.type == Type::kI32) {
        ipv4 = static_cast<uint32_t>(reader_.I32());
      } else if (f.id == 2 && f.type == Type::kI16) {
        host->port = static_cast<uint16_t>(reader_.I16());
      } else if (f.id == 3 && f.type == Type::kBinary) {
        host->service = reader_.Binary();
      } else if (f.id == 4 && f.type == Type::kBinary) {
        ipv6 = reader_.Binary();
      } else {
        thrift::SkipField(reader_, f);
      }
    }
    const uint8_t raw[4] = {static_cast<uint8_t>(ipv4 >> 24), static_cast<uint8_t>(ipv4 >> 16),
                            static_cast<uint8_t>(ipv4 >> 8), static_cast<uint8_t>(ipv4)};
    host->SetIp(raw);
    if (ipv6.size() == 16) host->SetIp(base::AsBytes(ipv6));
  }

  Reader& reader_;
  Composer& composer_;
  Span span_;
  Version1 version1_;
};

template <typename Reader>
TranscodeStatus ReadCall(base::ByteView datagram, Composer& composer) {
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
  if (head.kind != thrift::MessageKind::kCall && head.kind != thrift::MessageKind::kOneway)
    return TranscodeStatus::kMalformed;
  if (head.name != "emitZipkinBatch") return TranscodeStatus::kUnknownMethod;
  bool found = false;
  SpanReader<Reader> spans(reader, composer);
  for (Field f; (f = reader.NextField(f.id)).type != Type::kStop;) {
    if (f.id == 1 && f.type == Type::kList && !found) {
      found = true;
      if (!spans.List()) return TranscodeStatus::kMalformed;
    } else {
      thrift::SkipField(reader, f);
    }
  }
  return found && reader.ok() ? TranscodeStatus::kDone : TranscodeStatus::kMalformed;
}

}  // namespace

bool ReadThriftList(base::ByteView request, Composer& composer, std::string* error) {
  thrift::BinaryReader reader(request);
  if (SpanReader<thrift::BinaryReader>(reader, composer).List() && reader.left() == 0) return true;
  *error = "not a list of spans in thrift binary";
  return false;
}

TranscodeStatus ReadThriftCall(base::ByteView datagram, bool compact, Composer& composer,
                               std::string* error) {
  const TranscodeStatus status = compact ? ReadCall<thrift::CompactReader>(datagram, composer)
                                         : ReadCall<thrift::BinaryReader>(datagram, composer);
  if (status == TranscodeStatus::kMalformed) *error = "not a call of emitZipkinBatch";
  return status;
}

}  // namespace weft::protocols::zipkin
