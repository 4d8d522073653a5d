// page_demo [port]: the console with made-up traces, for looking at the page in a browser. Not part
// of any test.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "console/console.h"
#include "console/fake_traces.h"

namespace weft::console {
namespace {

namespace otlp = protocols::otlp;

constexpr const char* kServices[] = {"frontend", "checkout",  "cart",   "payment",
                                     "nginx",    "inventory", "python3"};
constexpr const char* kNames[] = {"GET /api/v1/carts/{id}", "POST /checkout", "GET", "charge card",
                                  "SELECT inventory",       "render template"};

class TraceMaker {
 public:
  TraceMaker(base::TraceId id, size_t spans, bool hostile)
      : id_(id), wanted_(spans), hostile_(hostile) {}

  base::ByteBuffer Make(uint64_t start_ns) {
    Add({}, start_ns, 1'000'000 + random_() % 400'000'000, 0, 0);
    return builder_.Finish();
  }

 private:
  void Add(const base::SpanId& parent, uint64_t start, uint64_t length, int depth, size_t service) {
    if (made_++ >= wanted_ || length < 2000) return;
    const base::SpanId id = base::NewSpanId();
    Write(id, parent, start, length, service);
    const uint64_t children = depth > 12 ? 0 : 1 + random_() % 6;
    for (uint64_t i = 0; i < children; ++i) {
      const uint64_t step = length / children;
      Add(id, start + length / 50 + i * step, step * (40 + random_() % 50) / 100, depth + 1,
          (service + random_() % 2) % std::size(kServices));
    }
  }

  void Write(const base::SpanId& id, const base::SpanId& parent, uint64_t start, uint64_t length,
             size_t service) {
    const int origin = static_cast<int>(random_() % 3);  // 0 SDK, 1 kernel, 2 merged
    builder_.Service(kServices[service])
        .Scope(origin == 1 ? "weft" : "demo.instrumentation", "1.0");
    const char* name = hostile_ && made_ == 2 ? "<img src=x onerror=alert(1)>\xE2\x80\xAE"
                                              : kNames[random_() % std::size(kNames)];
    otlp::Writer& w =
        builder_.Span(id_, id, parent, name, origin == 0 ? 1 : 2 + static_cast<int>(random_() % 2),
                      start, start + length);
    Attribute(w, "http.request.method", "GET");
    Attribute(w, "url.path", "/api/v1/carts/8271/items");
    otlp::WriteAttribute(w, otlp::field::kAttribute, "http.response.status_code", 200);
    if (origin != 0) Wire(w, origin == 2, start, length);
    if (random_() % 23 == 0) SpanStatus(w, 2, "connection refused");
  }

  void Wire(otlp::Writer& w, bool merged, uint64_t start, uint64_t length) {
    Attribute(w, "weft.origin", merged ? "merged" : "kernel");
    const uint64_t edge = merged ? length / 10 : 0;
    Time(w, "weft.wire.request.first_unix_nano", start + edge);
    Time(w, "weft.wire.request.last_unix_nano", start + edge + length / 20);
    Time(w, "weft.wire.response.first_unix_nano", start + length * 3 / 4);
    Time(w, "weft.wire.response.last_unix_nano", start + length - edge);
  }
  static void Attribute(otlp::Writer& w, std::string_view key, std::string_view value) {
    otlp::WriteAttribute(w, otlp::field::kAttribute, key, value);
  }
  static void Time(otlp::Writer& w, std::string_view key, uint64_t ns) {
    otlp::WriteAttribute(w, otlp::field::kAttribute, key, static_cast<int64_t>(ns));
  }

  const base::TraceId id_;
  const size_t wanted_;
  const bool hostile_;
  size_t made_ = 0;
  std::mt19937_64 random_{id_.bytes[15] * 7919u + 1};
  RequestBuilder builder_;
};

int Run(const char* port) {
  base::SystemClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  FakeTraces traces;
  for (uint8_t i = 1; i <= 40; ++i) {
    const size_t spans = i == 7 ? 2500 : 1 + (i * 37u) % 60;
    const uint64_t age_ns = uint64_t{i} * i * 1'500'000'000;
    traces.Add(TestTrace(i), TraceMaker(TestTrace(i), spans, i == 3).Make(clock.UnixNs() - age_ns));
  }
  for (const char* service : kServices) {
    traces.services.emplace_back(service);
    for (const char* name : kNames) traces.operations[service].emplace_back(name, 2);
  }
  Console console(
      {.admin_endpoint = "127.0.0.1:0", .query_endpoint = std::string("127.0.0.1:") + port},
      {.clock = clock, .ledger = ledger, .metrics = metrics, .traces = &traces, .status = [] {
         return std::string(
             R"({"version":"demo","features":[{"name":"capture","on":true,"rung":"made up"}]})");
       }});
  if (base::Status status = console.Start(); !status.ok()) {
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    return 1;
  }
  std::printf("page http://127.0.0.1:%u/ admin http://127.0.0.1:%u/\n", console.query_port(),
              console.admin_port());
  std::fflush(stdout);
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

}  // namespace
}  // namespace weft::console

int main(int argc, char** argv) { return weft::console::Run(argc > 1 ? argv[1] : "16686"); }
