#include "contract/sink/sinks.h"

#include <filesystem>

#include "exporters/collector/scripted_peer.h"
#include "exporters/file/file.h"
#include "exporters/kafka/scripted_producer.h"
#include "exporters/none/none.h"
#include "exporters/resource/stamper.h"
#include "exporters/sampling/sampler.h"
#include "exporters/store/store.h"

namespace weft::contract {
namespace {

using exporters::collector::ScriptedPeer;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int64_t kLittleRoom = 64 << 10;

class CollectorUnderTest final : public SinkUnderTest {
 public:
  CollectorUnderTest()
      : exporter_({.max_batch_bytes = 8192, .queue_bytes = kLittleRoom},
                  {row, metrics, peer_.clock},
                  std::make_unique<exporters::collector::ScriptedTransport>(peer_),
                  std::make_unique<exporters::collector::ScriptedTimers>(peer_)) {}
  model::Sink<model::OtlpBatch>& sink() override { return exporter_; }
  void Work(uint32_t dice) override {
    peer_.Advance(milliseconds(dice % 300));
    if (peer_.calls.empty()) return;
    size_t index = dice % peer_.calls.size();
    switch (dice % 7) {
      case 0:
        return peer_.Break(index);
      case 1:
        return peer_.Fail(14, "", index);
      case 2:
        return peer_.Fail(3, "", index);
      case 3:
        return peer_.Fail(8, "too large", index);
      default:
        return peer_.Succeed(index);
    }
  }
  void Drain(milliseconds budget) override {
    exporter_.Drain(budget, [this] { ended_ = true; });
    for (milliseconds passed{0}; !ended_ && passed <= budget; passed += milliseconds(10)) {
      if (!peer_.calls.empty()) peer_.Succeed();
      peer_.Advance(milliseconds(10));
    }
  }

 private:
  ScriptedPeer peer_;
  exporters::collector::Collector exporter_;
  bool ended_ = false;
};

class FileUnderTest final : public SinkUnderTest {
 public:
  FileUnderTest()
      : path_(NewFolder() / "spans.jsonl"),
        exporter_({.path = path_, .queue_bytes = kLittleRoom}, {row, metrics, clock_}) {
    exporter_.Start();
  }
  ~FileUnderTest() override {
    exporter_.Stop(steady_clock::now());  // its thread must not write into the folder any more
    std::filesystem::remove_all(path_.parent_path());
  }
  model::Sink<model::OtlpBatch>& sink() override { return exporter_; }
  void Work(uint32_t) override {}
  void Drain(milliseconds budget) override { exporter_.Stop(steady_clock::now() + budget); }

 private:
  static std::filesystem::path NewFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "weft_sink_XXXXXX";
    return ::mkdtemp(pattern.data()) != nullptr ? pattern : "";
  }
  std::filesystem::path path_;
  base::SystemClock clock_;
  exporters::file::File exporter_;
};

class StoreUnderTest final : public SinkUnderTest {
 public:
  StoreUnderTest()
      : exporter_({.max_bytes = 256 << 10, .queue_bytes = kLittleRoom}, {row, metrics}) {
    exporter_.Start();
  }
  model::Sink<model::OtlpBatch>& sink() override { return exporter_; }
  void Work(uint32_t) override { (void)exporter_.Find({}); }
  void Drain(milliseconds budget) override { exporter_.Stop(steady_clock::now() + budget); }

 private:
  exporters::store::Store exporter_;
};

class NoneUnderTest final : public SinkUnderTest {
 public:
  model::Sink<model::OtlpBatch>& sink() override { return exporter_; }
  void Work(uint32_t) override {}
  void Drain(milliseconds) override {}

 private:
  exporters::none::None exporter_{row};
};

class KafkaUnderTest final : public SinkUnderTest {
 public:
  KafkaUnderTest()
      : exporter_({.queue_bytes = kLittleRoom}, {row, metrics, broker_.clock},
                  std::make_unique<exporters::kafka::ScriptedProducer>(broker_)) {}
  model::Sink<model::OtlpBatch>& sink() override { return exporter_; }
  void Work(uint32_t dice) override {
    using exporters::kafka::Delivery;
    broker_.room = dice % 50;
    while (!broker_.open.empty() && dice % 5 != 0) {
      broker_.Report(dice % broker_.open.size(), dice % 7 == 0   ? Delivery::kRefused
                                                 : dice % 7 == 1 ? Delivery::kLater
                                                                 : Delivery::kDelivered);
      dice /= 2;
    }
    broker_.clock.Advance(100'000'000);
    exporter_.Poll();
  }
  void Drain(milliseconds budget) override {
    bool ended = false;
    exporter_.Drain(budget, [&] { ended = true; });
    broker_.room = SIZE_MAX;
    for (milliseconds passed{0}; !ended && passed <= budget; passed += milliseconds(10)) {
      while (!broker_.open.empty()) broker_.Report(0, exporters::kafka::Delivery::kDelivered);
      broker_.clock.Advance(10'000'000);
      exporter_.Poll();
    }
  }

 private:
  exporters::kafka::ScriptedBroker broker_;
  exporters::kafka::Kafka exporter_;
};

// In front of a collector, so that what is behind it may be busy.
class SamplerUnderTest final : public SinkUnderTest {
 public:
  SamplerUnderTest()
      : sampler_({.enabled = true, .probability = 0.5, .spans_per_second = 1000},
                 {row, metrics, clock_, behind_.sink()}) {}
  model::Sink<model::OtlpBatch>& sink() override { return sampler_; }
  void Work(uint32_t dice) override {
    clock_.Advance(dice % 1'000'000'000);
    behind_.Work(dice);
  }
  void Drain(milliseconds budget) override { behind_.Drain(budget); }

 private:
  base::FakeClock clock_;
  CollectorUnderTest behind_;
  exporters::sampling::Sampler sampler_;
};

// In front of a collector too.
class StamperUnderTest final : public SinkUnderTest {
 public:
  model::Sink<model::OtlpBatch>& sink() override { return stamper_; }
  void Work(uint32_t dice) override { behind_.Work(dice); }
  void Drain(milliseconds budget) override { behind_.Drain(budget); }

 private:
  CollectorUnderTest behind_;
  exporters::resource::Stamper stamper_{{{"k8s.node.name=node-7"}}, {row, metrics, behind_.sink()}};
};

template <typename T>
std::function<std::unique_ptr<SinkUnderTest>()> Maker() {
  return [] { return std::make_unique<T>(); };
}

}  // namespace

const std::vector<SinkRow>& Sinks() {
  static const std::vector<SinkRow> rows = {
      {"collector", Maker<CollectorUnderTest>()}, {"file", Maker<FileUnderTest>()},
      {"kafka", Maker<KafkaUnderTest>()},         {"none", Maker<NoneUnderTest>()},
      {"resource", Maker<StamperUnderTest>()},    {"sampling", Maker<SamplerUnderTest>()},
      {"store", Maker<StoreUnderTest>(), true},
  };
  return rows;
}

}  // namespace weft::contract
