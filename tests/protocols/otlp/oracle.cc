#include "protocols/otlp/oracle.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"

namespace weft::protocols::otlp {
namespace {

// Refusals are what many tests are about: no lines for them.
[[maybe_unused]] const auto kQuiet = google::protobuf::SetLogHandler(nullptr);

std::string RandomText(std::mt19937& random) {
  static const char* const kWords[] = {"",
                                       "a",
                                       "http.request.method",
                                       "GET",
                                       "é",
                                       "日本語",
                                       "😀",
                                       "a longer text with \"quotes\" and \\ and \n and \x01"};
  std::string text;
  for (uint32_t n = random() % 4; n > 0; --n) text += kWords[random() % std::size(kWords)];
  if (random() % 50 == 0) text.append(random() % 400, 'x');
  return text;
}

std::string RandomBytes(std::mt19937& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() | 1);
  return bytes;
}

template <typename Repeated>
void RandomAttributes(std::mt19937& random, Repeated* attributes) {
  for (uint32_t n = random() % 6; n > 0; --n) {
    oracle::KeyValue* pair = attributes->Add();
    pair->set_key(RandomText(random));
    if (random() % 10 != 0) RandomValue(random, 0, pair->mutable_value());
  }
}

}  // namespace

void RandomValue(std::mt19937& random, int depth, oracle::AnyValue* value) {
  switch (random() % (depth < 3 ? 9 : 7)) {
    case 0:
      break;
    case 1:
      value->set_bool_value(random() % 2 != 0);
      break;
    case 2:
      value->set_int_value(static_cast<int64_t>(random()) - (int64_t{1} << (random() % 62)));
      break;
    case 3:
      value->set_double_value(static_cast<double>(random()) / 7);
      break;
    case 4:
      value->set_bytes_value(RandomBytes(random, random() % 20));
      break;
    case 7:
      value->mutable_array_value();
      for (uint32_t n = random() % 4; n > 0; --n) {
        RandomValue(random, depth + 1, value->mutable_array_value()->add_values());
      }
      break;
    case 8:
      value->mutable_kvlist_value();
      for (uint32_t n = random() % 4; n > 0; --n) {
        oracle::KeyValue* pair = value->mutable_kvlist_value()->add_values();
        pair->set_key(RandomText(random));
        RandomValue(random, depth + 1, pair->mutable_value());
      }
      break;
    default:
      value->set_string_value(RandomText(random));
  }
}

oracle::Span RandomSpan(std::mt19937& random) {
  oracle::Span span;
  span.set_trace_id(RandomBytes(random, 16));
  span.set_span_id(RandomBytes(random, 8));
  if (random() % 2 != 0) span.set_parent_span_id(RandomBytes(random, 8));
  span.set_trace_state(RandomText(random));
  span.set_name(RandomText(random));
  span.set_kind(static_cast<oracle::Span::Kind>(random() % 6));
  span.set_start_time_unix_nano(random() % 2 != 0 ? 1'700'000'000'000'000'000ull + random() : 0);
  span.set_end_time_unix_nano(random());
  span.set_flags(random() % 3 == 0 ? random() : 0);
  span.set_dropped_links_count(random() % 3);
  span.set_dropped_events_count(random() % 3);
  span.set_dropped_attributes_count(random() % 1000);
  RandomAttributes(random, span.mutable_attributes());
  for (uint32_t n = random() % 3; n > 0; --n) {
    oracle::Span::Event* event = span.add_events();
    event->set_time_unix_nano(random());
    event->set_name(RandomText(random));
    RandomAttributes(random, event->mutable_attributes());
  }
  for (uint32_t n = random() % 3; n > 0; --n) {
    oracle::Span::Link* link = span.add_links();
    link->set_trace_id(RandomBytes(random, 16));
    link->set_span_id(RandomBytes(random, 8));
    link->set_trace_state(RandomText(random));
    link->set_flags(random() % 1000);
    RandomAttributes(random, link->mutable_attributes());
  }
  if (random() % 2 != 0) {
    span.mutable_status()->set_code(static_cast<oracle::Status::Code>(random() % 3));
    span.mutable_status()->set_message(RandomText(random));
  }
  return span;
}

oracle::Request RandomRequest(uint32_t seed) {
  std::mt19937 random(seed);
  oracle::Request request;
  for (uint32_t r = random() % 4; r > 0; --r) {
    oracle::ResourceSpans* resource = request.add_resource_spans();
    if (random() % 4 != 0) {
      RandomAttributes(random, resource->mutable_resource()->mutable_attributes());
      if (random() % 4 == 0) resource->mutable_resource()->add_entity_refs()->add_id_keys("id");
    }
    if (random() % 3 == 0) resource->set_schema_url("https://opentelemetry.io/schemas/1.24.0");
    for (uint32_t s = random() % 4; s > 0; --s) {
      oracle::ScopeSpans* scope = resource->add_scope_spans();
      if (random() % 3 != 0) {
        scope->mutable_scope()->set_name(RandomText(random));
        scope->mutable_scope()->set_version("1.0");
        RandomAttributes(random, scope->mutable_scope()->mutable_attributes());
      }
      if (random() % 3 == 0) scope->set_schema_url(RandomText(random));
      for (uint32_t i = random() % 8; i > 0; --i) *scope->add_spans() = RandomSpan(random);
    }
  }
  return request;
}

base::SharedBytes ToShared(std::string_view bytes) {
  base::ByteBuffer buffer(bytes.size());  // exact, so that a sanitizer sees a read behind the end
  buffer.Append(bytes);
  return base::Share(std::move(buffer));
}

oracle::Request Parse(std::string_view bytes) {
  oracle::Request request;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  in.SetRecursionLimit(1000);
  EXPECT_TRUE(request.ParseFromCodedStream(&in) && in.ConsumedEntireMessage());
  return request;
}

std::string FlattenText(const base::Gathered& gathered) {
  base::ByteBuffer flat = Flatten(gathered);
  EXPECT_EQ(flat.size(), gathered.size);
  return std::string(base::AsText(flat.view()));
}

model::OtlpBatch IndexOf(std::string_view bytes) {
  model::OtlpBatch batch;
  IndexReport report = Index(ToShared(bytes), &batch);
  EXPECT_EQ(report.status, IndexStatus::kDone) << report.reason;
  return batch;
}

void DropEmptyEnvelopes(oracle::Request* request) {
  auto* resources = request->mutable_resource_spans();
  for (int r = resources->size() - 1; r >= 0; --r) {
    auto* scopes = resources->Mutable(r)->mutable_scope_spans();
    for (int s = scopes->size() - 1; s >= 0; --s) {
      if (scopes->Get(s).spans().empty()) scopes->DeleteSubrange(s, 1);
    }
    if (scopes->empty()) resources->DeleteSubrange(r, 1);
  }
}

oracle::Request OneSpan() {
  oracle::Request request;
  oracle::ResourceSpans* resource = request.add_resource_spans();
  oracle::KeyValue* service = resource->mutable_resource()->add_attributes();
  service->set_key("service.name");
  service->mutable_value()->set_string_value("shop");
  oracle::ScopeSpans* scope = resource->add_scope_spans();
  scope->mutable_scope()->set_name("lib");
  oracle::Span* span = scope->add_spans();
  span->set_trace_id("0123456789abcdef");
  span->set_span_id("01234567");
  span->set_name("GET /");
  span->set_kind(oracle::Span::SERVER);
  span->set_start_time_unix_nano(1'700'000'000'000'000'000);
  span->set_end_time_unix_nano(1'700'000'000'000'000'001);
  return request;
}

}  // namespace weft::protocols::otlp
