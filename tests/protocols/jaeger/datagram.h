// Builds emitBatch datagrams for tests, in either encoding.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "protocols/jaeger/transcode.h"
#include "protocols/thrift/thrift_writer.h"

namespace weft::protocols::jaeger {

struct TestTag {
  std::string key;
  int type = 0;  // as in the IDL: 0 text, 1 double, 2 bool, 3 long, 4 binary
  std::string text = {};
  double real = 0;
  bool flag = false;
  int64_t number = 0;
};
inline TestTag Text(std::string key, std::string value) {
  return {std::move(key), 0, std::move(value)};
}
inline TestTag Long(std::string key, int64_t value) {
  return {std::move(key), 3, {}, 0, false, value};
}
inline TestTag Bool(std::string key, bool value) { return {std::move(key), 2, {}, 0, value, 0}; }
inline TestTag Double(std::string key, double value) {
  return {std::move(key), 1, {}, value, false, 0};
}
inline TestTag Binary(std::string key, std::string value) {
  return {std::move(key), 4, std::move(value)};
}

struct TestReference {
  int type = 0;  // 0 CHILD_OF, 1 FOLLOWS_FROM
  int64_t trace_low = 1, trace_high = 0, span = 0;
};
struct TestLog {
  int64_t time_us = 0;
  std::vector<TestTag> fields;
};
struct TestSpan {
  int64_t trace_low = 1, trace_high = 0, span = 2, parent = 0;
  std::string name = "op";
  std::vector<TestReference> references = {};
  int32_t flags = 1;
  int64_t start_us = 1'700'000'000'000'000, duration_us = 1500;
  std::vector<TestTag> tags = {};
  std::vector<TestLog> logs = {};
};
struct TestBatch {
  std::string service = "shop";
  std::vector<TestTag> process = {};
  std::vector<TestSpan> spans = {TestSpan{}};
  int64_t sequence = 0;              // 0: not written
  std::vector<int64_t> losses = {};  // three of them: ClientStats
};

inline void WriteTags(thrift::ThriftWriter& w, int16_t field, const std::vector<TestTag>& tags) {
  w.ListField(field, thrift::Type::kStruct, static_cast<uint32_t>(tags.size()));
  for (const TestTag& tag : tags) {
    w.Begin();
    w.TextField(1, tag.key);
    w.I32Field(2, tag.type);
    if (tag.type == 0) w.TextField(3, tag.text);
    if (tag.type == 1) w.DoubleField(4, tag.real);
    if (tag.type == 2) w.BoolField(5, tag.flag);
    if (tag.type == 3) w.I64Field(6, tag.number);
    if (tag.type == 4) w.TextField(7, tag.text);
    w.End();
  }
}

inline void WriteSpan(thrift::ThriftWriter& w, const TestSpan& span) {
  w.Begin();
  w.I64Field(1, span.trace_low);
  w.I64Field(2, span.trace_high);
  w.I64Field(3, span.span);
  w.I64Field(4, span.parent);
  w.TextField(5, span.name);
  if (!span.references.empty()) {
    w.ListField(6, thrift::Type::kStruct, static_cast<uint32_t>(span.references.size()));
    for (const TestReference& r : span.references) {
      w.Begin();
      w.I32Field(1, r.type);
      w.I64Field(2, r.trace_low);
      w.I64Field(3, r.trace_high);
      w.I64Field(4, r.span);
      w.End();
    }
  }
  w.I32Field(7, span.flags);
  w.I64Field(8, span.start_us);
  w.I64Field(9, span.duration_us);
  if (!span.tags.empty()) WriteTags(w, 10, span.tags);
  if (!span.logs.empty()) {
    w.ListField(11, thrift::Type::kStruct, static_cast<uint32_t>(span.logs.size()));
    for (const TestLog& log : span.logs) {
      w.Begin();
      w.I64Field(1, log.time_us);
      WriteTags(w, 2, log.fields);
      w.End();
    }
  }
  w.End();
}

inline std::string MakeDatagram(Encoding encoding, const TestBatch& batch,
                                thrift::MessageKind kind = thrift::MessageKind::kOneway) {
  thrift::ThriftWriter w(encoding == Encoding::kCompact);
  w.Head("emitBatch", kind);
  w.Begin();
  w.Field(1, thrift::Type::kStruct);
  w.Begin();
  w.Field(1, thrift::Type::kStruct);
  w.Begin();
  w.TextField(1, batch.service);
  if (!batch.process.empty()) WriteTags(w, 2, batch.process);
  w.End();
  w.ListField(2, thrift::Type::kStruct, static_cast<uint32_t>(batch.spans.size()));
  for (const TestSpan& span : batch.spans) WriteSpan(w, span);
  if (batch.sequence != 0) w.I64Field(3, batch.sequence);
  if (batch.losses.size() == 3) {
    w.Field(4, thrift::Type::kStruct);
    w.Begin();
    for (int16_t i = 0; i < 3; ++i)
      w.I64Field(static_cast<int16_t>(i + 1), batch.losses[static_cast<size_t>(i)]);
    w.End();
  }
  w.End();
  w.End();
  return w.out();
}

}  // namespace weft::protocols::jaeger
