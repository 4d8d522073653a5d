// File: appends spans to a file, one OTLP/JSON ExportTraceServiceRequest per line, as the file
// exporter of the OpenTelemetry Collector writes it. A thread of its own encodes and writes; when
// it cannot keep up, or the disk is full, spans are shed and counted, and the others of the agent's
// exporters notice nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/config_view.h"
#include "base/ledger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/sink.h"
#include "model/worker_queue.h"

namespace weft::exporters::file {

struct Options {
  std::string path = "";  // empty = off
  int64_t queue_bytes = 16 << 20;
  int64_t max_bytes = 0;  // of the file; 0 = no limit
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
// next batch; a line is never left half-written in a regular file. One that is full sheds
// "file_full" until it has been moved or cut.
class File final : public model::Sink<model::OtlpBatch> {
 public:
  File(Options options, Deps deps);
  // As Stop with no time left.
  ~File() override;

  void Start() { queue_.Start(); }
  // Always kTaken; sheds "file_queue_full" when there is no room and "shutdown" after Stop.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override {
    return queue_.Push(std::move(batch));
  }
  // Writes what is queued, until `deadline`; what remains is shed, reason "shutdown".
  void Stop(std::chrono::steady_clock::time_point deadline);

 private:
  void Write(const model::OtlpBatch& batch, uint64_t spans);
  bool EnsureOpen();
  bool IsFull() const;
  bool WriteLine();
  bool WriteSome(size_t* written);
  void CloseIfMoved();
  void Close();

  const Options options_;
  Deps deps_;
  base::Metric& written_bytes_;

  // The writer thread's own.
  int fd_ = -1;
  uint64_t checked_ns_ = 0;
  std::string line_;
  base::LogLimiter error_log_{10'000'000'000};
  // Last: its thread uses all of the above.
  model::WorkerQueue queue_;
};

}  // namespace weft::exporters::file
