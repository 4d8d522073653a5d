// A story for tests of merge: processes, exchanges that the kernel sees, spans that SDKs export,
// and time; and what comes out, decoded. Times are milliseconds since the story's begin.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "merge/attribute_keys.h"
#include "merge/merge.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/view.h"
#include "protocols/otlp/write.h"

namespace weft::merge {

namespace otlp = protocols::otlp;

inline constexpr uint64_t kMs = 1'000'000;

inline base::TraceId Trace_(uint8_t n) {
  base::TraceId id;
  id.bytes.fill(0x70);
  id.bytes[15] = n;
  return id;
}
inline base::SpanId Span_(uint8_t n) {
  base::SpanId id;
  id.bytes.fill(0x50);
  id.bytes[7] = n;
  return id;
}
inline model::Endpoint Address(uint8_t last, uint16_t port) {
  return model::Endpoint::V4({10, 0, 0, last}, port);
}
inline model::Endpoint Loopback(uint16_t port) { return model::Endpoint::V4({127, 0, 0, 1}, port); }

// Takes every batch, unless told to be busy.
class Collector final : public model::Sink<model::OtlpBatch> {
 public:
  model::PushResult Push(model::OtlpBatch&& batch) override {
    if (is_busy) return model::PushResult::kBusy;
    was_edited.push_back(batch.edited);
    requests.push_back(otlp::Flatten(otlp::Gather(batch)));
    model::OtlpBatch taken = std::move(batch);
    return model::PushResult::kTaken;
  }
  bool is_busy = false;
  std::vector<base::ByteBuffer> requests;
  std::vector<bool> was_edited;
};

// One span that came out.
struct Seen {
  std::string service;
  otlp::SpanView span;

  std::string Text(std::string_view key) const {
    const otlp::ValueView* value = span.Find(key);
    return value == nullptr ? "" : value->ToText();
  }
  std::string origin() const { return Text(kOriginKey); }
  bool is_client() const { return span.kind == 3; }
};

// An SDK's span; ids of 0 are zero.
struct SdkSpan {
  base::TraceId trace;
  base::SpanId id, parent;
  model::SpanKind kind = model::SpanKind::kServer;
  uint64_t start_ms = 0, end_ms = 0;
  std::vector<std::pair<std::string, std::string>> attributes = {};
  std::string name = "sdk";
};

class Story {
 public:
  explicit Story(Options options = {})
      : merge(options, {clock, ledger, metrics, out, {{"host.name", "node-1"}}, "9.9.9"}) {
    begin_ns_ = clock.UnixNs();
    begin_mono_ns_ = clock.MonotonicNs();
  }

  static model::ProcessRef Process(uint32_t pid, std::string service) {
    auto process = std::make_shared<model::Process>();
    process->key = {pid, pid * 1000ull};
    process->service_name = std::move(service);
    process->executable_name = "exe";
    return process;
  }
  uint64_t Unix(uint64_t ms) const { return begin_ns_ + ms * kMs; }

  // Time goes on to `ms`; merge ticks every 100 ms on the way.
  void At(uint64_t ms) {
    const uint64_t target = begin_mono_ns_ + ms * kMs;
    while (clock.MonotonicNs() < target) {
      clock.Advance(std::min<uint64_t>(100 * kMs, target - clock.MonotonicNs()));
      merge.Tick();
    }
  }

  // The request head of an exchange, as kOpened has it. Give it to Open, then Finish.
  model::Span Exchange(model::Role role, model::ProcessRef process, uint64_t first_ms) {
    model::Span span;
    span.phase = model::SpanPhase::kOpened;
    span.role = role;
    span.exchange_id = next_exchange_++;
    span.process = std::move(process);
    span.thread = span.process ? span.process->key.pid : 0;
    span.request_first_ns = Unix(first_ms);
    span.client = Address(1, static_cast<uint16_t>(20'000 + span.exchange_id));
    span.server = Address(2, 8080);
    span.netns = 1;
    span.request_sequence = static_cast<uint32_t>(1'000 * span.exchange_id);
    span.method = "GET";
    span.target = "/a";
    return span;
  }
  static void Carry(model::Span* span, uint8_t trace, uint8_t id, uint8_t flags = 1) {
    span->context = model::WireContext{Trace_(trace), Span_(id), flags, ""};
  }
  // `server` is the other end of the connection of `client`, whose server address NAT rewrote.
  static void Connect(const model::Span& client, model::Span* server) {
    server->client = client.client;
    server->request_sequence = client.request_sequence;
    server->server = Address(99, 31'000);
    server->context = client.context;
  }
  void Open(const model::Span& span) {
    model::SpanBatch batch;
    batch.items.push_back(span);
    EXPECT_EQ(merge.spans().Push(std::move(batch)), model::PushResult::kTaken);
  }
  static model::Span Finished(model::Span span, uint64_t response_ns) {
    span.phase = model::SpanPhase::kFinished;
    span.name = span.method;
    span.request_last_ns = span.request_first_ns;
    span.response_first_ns = span.response_last_ns = response_ns;
    span.request_bytes = 100;
    span.response_bytes = 2'000;
    span.status_code = 200;
    span.attributes.Add("http.request.method", span.method);
    span.attributes.Add("http.response.status_code", int64_t{200});
    return span;
  }
  void Finish(const model::Span& span, uint64_t last_ms) { Open(Finished(span, Unix(last_ms))); }
  // Opened and finished in one go.
  void Saw(const model::Span& span, uint64_t last_ms) {
    Open(span);
    Finish(span, last_ms);
  }

  model::OtlpBatch Batch(const model::ProcessRef& sender, const std::vector<SdkSpan>& spans) {
    base::ByteBuffer bytes;
    {
      otlp::RequestWriter request(bytes);
      otlp::Writer& r = request.BeginResource();
      otlp::WriteAttribute(r, otlp::field::kResourceAttribute, "service.name",
                           "sdk-" + (sender ? sender->service_name : "unknown"));
      for (const auto& [key, value] : resource) {
        otlp::WriteAttribute(r, otlp::field::kResourceAttribute, key, value);
      }
      request.BeginScope("sdk", "1");
      for (const SdkSpan& s : spans) {
        otlp::Writer& w = request.BeginSpan(s.trace, s.id, s.parent, s.name);
        w.Uint(otlp::field::kKind, static_cast<uint64_t>(s.kind));
        w.Fixed64(otlp::field::kStart, Unix(s.start_ms));
        w.Fixed64(otlp::field::kEnd, Unix(s.end_ms));
        for (const auto& [key, value] : s.attributes) {
          otlp::WriteAttribute(w, otlp::field::kAttribute, key, value);
        }
      }
    }
    model::OtlpBatch batch;
    EXPECT_EQ(otlp::Index(base::Share(std::move(bytes)), &batch).status, otlp::IndexStatus::kDone);
    batch.sender = sender;
    return batch;
  }
  model::PushResult Export(const model::ProcessRef& sender, const std::vector<SdkSpan>& spans) {
    return merge.batches().Push(Batch(sender, spans));
  }

  // Everything that has come out so far.
  std::vector<Seen> Spans() {
    decoded_.clear();
    decoded_.resize(out.requests.size());
    std::vector<Seen> spans;
    for (size_t i = 0; i < out.requests.size(); ++i) {
      EXPECT_TRUE(otlp::Decode(out.requests[i].view(), &decoded_[i]));
      for (const auto& resource : decoded_[i]) {
        for (const auto& scope : resource.scopes) {
          for (const auto& span : scope.spans) spans.push_back({resource.ServiceName(), span});
        }
      }
    }
    return spans;
  }
  int64_t Count(const std::string& name, const base::Labels& labels = {}) {
    return metrics.Get(base::MetricKind::kCounter, name, "", labels).value();
  }
  int64_t merge_processes() {
    merge.Tick();
    return metrics.Get(base::MetricKind::kGauge, "weft_merge_processes", "").value();
  }
  // in = out + lost + held, and nothing is held any more.
  void ExpectRest() {
    EXPECT_TRUE(ledger.Balanced()) << ledger.Text();
    for (const base::LedgerRow* row : ledger.rows()) EXPECT_EQ(row->held(), 0) << row->stage();
  }

  base::FakeClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  Collector out;
  Merge merge;
  // Further attributes of the resource of every batch.
  std::vector<std::pair<std::string, std::string>> resource;

 private:
  uint64_t begin_ns_, begin_mono_ns_;
  uint64_t next_exchange_ = 1;
  std::vector<std::vector<otlp::ResourceSpansView>> decoded_;
};

}  // namespace weft::merge
