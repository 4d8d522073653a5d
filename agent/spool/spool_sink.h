// SpoolSink: stands before the collector exporter and decides what goes to disk: what the exporter
// has no room for, and everything whose source has promised durability. What is only on disk is
// read back and sent when the exporter takes again, paced by its own deliveries. Knows the way of
// each batch through its receipt: the exporter gets one of the sink's own and answers there.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <unordered_set>

#include "base/ledger.h"
#include "base/metrics.h"
#include "model/otlp_batch.h"
#include "model/receipt.h"
#include "model/sink.h"
#include "spool/spool.h"

namespace weft::spool {

// Everything outlives the sink.
struct SinkDeps {
  Spool& spool;
  // kBusy when it has no room. Answers for what it takes with a ReceiptHold.
  model::Sink<model::OtlpBatch>& exporter;
  base::LedgerRow& ledger;  // the spool's
  base::MetricRegistry& metrics;
  // Runs a task on the data thread after a while.
  std::function<void(std::chrono::nanoseconds, std::function<void()>)> run_after;
  // The exporter delivers just now, so that its word can stand in for a disk that refuses. Empty:
  // always.
  std::function<bool()> exporter_is_well = {};
};

// Threads: the data thread. Order: Start? Push* Stop, then the exporter's drain with Keep*, Finish,
// then Spool::Close.
// A batch asks by its receipt's wish: kTaken and no receipt: memory, disk when the exporter is
// busy. kDurable: disk and, while there is room, the exporter at the same time. kDelivered: the
// exporter alone.
class SpoolSink final : public model::Sink<model::OtlpBatch> {
 public:
  explicit SpoolSink(SinkDeps deps);
  // What the disk has refused to the end is shed, reason "disk_refused".
  ~SpoolSink() override;

  // Begins to deliver what an earlier run has left.
  void Start();
  // kBusy when neither the exporter nor the spool has room for it, and after Stop.
  [[nodiscard]] model::PushResult Push(model::OtlpBatch&& batch) override;
  // Takes nothing more and reads nothing more back.
  void Stop() { stopped_ = true; }
  // What the exporter could not deliver before the end. False for what was never acknowledged: its
  // client has it still.
  bool Keep(model::Signal signal, const base::Gathered& payload, uint64_t items,
            const model::ReceiptRef& receipt);
  // Calls `done` when all that was kept is on disk, or cannot be, but not later than `budget`.
  void Finish(std::chrono::nanoseconds budget, std::function<void()> done);

  // Bytes that were read back and are not settled yet.
  uint64_t draining_bytes() const { return draining_bytes_; }

 private:
  // A batch that is on disk, or on its way there.
  struct Entry;
  using EntryRef = std::shared_ptr<Entry>;
  struct Drained {
    model::OtlpBatch batch;
    RecordKey key;
  };

  bool ExporterIsWell() const { return !deps_.exporter_is_well || deps_.exporter_is_well(); }
  model::PushResult PushDurable(model::OtlpBatch&& batch, uint64_t items);
  model::PushResult Overflow(model::OtlpBatch&& batch, uint64_t items);
  bool AppendEntry(const EntryRef& entry, bool claimed);
  void OnAppended(const EntryRef& entry, base::Result<RecordKey> key);
  void FinishIfDone(bool late);
  void OnSettled(const EntryRef& entry, bool delivered, model::ReceiptFailure failure);
  void AppendAgain();

  void Schedule(std::chrono::nanoseconds delay);
  void Pump();
  bool PushStalled();
  void OnRecords(std::vector<Record> records);
  bool MakeBatch(Record&& record, Drained* out);
  void OnDrained(const RecordKey& key, bool delivered, model::ReceiptFailure failure);
  std::chrono::nanoseconds Jittered(std::chrono::nanoseconds around);

  SinkDeps deps_;
  base::Metric &overflow_items_, &undecodable_records_;
  bool stopped_ = false;

  std::deque<EntryRef> unwritten_;     // acknowledged from memory, and the disk has refused them
  std::unordered_set<EntryRef> last_;  // kept at the end, not yet on disk
  uint64_t last_appends_ = 0, last_answers_ = 0;
  std::function<void()> finished_;

  bool reading_ = false, scheduled_ = false;
  std::deque<Drained> stalled_;  // read, and the exporter was busy
  uint64_t draining_bytes_ = 0;
  uint64_t window_;  // of draining_bytes_: doubles while deliveries come, halves when busy
  std::minstd_rand random_{std::random_device{}()};
  // Completions that come after the end find this gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace weft::spool
