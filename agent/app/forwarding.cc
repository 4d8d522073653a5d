#include "app/forwarding.h"

#include <utility>

#include "base/log.h"
#include "exporters/collector/open.h"
#include "protocols/otlp/gather.h"
#include "protocols/otlp/index.h"

namespace weft::app {

using namespace std::chrono_literals;

namespace {
// Enough for a full queue of the collector exporter on a slow disk.
constexpr std::chrono::seconds kKeepTime{5};
constexpr int64_t kQuarantineBytes = 64 << 20;
}  // namespace

Forwarding::~Forwarding() {
  if (spool_ != nullptr) spool_->Close();
  // What the collector still holds at its end is not offered to it any more.
  spool_sink_.reset();
}

model::ReceiptLevel Forwarding::acknowledge() const {
  if (settings_.spool.acknowledge == "delivered") return model::ReceiptLevel::kDelivered;
  const bool durable = spool_ != nullptr && settings_.spool.acknowledge == "durable";
  return durable ? model::ReceiptLevel::kDurable : model::ReceiptLevel::kTaken;
}

// A disk that cannot be used costs durability, not spans: weft forwards from memory and says so.
void Forwarding::OpenSpool() {
  base::LedgerRow& row = deps_.ledger.Row("spool", "items");
  auto opened = spool::Spool::Open(
      settings_.spool, {deps_.clock, row, deps_.metrics,
                        [this](std::function<void()> task) { deps_.loop.Post(std::move(task)); }});
  if (!opened.ok()) {
    spool_failure_ = std::string(opened.status().message());
    spdlog::error("spool: {}: batches are kept in memory only", spool_failure_);
    return;
  }
  spool_ = std::move(*opened);
  for (const std::string& problem : spool_->problems()) spdlog::warn("spool: {}", problem);
  spool_sink_ = std::make_unique<spool::SpoolSink>(
      spool::SinkDeps{*spool_, *collector_, row, deps_.metrics,
                      [this](std::chrono::nanoseconds delay, std::function<void()> task) {
                        deps_.loop.RunAfter(delay, std::move(task));
                      },
                      [this] { return collector_->well(); }});
}

void Forwarding::OpenQuarantine() {
  if (settings_.collector.quarantine_path.empty()) return;
  exporters::file::Options options;
  options.path = settings_.collector.quarantine_path;
  options.max_bytes = kQuarantineBytes;
  quarantine_ = std::make_unique<exporters::file::File>(
      options, exporters::file::Deps{deps_.ledger.Row("exporter quarantine", "spans"),
                                     deps_.metrics, deps_.clock});
  quarantine_->Start();
}

void Forwarding::Quarantine(model::Signal signal, const base::Gathered& payload) {
  if (quarantine_ == nullptr || signal != model::Signal::kTraces) return;
  namespace otlp = protocols::otlp;
  model::OtlpBatch batch;
  if (otlp::Index(base::Share(otlp::Flatten(payload)), &batch).status == otlp::IndexStatus::kDone)
    (void)quarantine_->Push(std::move(batch));  // a file takes or counts
}

base::Status Forwarding::OpenKafka() {
  exporters::kafka::Options options = settings_.kafka;
  // Of two exporters that both hold up the pipeline one could be asked twice for the same batch.
  if (collector_ != nullptr) options.shed_when_full = true;
  auto opened = exporters::kafka::Open(
      options, {deps_.ledger.Row("exporter kafka", "spans"), deps_.metrics, deps_.clock});
  if (!opened.ok()) return base::Context("exporters.kafka", opened.status());
  kafka_ = std::move(*opened);
  deps_.loop.RunEvery(10ms, [this] { kafka_->Poll(); });
  return base::Ok();
}

base::Status Forwarding::Open() {
  if (base::Status s = exporters::sampling::Check(settings_.sampling); !s.ok())
    return base::Context("sampling", s);
  if (base::Status s = exporters::resource::Check(settings_.resource); !s.ok()) return s;
  if (settings_.collector.enabled()) {
    OpenQuarantine();
    auto opened = exporters::collector::Open(
        deps_.loop, settings_.collector,
        {deps_.ledger.Row("exporter collector", "spans"), deps_.metrics, deps_.clock,
         /*other_signals=*/nullptr,
         [this](model::Signal signal, std::string_view, const base::Gathered& payload) {
           Quarantine(signal, payload);
         },
         [this](model::Signal signal, const base::Gathered& payload, uint64_t items,
                const model::ReceiptRef& receipt) {
           return spool_sink_ != nullptr && spool_sink_->Keep(signal, payload, items, receipt);
         }});
    if (!opened.ok()) return base::Context("exporters.collector", opened.status());
    collector_ = std::move(*opened);
  }
  if (!settings_.spool.directory.empty()) {
    if (collector_ == nullptr)
      return base::Error("spool.directory is set, but exporters.collector.endpoint is not");
    OpenSpool();
  }
  if (settings_.kafka.enabled())
    if (base::Status s = OpenKafka(); !s.ok()) return s;
  // The others do not say what became of a batch.
  if (acknowledge() == model::ReceiptLevel::kDelivered && !collector_ && !kafka_)
    return base::Error(
        "spool.acknowledge is delivered, but neither exporters.collector nor exporters.kafka is "
        "configured: nobody would confirm anything");
  if (!settings_.file.path.empty()) {
    file_ = std::make_unique<exporters::file::File>(
        settings_.file, exporters::file::Deps{deps_.ledger.Row("exporter file", "spans"),
                                              deps_.metrics, deps_.clock});
    file_->Start();
  }
  if (settings_.store.enabled) {
    store_ = std::make_unique<exporters::store::Store>(
        settings_.store,
        exporters::store::Deps{deps_.ledger.Row("exporter store", "spans"), deps_.metrics});
    store_->Start();
  }
  if (settings_.none.enabled)
    none_ = std::make_unique<exporters::none::None>(deps_.ledger.Row("exporter none", "spans"));
  if (!collector_ && !kafka_ && !file_ && !store_ && !none_)
    return base::Error(
        "every exporter is off: set exporters.collector.endpoint, exporters.file.path or "
        "exporters.store.enabled");
  return base::Ok();
}

model::Sink<model::OtlpBatch>& Forwarding::Build(FanOut::Branch tail) {
  std::vector<FanOut::Branch> shedding;
  if (file_) shedding.push_back({file_.get(), {}});
  if (store_) shedding.push_back({store_.get(), {}});
  if (none_) shedding.push_back({none_.get(), {}});
  model::Sink<model::OtlpBatch>* strict = kafka_.get();
  if (collector_ != nullptr) {
    strict = collector_.get();
    if (spool_sink_ != nullptr) strict = spool_sink_.get();
    if (kafka_ != nullptr) shedding.push_back({kafka_.get(), {}, /*answers=*/false});
  }
  shedding.push_back(std::move(tail));
  fan_out_ = std::make_unique<FanOut>(strict, std::move(shedding));
  if (spool_sink_ != nullptr) spool_sink_->Start();
  model::Sink<model::OtlpBatch>* first = fan_out_.get();
  if (settings_.resource.enabled()) {
    stamper_ = std::make_unique<exporters::resource::Stamper>(
        settings_.resource,
        exporters::resource::Deps{deps_.ledger.Row("resource", "items"), deps_.metrics, *first});
    first = stamper_.get();
  }
  if (!settings_.sampling.enabled) return *first;
  sampler_ = std::make_unique<exporters::sampling::Sampler>(
      settings_.sampling, exporters::sampling::Deps{deps_.ledger.Row("sampling", "spans"),
                                                    deps_.metrics, deps_.clock, *first});
  return *sampler_;
}

void Forwarding::Drain(std::chrono::nanoseconds budget, std::function<void()> done) {
  if (spool_sink_ != nullptr) spool_sink_->Stop();
  auto open = std::make_shared<int>(1 + (collector_ != nullptr) + (kafka_ != nullptr));
  auto one = [open, done = std::move(done)] {
    if (--*open == 0) done();
  };
  // What the collector has not taken by then goes to the disk.
  const auto to_disk = [this, one] {
    spool_sink_ != nullptr ? spool_sink_->Finish(kKeepTime, one) : one();
  };
  if (collector_ != nullptr) collector_->Drain(budget, to_disk);
  if (kafka_ != nullptr) kafka_->Drain(budget, one);
  if (spool_ != nullptr) {
    // Clients wait for the sync of what they sent last. A disk that hangs holds nobody up.
    ++*open;
    const auto once = [one, told = std::make_shared<bool>(false)] {
      if (!std::exchange(*told, true)) one();
    };
    spool_->Flush(once);
    deps_.loop.RunAfter(budget, once);
  }
  one();
}

void Forwarding::StopWorkers(std::chrono::steady_clock::time_point deadline) {
  if (spool_ != nullptr) spool_->Close();
  if (file_ != nullptr) file_->Stop(deadline);
  if (quarantine_ != nullptr) quarantine_->Stop(deadline);
  if (store_ != nullptr) store_->Stop(deadline);
}

}  // namespace weft::app
