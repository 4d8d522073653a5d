#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "base/inflate.h"
#include "commands.h"
#include "load_run.h"
#include "report.h"

namespace weft::bench {
namespace {

constexpr uint32_t kSamples = 16;

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

}  // namespace

std::vector<Payload> Prepare(const LoadOptions& options) {
  const Protocol& protocol = FindProtocol(options.protocol);
  std::vector<Payload> samples;
  for (uint32_t i = 0; i < kSamples; ++i)
    samples.push_back(protocol.encode(MakeSample(options.shape, i)));
  if (protocol.transport == Transport::kUdp) return samples;
  std::vector<Payload> payloads;
  for (uint32_t i = 0; i < options.in_flight; ++i) payloads.push_back(samples[i % kSamples]);
  return payloads;
}

uint64_t Serial(const LoadOptions& options, uint64_t n) {
  return static_cast<uint64_t>(options.seed) << 40 | n;
}

void Compress(const LoadOptions& options, const std::string& bytes, base::ByteBuffer* out) {
  base::Compression compression = base::Compression::kNone;
  base::CompressionFromName(options.compression, &compression);
  out->clear();
  if (!base::Deflate(compression, base::AsBytes(bytes), out).ok()) {
    std::fprintf(stderr, "weft-bench: %s failed\n", options.compression.c_str());
    std::exit(1);
  }
}

int RunLoad(const LoadOptions& options) {
  const Protocol& protocol = FindProtocol(options.protocol);
  const bool is_udp = protocol.transport == Transport::kUdp;
  if (is_udp && options.compression != "none") {
    std::fprintf(stderr, "weft-bench: %s has no compression\n", options.protocol.c_str());
    return 2;
  }
  std::vector<Payload> payloads = Prepare(options);
  const size_t request_bytes = payloads.front().bytes.size();
  const double cpu_before = OwnCpuSeconds();
  Schedule schedule(options);
  const auto run = protocol.transport == Transport::kGrpc ? RunGrpcLoad
                   : is_udp                               ? RunUdpLoad
                                                          : RunHttpLoad;
  Totals totals = run(options, std::move(payloads), schedule);
  const double seconds = schedule.Seconds();
  const double spans = static_cast<double>(is_udp ? totals.sent : totals.acknowledged) *
                       options.shape.spans_per_request;
  const double cpu = OwnCpuSeconds() - cpu_before;
  Report report;
  report.Add("seconds", seconds);
  report.Add("requests_sent", static_cast<double>(totals.sent));
  report.Add("requests_acknowledged", static_cast<double>(totals.acknowledged));
  report.Add("requests_refused", static_cast<double>(totals.refused));
  report.Add("errors", static_cast<double>(totals.errors));
  report.Add("request_bytes", static_cast<double>(request_bytes));
  report.Add("spans", spans);
  report.Add("spans_per_second", spans / seconds);
  for (auto [name, q] : {std::pair{"ack_p50_us", 0.5}, {"ack_p99_us", 0.99}, {"ack_max_us", 1.0}})
    report.Add(name, static_cast<double>(totals.latency.Quantile(q)) / 1000);
  report.Add("own_cpu_seconds", cpu);
  report.Add("spans_per_own_cpu_second", cpu > 0 ? spans / cpu : 0);
  report.Print(options.json);
  return totals.errors == 0 ? 0 : 1;
}

}  // namespace weft::bench
