// Replay: what a captured exchange costs in user space. The segments of both ends of many HTTP/1.1
// connections are made up, batch by batch as the rings are drained, and put through the real
// normalize and merge rooms into a sink that drops. Only their CPU is counted.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/allocator.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/ledger.h"
#include "base/metrics.h"
#include "commands.h"
#include "merge/merge.h"
#include "normalize/normalizer.h"
#include "report.h"

namespace weft::bench {
namespace {

constexpr uint64_t kDrainNs = 10'000'000;
constexpr uint64_t kTickNs = 100'000'000;
constexpr uint64_t kHoldNs = 7'000'000'000;  // longer than merge waits for a silent process
constexpr uint8_t kLoopback[4] = {127, 0, 0, 1};
constexpr uint16_t kServerPort = 8080;

constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Wed, 01 Jan 2025 00:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
constexpr std::string_view kShort =
    "Host: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n";
constexpr std::string_view kBrowser =
    "Host: shop.example.com\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n"
    "sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    "\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\nReferer: https://shop.example.com/cart\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n";

// Counts what comes out, and lets it go.
class Dropper final : public model::Sink<model::OtlpBatch> {
 public:
  model::PushResult Push(model::OtlpBatch&& batch) override {
    spans += batch.spans.size();
    bytes += batch.size_bytes();
    const model::OtlpBatch dropped = std::move(batch);
    return model::PushResult::kTaken;
  }
  uint64_t spans = 0, bytes = 0;
};

uint64_t CpuNs() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

model::ProcessRef MakeProcess(uint32_t pid, std::string name) {
  auto process = std::make_shared<model::Process>();
  process->key = {pid, 1'000'000'000};
  process->service_name = process->executable_name = std::move(name);
  return process;
}

// The two sockets of one connection, and how far both directions have come.
struct Pair {
  std::shared_ptr<const model::Connection> client, server;
  model::ProcessRef caller;
  uint32_t thread = 0;
  bool sends_context = false;
  uint64_t requests = 0, responses = 0;  // stream positions
};

// The rings of a machine on which `options.connections` are busy. Segments are made in order of
// their requests, and leave in order of time.
class Traffic {
 public:
  explicit Traffic(const ReplayOptions& options)
      : options_(options), server_(MakeProcess(100, "nginx")), random_(options.seed) {
    const auto plain = MakeProcess(200, "wrk"), traced = MakeProcess(300, "shop");
    for (uint32_t i = 0; i < options.connections; ++i) {
      auto client = std::make_shared<model::Connection>();
      client->id = 2 * i + 1;
      client->local = model::Endpoint::V4(kLoopback, static_cast<uint16_t>(20'000 + i));
      client->remote = model::Endpoint::V4(kLoopback, kServerPort);
      client->netns = 4'026'531'840;
      auto server = std::make_shared<model::Connection>(*client);
      server->id = client->id + 1;
      std::swap(server->local, server->remote);
      const bool sends_context = random_() % 100 < options.traced_percent;
      pairs_.push_back({client, server, sends_context ? traced : plain,
                        (sends_context ? 300 : 200) + i % 4, sends_context, 0, 0});
    }
  }

  // What the rings bring up to `end_ns`.
  model::SegmentBatch Until(uint64_t end_ns) {
    const double step_ns = 1e9 / options_.rate;
    for (; !is_over_ && next_ns_ < static_cast<double>(end_ns); next_ns_ += step_ns) {
      MakeExchange(static_cast<uint64_t>(next_ns_));
    }
    std::stable_sort(coming_.begin(), coming_.end(), [](const Made& a, const Made& b) {
      return a.segment.time_ns < b.segment.time_ns;
    });
    model::SegmentBatch batch;
    std::vector<size_t> offsets;
    auto it = coming_.begin();
    for (; it != coming_.end() && it->segment.time_ns < end_ns; ++it) {
      offsets.push_back(batch.arena.size());
      batch.arena.Append(it->bytes);
      batch.items.push_back(std::move(it->segment));
    }
    coming_.erase(coming_.begin(), it);
    for (size_t i = 0; i < offsets.size(); ++i) {
      model::Segment& segment = batch.items[i];
      segment.captured = batch.arena.view().subspan(offsets[i], segment.length);
    }
    return batch;
  }
  // Nothing new begins; what has begun goes on.
  void End() { is_over_ = true; }
  uint64_t exchanges() const { return made_; }

 private:
  using Context = std::pair<base::TraceId, base::SpanId>;
  struct Made {
    model::Segment segment;
    std::string bytes;
  };

  // One after the other on each connection, as long as one turn of all of them takes.
  void MakeExchange(uint64_t begin_ns) {
    Pair& pair = pairs_[made_++ % pairs_.size()];
    std::string head = "GET /api/items/" + std::to_string(random_() % 100'000) + " HTTP/1.1\r\n";
    head += random_() % 100 < options_.browser_percent ? kBrowser : kShort;
    if (pair.sends_context) {
      const Context context =
          options_.same_context ? context_ : Context{base::NewTraceId(), base::NewSpanId()};
      head += "traceparent: 00-" + context.first.Hex() + "-" + context.second.Hex() + "-01\r\n";
    }
    head += "\r\n";
    const uint64_t turn_ns =
        static_cast<uint64_t>(1e9 / options_.rate * static_cast<double>(pairs_.size()));
    const uint64_t answer_ns = begin_ns + turn_ns / 4 + random_() % (turn_ns / 2 + 1);
    using model::Direction;
    Emit(pair, pair.client, Direction::kSend, begin_ns, pair.requests, head);
    Emit(pair, pair.server, Direction::kReceive, begin_ns + turn_ns / 8, pair.requests, head);
    Emit(pair, pair.server, Direction::kSend, answer_ns, pair.responses, std::string(kResponse));
    Emit(pair, pair.client, Direction::kReceive, answer_ns + turn_ns / 8, pair.responses,
         std::string(kResponse));
    pair.requests += head.size();
    pair.responses += kResponse.size();
  }
  void Emit(const Pair& pair, const std::shared_ptr<const model::Connection>& connection,
            model::Direction direction, uint64_t time_ns, uint64_t position, std::string bytes) {
    if (options_.loss_percent != 0 && random_() % 100 < options_.loss_percent) return;
    const bool is_server = connection == pair.server;
    model::Segment segment;
    segment.direction = direction;
    segment.connection = connection;
    segment.process = is_server ? server_ : pair.caller;
    segment.thread = is_server ? 100 : pair.thread;
    segment.time_ns = time_ns;
    segment.position = position;
    segment.length = bytes.size();
    segment.sequence = static_cast<uint32_t>(position) + 1;
    coming_.push_back({std::move(segment), std::move(bytes)});
  }

  const ReplayOptions options_;
  const model::ProcessRef server_;
  const Context context_{base::NewTraceId(), base::NewSpanId()};
  std::mt19937 random_;
  std::vector<Pair> pairs_;
  std::vector<Made> coming_;
  double next_ns_ = 0;
  bool is_over_ = false;
  uint64_t made_ = 0;
};

}  // namespace

int RunReplay(const ReplayOptions& options) {
  base::KeepFreedMemory(16 << 20);  // as weft does
  base::FakeClock clock;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  Dropper dropper;
  merge::Merge merge({}, {clock, ledger, metrics, dropper, {{"host.name", "bench"}}, "0"});
  normalize::Normalizer normalizer({}, {clock, ledger, metrics, merge.spans(), {}});
  Traffic traffic(options);
  const uint64_t start_ns = clock.MonotonicNs();
  uint64_t cpu_ns = 0, warm_exchanges = 0, warm_spans = 0;
  const auto drain = [&] {
    clock.Advance(kDrainNs);
    const uint64_t now_ns = clock.MonotonicNs();
    model::SegmentBatch batch = traffic.Until(now_ns - start_ns);
    for (model::Segment& segment : batch.items) segment.time_ns += start_ns;
    const uint64_t before_ns = CpuNs();
    static_cast<void>(normalizer.Push(std::move(batch)));
    if (now_ns / kTickNs != (now_ns - kDrainNs) / kTickNs) merge.Tick();
    cpu_ns += CpuNs() - before_ns;
  };
  // Until merge has decided which processes have an SDK.
  const uint64_t warm_ns = options.is_cold ? 0 : kHoldNs;
  while (clock.MonotonicNs() - start_ns < warm_ns) drain();
  cpu_ns = 0;
  warm_exchanges = traffic.exchanges();
  warm_spans = dropper.spans;
  while (traffic.exchanges() - warm_exchanges < options.exchanges) drain();
  const double seen = 2.0 * static_cast<double>(traffic.exchanges() - warm_exchanges);
  const double cpu = static_cast<double>(cpu_ns) / 1e9;

  Report report;
  report.Add("captured_requests", seen);
  report.Add("cpu_seconds", cpu);
  report.Add("requests_per_cpu_second", seen / cpu);
  report.Add("ns_per_request", cpu / seen * 1e9);
  report.Add("core_percent_at_10000", cpu / seen * 1e4 * 100);
  report.Add("spans_out", static_cast<double>(dropper.spans - warm_spans));
  report.Print(options.json);
  traffic.End();
  for (int i = 0; i < 100; ++i) drain();
  normalizer.Drain();
  static_cast<void>(merge.Flush());
  // Each exchange was seen from both ends and came out once for each.
  return options.loss_percent != 0 || dropper.spans == 2 * traffic.exchanges() ? 0 : 1;
}

}  // namespace weft::bench
