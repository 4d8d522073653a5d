#include "payload.h"

#include <cstring>
#include <random>

namespace weft::bench {
namespace {

constexpr uint64_t kStartNs = 1'700'000'000'000'000'000;

void Varint(std::string* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

void Field(std::string* out, uint32_t number, const std::string& bytes) {
  Varint(out, number << 3 | 2);
  Varint(out, bytes.size());
  out->append(bytes);
}

void Fixed64(std::string* out, uint32_t number, uint64_t v) {
  Varint(out, number << 3 | 1);
  out->append(reinterpret_cast<const char*>(&v), 8);
}

void Attribute(std::string* out, uint32_t number, const std::string& key, const std::string& text) {
  std::string value, pair;
  Field(&value, 1, text);
  Field(&pair, 1, key);
  Field(&pair, 2, value);
  Field(out, number, pair);
}

std::string Filler(std::mt19937_64& random, size_t size) {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz0123456789-/_. ";
  std::string text(size, 'x');
  for (char& c : text) c = kLetters[random() % (sizeof kLetters - 1)];
  return text;
}

std::string RandomBytes(std::mt19937_64& random, size_t size) {
  std::string bytes(size, '\1');
  for (char& c : bytes) c = static_cast<char>(1 + random() % 255);
  return bytes;
}

// A server span as an HTTP instrumentation makes it.
std::string OtlpSpan(std::mt19937_64& random, const std::string& trace, uint32_t index,
                     size_t filler) {
  std::string span, status;
  Field(&span, 1, trace);
  Field(&span, 2, RandomBytes(random, 8));
  if (index != 0) Field(&span, 4, RandomBytes(random, 8));
  Field(&span, 5, index % 2 == 0 ? "GET /api/v1/items/{id}" : "POST /api/v1/orders");
  Varint(&span, 6 << 3);
  Varint(&span, index % 3 + 1);
  Fixed64(&span, 7, kStartNs + index * 1000);
  Fixed64(&span, 8, kStartNs + index * 1000 + 1'234'567);
  Attribute(&span, 9, "http.request.method", index % 2 == 0 ? "GET" : "POST");
  Attribute(&span, 9, "url.path", "/api/v1/items/" + std::to_string(random() % 100000));
  Attribute(&span, 9, "url.scheme", "https");
  Attribute(&span, 9, "server.address", "shop.example.com");
  Attribute(&span, 9, "network.protocol.version", "1.1");
  Attribute(&span, 9, "client.address", "10.0." + std::to_string(random() % 256) + ".17");
  if (filler > 0) Attribute(&span, 9, "app.note", Filler(random, filler));
  Field(&span, 15, status);
  return span;
}

struct Thrift {
  bool compact;
  std::string out{};
  std::vector<int16_t> last{0};

  void Zigzag(int64_t v) {
    Varint(&out, static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63));
  }
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
  void I64(int16_t id, int64_t v) {
    Header(id, 6, 10);
    compact ? Zigzag(v) : Big(static_cast<uint64_t>(v), 8);
  }
  void I32(int16_t id, int32_t v) {
    Header(id, 5, 8);
    compact ? Zigzag(v) : Big(static_cast<uint32_t>(v), 4);
  }
  void Text(int16_t id, const std::string& v) {
    Header(id, 8, 11);
    compact ? Varint(&out, v.size()) : Big(v.size(), 4);
    out += v;
  }
  void StructList(int16_t id, uint32_t size) {
    Header(id, 9, 15);
    if (!compact) {
      out.push_back(12);
      Big(size, 4);
    } else if (size < 15) {
      out.push_back(static_cast<char>(size << 4 | 12));
    } else {
      out.push_back(static_cast<char>(0xfc));
      Varint(&out, size);
    }
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

}  // namespace

void Payload::Stamp(uint64_t serial) {
  for (uint32_t offset : trace_id_offsets) {
    uint64_t value = serial + 1;  // never zero
    std::memcpy(bytes.data() + offset, &value, 8);
  }
}

Payload OtlpPayload(const Shape& shape, uint32_t seed) {
  std::mt19937_64 random(seed);
  const std::string trace = RandomBytes(random, 16);
  std::string resource, scope, scope_spans, resource_spans;
  Attribute(&resource, 1, "service.name", "bench-" + std::to_string(seed % shape.services));
  Attribute(&resource, 1, "telemetry.sdk.language", "cpp");
  Field(&scope, 1, "weft-bench");
  Field(&scope_spans, 1, scope);
  const size_t plain = OtlpSpan(random, trace, 1, 0).size();
  const size_t filler = shape.bytes_per_span > plain + 20 ? shape.bytes_per_span - plain - 20 : 0;
  std::vector<size_t> in_scope;
  for (uint32_t i = 0; i < shape.spans_per_request; ++i) {
    std::string span = OtlpSpan(random, trace, i, filler);
    Field(&scope_spans, 2, span);
    in_scope.push_back(scope_spans.size() - span.size());
  }
  Field(&resource_spans, 1, resource);
  Payload payload;
  payload.spans = shape.spans_per_request;
  Field(&resource_spans, 2, scope_spans);
  Field(&payload.bytes, 1, resource_spans);
  // The innermost message ends the request, so offsets count from the end. 2 = tag and length of
  // the trace id.
  for (size_t offset : in_scope)
    payload.trace_id_offsets.push_back(
        static_cast<uint32_t>(payload.bytes.size() - scope_spans.size() + offset + 2 + 8));
  return payload;
}

Payload JaegerPayload(const Shape& shape, uint32_t seed, bool compact) {
  std::mt19937_64 random(seed);
  Thrift t{compact};
  if (compact) {
    t.out = std::string("\x82\x81\x01\x09", 4) + "emitBatch";
  } else {
    t.out = std::string("\x80\x01\x00\x04\x00\x00\x00\x09", 8) + "emitBatch";
    t.Big(1, 4);
  }
  Payload payload;
  payload.spans = shape.spans_per_request;
  t.Header(1, 12, 12);
  t.Begin();
  t.Header(1, 12, 12);
  t.Begin();
  t.Text(1, "bench-" + std::to_string(seed % shape.services));
  t.StructList(2, 1);
  t.Tag("hostname", "node-1");
  t.End();
  t.StructList(2, shape.spans_per_request);
  const size_t plain = 170;
  for (uint32_t i = 0; i < shape.spans_per_request; ++i) {
    t.Begin();
    t.I64(1, static_cast<int64_t>(random() >> 1 | 1));
    t.I64(2, static_cast<int64_t>(seed + 1));
    t.I64(3, static_cast<int64_t>(random() >> 1 | 1));
    t.I64(4, i == 0 ? 0 : static_cast<int64_t>(random() >> 1 | 1));
    t.Text(5, "GET /api/v1/items");
    t.I32(7, 1);
    t.I64(8, static_cast<int64_t>(kStartNs / 1000 + i));
    t.I64(9, 1234);
    t.StructList(10, 4);
    t.Tag("span.kind", "server");
    t.Tag("http.method", "GET");
    t.Tag("http.url", "http://shop.example.com/api/v1/items/" + std::to_string(random() % 100000));
    t.Tag("app.note",
          Filler(random, shape.bytes_per_span > plain ? shape.bytes_per_span - plain : 1));
    t.End();
  }
  t.End();
  t.End();
  payload.bytes = t.out;
  return payload;
}

}  // namespace weft::bench
