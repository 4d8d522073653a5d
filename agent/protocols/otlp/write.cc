#include "protocols/otlp/write.h"

#include <cstring>
#include <string>

#include "base/coding/utf8.h"

namespace weft::protocols::otlp {

void Writer::Bytes(uint32_t field, base::ByteView value) {
  Tag(field, WireType::kBytes);
  Varint(value.size());
  out_.Append(value);
}

void Writer::Text(uint32_t field, std::string_view value) {
  Bytes(field, base::AsBytes(value));
  if (!base::IsUtf8(value)) {
    uint8_t* text = out_.data() + out_.size() - value.size();
    base::RepairUtf8(reinterpret_cast<char*>(text), value.size());
  }
}

void Writer::Fixed32(uint32_t field, uint32_t value) {
  Tag(field, WireType::kFixed32);
  std::memcpy(out_.Grow(4), &value, 4);
  out_.Commit(4);
}

void Writer::Fixed64(uint32_t field, uint64_t value) {
  Tag(field, WireType::kFixed64);
  std::memcpy(out_.Grow(8), &value, 8);
  out_.Commit(8);
}

void Writer::Double(uint32_t field, double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, 8);
  Fixed64(field, bits);
}

size_t Writer::Begin(uint32_t field) {
  Tag(field, WireType::kBytes);
  out_.Push(0);  // the length, if it turns out to be below 128
  return out_.size();
}

void Writer::End(size_t begin) {
  size_t size = out_.size() - begin;
  size_t more = VarintSize(size) - 1;
  if (more != 0) {
    out_.Grow(more);
    std::memmove(out_.data() + begin + more, out_.data() + begin, size);
    out_.Commit(more);
  }
  PutVarint(out_.data() + begin - 1, size);
}

namespace {

// A KeyValue whose AnyValue is written by `write_value`.
template <typename WriteValue>
void WriteKeyValue(Writer& w, uint32_t field, std::string_view key, WriteValue&& write_value) {
  size_t pair = w.Begin(field);
  w.Text(field::kKey, key);
  size_t value = w.Begin(field::kValue);
  write_value();
  w.End(value);
  w.End(pair);
}

}  // namespace

void WriteAttribute(Writer& w, uint32_t field, std::string_view key, std::string_view value) {
  WriteKeyValue(w, field, key, [&] { w.Text(field::kTextValue, value); });
}

void WriteAttribute(Writer& w, uint32_t field, std::string_view key, int64_t value) {
  WriteKeyValue(w, field, key, [&] { w.Uint(field::kIntValue, static_cast<uint64_t>(value)); });
}

void WriteAttribute(Writer& w, uint32_t field, std::string_view key, bool value) {
  WriteKeyValue(w, field, key, [&] { w.Uint(field::kBoolValue, value ? 1 : 0); });
}

void WriteAttribute(Writer& w, uint32_t field, std::string_view key, double value) {
  WriteKeyValue(w, field, key, [&] { w.Double(field::kDoubleValue, value); });
}

void WriteBytesAttribute(Writer& w, uint32_t field, std::string_view key, base::ByteView value) {
  WriteKeyValue(w, field, key, [&] { w.Bytes(field::kBytesValue, value); });
}

void RequestWriter::CloseTo(int level) {
  while (level_ > level) w_.End(begin_[--level_]);
}

Writer& RequestWriter::BeginResource() {
  CloseTo(0);
  begin_[level_++] = w_.Begin(field::kResourceSpans);
  begin_[level_++] = w_.Begin(field::kResource);
  return w_;
}

void RequestWriter::BeginScope(std::string_view name, std::string_view version) {
  CloseTo(1);
  begin_[level_++] = w_.Begin(field::kScopeSpans);
  if (name.empty() && version.empty()) return;
  size_t scope = w_.Begin(field::kScope);
  if (!name.empty()) w_.Text(field::kScopeName, name);
  if (!version.empty()) w_.Text(field::kScopeVersion, version);
  w_.End(scope);
}

Writer& RequestWriter::BeginSpan() {
  CloseTo(2);
  begin_[level_++] = w_.Begin(field::kSpan);
  return w_;
}

Writer& RequestWriter::BeginSpan(const base::TraceId& trace, const base::SpanId& span,
                                 const base::SpanId& parent, std::string_view name) {
  BeginSpan();
  w_.Bytes(field::kTraceId, trace.view());
  w_.Bytes(field::kSpanId, span.view());
  if (!parent.IsZero()) w_.Bytes(field::kParentSpanId, parent.view());
  w_.Text(field::kName, name);
  return w_;
}

void RequestWriter::Finish() { CloseTo(0); }

}  // namespace weft::protocols::otlp
