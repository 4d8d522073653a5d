#include "payload.h"

#include <iterator>
#include <random>

namespace weft::bench {
namespace {

constexpr uint64_t kStartNs = 1'700'000'000'000'000'000;
constexpr uint64_t kIdBase = uint64_t{1} << 62;

// Text as it stands in attributes (statements, messages, paths): words and numbers, so that it
// compresses like real telemetry, not like noise.
std::string Filler(std::mt19937_64& random, size_t size) {
  static constexpr const char* kWords[] = {
      "SELECT",  "FROM",    "WHERE",    "order_items", "customer_id", "AND",     "JOIN",
      "LIMIT",   "cart",    "checkout", "timeout",     "retry",       "cache",   "miss",
      "session", "user",    "payment",  "inventory",   "warehouse",   "eu-west", "us-east",
      "status",  "pending", "shipped",  "connection",  "pool",        "GROUP",   "BY"};
  std::string text;
  while (text.size() < size) {
    text += random() % 4 == 0 ? std::to_string(random() % 100000)
                              : kWords[random() % std::size(kWords)];
    text += ' ';
  }
  text.resize(size);
  return text;
}

// What an HTTP instrumentation says, then further ones of a like size.
void AddAttributes(SampleSpan* span, uint32_t count, std::mt19937_64& random) {
  const std::pair<std::string, std::string> known[] = {
      {"http.request.method", span->kind == 3 ? "POST" : "GET"},
      {"url.path", "/api/v1/items/" + std::to_string(random() % 100000)},
      {"url.scheme", "https"},
      {"server.address", "shop.example.com"},
      {"network.protocol.version", "1.1"},
      {"client.address", "10.0." + std::to_string(random() % 256) + ".17"},
  };
  for (uint32_t i = 0; i < count; ++i) {
    if (i < std::size(known))
      span->attributes.push_back(known[i]);
    else
      span->attributes.push_back({"app.attribute." + std::to_string(i), Filler(random, 12)});
  }
}

// The size of the span in OTLP, before it is filled up.
size_t EncodedBytes(const SampleSpan& span) {
  size_t bytes = 18 + 10 + 10 + 2 + span.name.size() + 2 + 18 + 2;
  for (const auto& [key, value] : span.attributes) bytes += 8 + key.size() + value.size();
  return bytes;
}

std::string Encoded(IdForm form, uint64_t id) {
  std::string out;
  if (form == IdForm::kZigzag) {
    uint64_t v = id << 1;
    for (; v >= 0x80; v >>= 7) out.push_back(static_cast<char>(v | 0x80));
    out.push_back(static_cast<char>(v));
    return out;
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    const auto byte = static_cast<unsigned char>(id >> shift);
    if (form == IdForm::kBigEndian) {
      out.push_back(static_cast<char>(byte));
    } else {
      out.push_back("0123456789abcdef"[byte >> 4]);
      out.push_back("0123456789abcdef"[byte & 15]);
    }
  }
  return out;
}

}  // namespace

uint64_t StampedId(uint64_t serial) { return kIdBase | (serial & (kIdBase - 1)); }

Sample MakeSample(const Shape& shape, uint32_t seed) {
  std::mt19937_64 random(seed);
  Sample sample;
  sample.service = "bench-" + std::to_string(seed % shape.services);
  sample.trace_high = random() >> 1 | 1;
  sample.trace_low = StampedId(random());
  std::vector<std::string> notes(shape.notes);
  for (std::string& note : notes) note = Filler(random, shape.bytes_per_span);
  for (uint32_t i = 0; i < shape.spans_per_request; ++i) {
    SampleSpan span;
    span.id = random() >> 1 | 1;
    // Chains below the first span, each as long as the depth allows.
    if (i > 0 && shape.depth > 1)
      span.parent = sample.spans[(i - 1) % (shape.depth - 1) == 0 ? 0 : i - 1].id;
    span.name = i % 2 == 0 ? "GET /api/v1/items/{id}" : "POST /api/v1/orders";
    span.kind = i % 3 + 1;
    span.start_ns = kStartNs + i * 1000;
    // Each inside the one before it: receivers mend children that are outside of their parent.
    span.duration_ns = 1'234'000 + uint64_t{2000} * (shape.spans_per_request - i);
    AddAttributes(&span, shape.attributes, random);
    const size_t plain = EncodedBytes(span) + 20;
    if (shape.bytes_per_span > plain) {
      const size_t size = shape.bytes_per_span - plain;
      std::string note =
          shape.notes == 0 ? Filler(random, size) : notes[random() % notes.size()].substr(0, size);
      span.attributes.push_back({"app.note", std::move(note)});
    }
    sample.spans.push_back(std::move(span));
  }
  return sample;
}

void Payload::FindIds(uint64_t trace_low) {
  const std::string pattern = Encoded(form, trace_low);
  for (size_t at = bytes.find(pattern); at != std::string::npos;
       at = bytes.find(pattern, at + pattern.size()))
    id_offsets.push_back(static_cast<uint32_t>(at));
}

void Payload::Stamp(uint64_t serial) {
  const std::string id = Encoded(form, StampedId(serial));
  for (uint32_t offset : id_offsets) id.copy(bytes.data() + offset, id.size());
}

}  // namespace weft::bench
