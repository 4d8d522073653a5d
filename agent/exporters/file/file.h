// File: appends spans to a file, one OTLP/JSON ExportTraceServiceRequest per line, as the file
// exporter of the OpenTelemetry Collector writes it. A thread of its own encodes and writes; when
// it cannot keep up, or the disk is full, spans are shed and counted, and the others of the agent's
// exporters notice nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/queue.h"
#include "model/otlp_batch.h"
#include "model/sink.h"

namespace weft::exporters::file {

struct Options {
  std::string path = "";  // empty = off
  int64_t queue_bytes = 16 << 20;
};

// The block exporters.file; points into `options`.
base::ConfigBlock Describe(Options& options);

// Everything outlives the exporter.
struct Deps {
  base::LedgerRow& ledger;  // "exporter file", in spans
  base::MetricRegistry& metrics;
  const base::Clock& clock;
};

// Threads: Push from one, Start and Stop from the one that owns it. Order: Start? Push* Stop*.
// Owns: the file and its writer thread.
// Fails: a file that cannot be opened or written sheds "write_error" and is opened again for the
// next batch; a line is never left half-written in a regular file.
class File final : public model::Sink<model::OtlpBatch> {
 public:
  File(Options options, Deps deps);
  // As Stop with no time left.
  ~File() override;

  void Start();
  // Always kTaken; sheds "file_queue_full" when there is no room and "shutdown" after Stop.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;
  // Writes what is queued, until `deadline`; what remains is shed, reason "shutdown".
  void Stop(std::chrono::steady_clock::time_point deadline);

 private:
  struct Work {
    model::OtlpBatch batch;
    uint64_t spans = 0;
  };

  void Run();
  void Write(const Work& work);
  void Shed(std::string_view reason, uint64_t spans);
  bool EnsureOpen();
  bool WriteLine();
  bool WriteSome(size_t* written);
  void CloseIfMoved();
  void Close();
  bool Expired() const;

  const Options options_;
  Deps deps_;
  base::Metric& written_bytes_;
  base::Metric& queue_bytes_;
  base::BoundedQueue<Work> queue_;
  std::thread writer_;
  std::atomic<bool> stopping_{false};
  // Nanoseconds of steady_clock; read once `stopping_` is set.
  std::atomic<int64_t> deadline_{0};

  // The writer thread's own.
  int fd_ = -1;
  uint64_t checked_ns_ = 0;
  std::string line_;
  base::LogLimiter error_log_{10'000'000'000};
};

}  // namespace weft::exporters::file
