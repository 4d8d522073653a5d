// Jaeger's thrift payloads (jaeger-idl, thrift/jaeger.thrift and agent.thrift), compact and binary.
#include "payload.h"

namespace weft::bench {
namespace {

struct Thrift {
  bool compact;
  std::string out{};
  std::vector<int16_t> last{0};

  void Varint(uint64_t v) {
    for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
    out.push_back(static_cast<char>(v));
  }
  void Zigzag(int64_t v) { Varint(static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63)); }
  void Big(uint64_t v, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(v >> (8 * i)));
  }
  void Header(int16_t id, uint8_t compact_type, uint8_t binary_type) {
    if (compact) {
      out.push_back(static_cast<char>((id - last.back()) << 4 | compact_type));
      last.back() = id;
    } else {
      out.push_back(static_cast<char>(binary_type));
      Big(static_cast<uint16_t>(id), 2);
    }
  }
  void I64(int16_t id, uint64_t v) {
    Header(id, 6, 10);
    compact ? Zigzag(static_cast<int64_t>(v)) : Big(v, 8);
  }
  void I32(int16_t id, int32_t v) {
    Header(id, 5, 8);
    compact ? Zigzag(v) : Big(static_cast<uint32_t>(v), 4);
  }
  void Text(int16_t id, const std::string& v) {
    Header(id, 8, 11);
    compact ? Varint(v.size()) : Big(v.size(), 4);
    out += v;
  }
  void StructList(int16_t id, size_t size) {
    Header(id, 9, 15);
    if (!compact) {
      out.push_back(12);
      Big(size, 4);
    } else if (size < 15) {
      out.push_back(static_cast<char>(size << 4 | 12));
    } else {
      out.push_back(static_cast<char>(0xfc));
      Varint(size);
    }
  }
  void Struct(int16_t id) {
    Header(id, 12, 12);
    Begin();
  }
  void Begin() { last.push_back(0); }
  void End() {
    out.push_back(0);
    last.pop_back();
  }
  void Tag(const std::string& key, const std::string& value) {
    Begin();
    Text(1, key);
    I32(2, 0);
    Text(3, value);
    End();
  }
};

void WriteSpan(Thrift& t, const Sample& sample, const SampleSpan& span) {
  static constexpr const char* kKinds[] = {"", "internal", "server", "client"};
  t.Begin();
  t.I64(1, sample.trace_low);
  t.I64(2, sample.trace_high);
  t.I64(3, span.id);
  t.I64(4, span.parent);
  t.Text(5, span.name);
  t.I32(7, 1);
  t.I64(8, span.start_ns / 1000);
  t.I64(9, span.duration_ns / 1000);
  t.StructList(10, span.attributes.size() + 1);
  t.Tag("span.kind", kKinds[span.kind]);
  for (const auto& [key, value] : span.attributes) t.Tag(key, value);
  t.End();
}

// The fields of a Batch, without the byte that ends it.
void WriteBatch(Thrift& t, const Sample& sample) {
  t.Struct(1);
  t.Text(1, sample.service);
  t.StructList(2, 1);
  t.Tag("hostname", "node-1");
  t.End();
  t.StructList(2, sample.spans.size());
  for (const SampleSpan& span : sample.spans) WriteSpan(t, sample, span);
}

Payload Finish(Thrift& t, const Sample& sample) {
  Payload payload;
  payload.bytes = std::move(t.out);
  payload.spans = static_cast<uint32_t>(sample.spans.size());
  payload.form = t.compact ? IdForm::kZigzag : IdForm::kBigEndian;
  payload.FindIds(sample.trace_low);
  return payload;
}

Payload EmitBatch(const Sample& sample, bool compact) {
  Thrift t{compact};
  if (compact) {
    t.out = std::string("\x82\x81\x01\x09", 4) + "emitBatch";
  } else {
    t.out = std::string("\x80\x01\x00\x04\x00\x00\x00\x09", 8) + "emitBatch";
    t.Big(1, 4);
  }
  t.Struct(1);
  WriteBatch(t, sample);
  t.End();
  t.out.push_back(0);
  return Finish(t, sample);
}

}  // namespace

Payload JaegerCompact(const Sample& sample) { return EmitBatch(sample, true); }
Payload JaegerBinary(const Sample& sample) { return EmitBatch(sample, false); }

Payload JaegerHttp(const Sample& sample) {
  Thrift t{false};
  WriteBatch(t, sample);
  t.out.push_back(0);
  return Finish(t, sample);
}

}  // namespace weft::bench
