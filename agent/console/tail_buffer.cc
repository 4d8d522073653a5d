#include "console/tail_buffer.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string_view>
#include <vector>

#include "console/jaeger_json.h"
#include "console/json.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/view.h"

namespace weft::console {
namespace {

namespace otlp = protocols::otlp;

// What a line says about a span.
struct Line {
  const otlp::SpanView& span;
  const std::string& service;
  std::string origin = "sdk";
  uint64_t duration_ns;

  Line(const otlp::SpanView& s, const std::string& service_name)
      : span(s),
        service(service_name),
        duration_ns(s.end_ns > s.start_ns ? s.end_ns - s.start_ns : 0) {
    if (const otlp::ValueView* value = s.Find("weft.origin")) origin = value->ToText();
  }
  std::string_view status() const {
    return span.status_code == 2 ? "error" : span.status_code == 1 ? "ok" : "unset";
  }
};

template <typename Append>
void ForEachSpan(base::ByteView request, Append append) {
  std::vector<otlp::ResourceSpansView> resources;
  if (!otlp::Decode(request, &resources)) return;
  for (const auto& resource : resources) {
    const std::string service = resource.ServiceName();
    for (const auto& scope : resource.scopes) {
      for (const auto& span : scope.spans) append(Line(span, service));
    }
  }
}

// A terminal obeys control characters, so none from a span gets through; padded to `width`
// characters.
void AppendColumn(std::string_view text, size_t width, std::string* out) {
  size_t characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t c = static_cast<uint8_t>(text[i]);
    // C1 controls are two bytes in UTF-8: C2 80 … C2 9F.
    const bool is_c1 = c == 0xC2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xA0;
    out->push_back(c < 0x20 || c == 0x7F || is_c1 ? '?' : text[i]);
    if (is_c1) ++i;
    if ((c & 0xC0) != 0x80) ++characters;
  }
  out->append(width > characters ? width - characters : 0, ' ');
  out->push_back(' ');
}

std::string LocalTime(uint64_t unix_ns) {
  std::time_t seconds = static_cast<std::time_t>(unix_ns / 1'000'000'000);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char text[40];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03u", parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<unsigned>(unix_ns / 1'000'000 % 1000));
  return text;
}

std::string DurationColumn(uint64_t ns) {
  char text[40];
  std::snprintf(text, sizeof text, "%9.3fms", static_cast<double>(ns) / 1e6);
  return text;
}

}  // namespace

TailBuffer::TailBuffer(const base::Clock& clock, base::MetricRegistry& metrics)
    : clock_(clock),
      kept_(metrics.Get(base::MetricKind::kCounter, "weft_console_tail_batches_total",
                        "Batches kept for somebody who follows the tail.")),
      shed_(metrics.Get(base::MetricKind::kCounter, "weft_console_tail_shed_batches_total",
                        "Batches that the tail skipped or forgot for want of room.")) {}

model::PushResult TailBuffer::Push(model::OtlpBatch&& batch) {
  if (!wanted()) return model::PushResult::kTaken;
  base::Gathered pieces = protocols::otlp::Gather(batch);
  if (pieces.size > kMaxBytes) {
    shed_.Add(1);
    return model::PushResult::kTaken;
  }
  base::SharedBytes request = base::Share(protocols::otlp::Flatten(pieces));
  std::lock_guard lock(mutex_);
  if (!wanted()) return model::PushResult::kTaken;
  kept_.Add(1);
  bytes_ += request->size();
  entries_.push_back({next_++, std::move(request)});
  while (bytes_ > kMaxBytes) {
    bytes_ -= entries_.front().request->size();
    entries_.pop_front();
    shed_.Add(1);
  }
  return model::PushResult::kTaken;
}

TailBuffer::Page TailBuffer::Read(uint64_t cursor, uint64_t max_bytes) {
  Page page;
  std::lock_guard lock(mutex_);
  asked_ns_ = clock_.MonotonicNs();
  wanted_.store(true, std::memory_order_relaxed);
  page.next_cursor = cursor == 0 ? next_ : std::min(cursor, next_);
  uint64_t taken = 0;
  for (const Entry& entry : entries_) {
    if (entry.number < cursor) continue;
    if (page.requests.empty() && cursor != 0) page.skipped = entry.number - cursor;
    if (taken != 0 && taken + entry.request->size() > max_bytes) break;
    taken += entry.request->size();
    page.requests.push_back(entry.request);
    page.next_cursor = entry.number + 1;
  }
  if (page.requests.empty() && page.next_cursor < next_) {  // all of it was forgotten meanwhile
    page.skipped = next_ - page.next_cursor;
    page.next_cursor = next_;
  }
  return page;
}

void TailBuffer::Expire() {
  if (!wanted()) return;
  std::lock_guard lock(mutex_);
  if (clock_.MonotonicNs() - asked_ns_ < kInterestNs) return;
  wanted_.store(false, std::memory_order_relaxed);
  entries_.clear();
  bytes_ = 0;
}

void AppendTailText(base::ByteView request, std::string* out) {
  ForEachSpan(request, [out](const Line& line) {
    const std::string_view kind = KindName(line.span.kind);
    AppendColumn(LocalTime(line.span.start_ns), 12, out);
    AppendColumn(DurationColumn(line.duration_ns), 11, out);
    AppendColumn(line.origin, 6, out);
    AppendColumn(kind.empty() ? "-" : kind, 8, out);
    AppendColumn(line.status(), 5, out);
    AppendColumn(line.service, 20, out);
    AppendColumn(line.span.name, 30, out);
    out->append(line.span.trace_id.Hex());
    out->push_back('\n');
  });
}

void AppendTailJson(base::ByteView request, std::string* out) {
  ForEachSpan(request, [out](const Line& line) {
    JsonWriter json(out);
    json.Open('{').Key("time_unix_nano").String(std::to_string(line.span.start_ns));
    json.Key("service").String(line.service).Key("kind").String(KindName(line.span.kind));
    json.Key("name").String(line.span.name).Key("status").String(line.status());
    json.Key("duration_ms").Double(static_cast<double>(line.duration_ns) / 1e6);
    json.Key("origin").String(line.origin).Key("trace_id").String(line.span.trace_id.Hex());
    json.Key("span_id").String(line.span.span_id.Hex());
    json.Key("parent_span_id")
        .String(line.span.parent_id.IsZero() ? "" : line.span.parent_id.Hex())
        .Close('}');
    out->push_back('\n');
  });
}

}  // namespace weft::console
