// How fast the log appends and drains: spool_bench FOLDER [GIB]. One JSON object on stdout. Append
// is measured into the page cache (no sync until the end), with a sync every 20 ms, and the drain
// warm and, if the kernel lets it drop its cache, cold.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "spool/log.h"

namespace {

using namespace weft;
using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double RssMib() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

struct Bench {
  std::string folder;
  base::SystemClock clock;
  base::Ledger books;
  base::MetricRegistry metrics;

  std::unique_ptr<spool::Log> Open() {
    auto log = spool::Log::Open({folder, uint64_t{1} << 40, 64 << 20},
                                {spool::PosixFiles(), clock, books.Row("spool", "items"), metrics});
    if (!log.ok()) {
      std::fprintf(stderr, "%s\n", std::string(log.status().message()).c_str());
      std::exit(1);
    }
    return std::move(*log);
  }
};

void Append(spool::Log& log, const base::Gathered& payload, uint64_t bytes, bool sync) {
  Clock::time_point synced = Clock::now();
  for (uint64_t done = 0; done < bytes; done += payload.size) {
    if (!log.Append(payload, {.items = 512, .source = "bench"}, false).ok()) std::exit(2);
    if (!sync || Clock::now() - synced < std::chrono::milliseconds(20)) continue;
    if (!log.Commit().ok()) std::exit(3);
    synced = Clock::now();
  }
}

uint64_t Drain(spool::Log& log) {
  uint64_t bytes = 0;
  for (std::vector<spool::Record> some; !(some = log.Read(2 << 20)).empty();) {
    for (const spool::Record& record : some) {
      bytes += record.payload->size();
      log.Settle(record.key);
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 1;
  Bench bench;
  bench.folder = argv[1];
  const double gib = argc > 2 ? std::atof(argv[2]) : 2;
  const auto bytes = static_cast<uint64_t>(gib * (1 << 30));
  // 512 spans of 500 bytes in slices of about 2 KiB, as a batch with edits has them.
  const std::string text(512 * 500, 's');
  base::Gathered payload;
  for (size_t at = 0; at < text.size(); at += 2048)
    payload.Add(base::AsBytes(std::string_view(text).substr(at, 2048)));

  auto log = bench.Open();
  Clock::time_point start = Clock::now();
  double cpu = CpuSeconds();
  Append(*log, payload, bytes, false);
  const double append_seconds = Since(start), append_cpu = CpuSeconds() - cpu;
  if (!log->Commit().ok()) return 3;
  const double rss = RssMib();
  start = Clock::now();
  cpu = CpuSeconds();
  const uint64_t warm = Drain(*log);
  const double warm_seconds = Since(start), warm_cpu = CpuSeconds() - cpu;
  const double growth = RssMib() - rss;

  start = Clock::now();
  Append(*log, payload, bytes, true);
  if (!log->Commit().ok()) return 3;
  const double synced_seconds = Since(start);
  if (!log->SaveCursor(true).ok()) return 4;
  log.reset();
  bool cold = false;
  if (const int fd = open("/proc/sys/vm/drop_caches", O_WRONLY); fd >= 0) {
    cold = write(fd, "1", 1) == 1;
    close(fd);
  }
  log = bench.Open();
  start = Clock::now();
  cpu = CpuSeconds();
  const uint64_t again = Drain(*log);
  const double cold_seconds = Since(start), cold_cpu = CpuSeconds() - cpu;
  (void)log->SaveCursor(true);
  const double gb = static_cast<double>(warm) / 1e9;
  std::printf(
      "{\"gb\": %.2f, \"append_gb_per_s\": %.2f, \"append_gb_per_cpu_s\": %.2f, "
      "\"append_synced_gb_per_s\": %.2f, \"drain_warm_gb_per_s\": %.2f, "
      "\"drain_warm_gb_per_cpu_s\": %.2f, \"drain_%s_gb_per_s\": %.2f, "
      "\"drain_%s_gb_per_cpu_s\": %.2f, \"rss_growth_mib\": %.1f, \"whole\": %s}\n",
      gb, gb / append_seconds, gb / append_cpu, gb / synced_seconds, gb / warm_seconds,
      gb / warm_cpu, cold ? "cold" : "restart", static_cast<double>(again) / 1e9 / cold_seconds,
      cold ? "cold" : "restart", static_cast<double>(again) / 1e9 / cold_cpu, growth,
      warm == again ? "true" : "false");
}
