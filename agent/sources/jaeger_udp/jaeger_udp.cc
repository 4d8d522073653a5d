#include "sources/jaeger_udp/jaeger_udp.h"

#include <algorithm>
#include <array>
#include <bit>

#include "net/event_loop.h"
#include "protocols/jaeger/transcode.h"
#include "protocols/otlp/index.h"
#include "protocols/zipkin/transcode.h"
#include "sources/jaeger_udp/client_losses.h"
#include "sources/jaeger_udp/port.h"
#include "sources/jaeger_udp/senders.h"

namespace weft::sources::jaeger_udp {
namespace {

// For reading what the kernel still holds when the receiver stops.
constexpr std::chrono::milliseconds kMaxStop{300};

namespace jaeger = protocols::jaeger;
namespace otlp = protocols::otlp;
namespace zipkin = protocols::zipkin;
using base::Loss;
using base::MetricKind;

constexpr std::chrono::seconds kDropsPeriod{1};
constexpr size_t kKeptScratchBytes = 1 << 20;

// How long datagrams may gather in the kernel before the next look when they come in a stream: a
// wake-up costs more than a datagram. A buffer of 4 MiB holds more than 1 ms of what one core can
// take, four times over; small buffers are read at once.
constexpr std::chrono::microseconds kMaxPause{4000}, kMinPause{500};
constexpr size_t kBufferBytesPerMs = 4 << 20;
constexpr int kBunchesPerLook = 8;

std::chrono::microseconds PauseFor(size_t buffer_bytes) {
  const std::chrono::microseconds pause(buffer_bytes * 1000 / kBufferBytesPerMs);
  return pause < kMinPause ? std::chrono::microseconds(0) : std::min(pause, kMaxPause);
}

// The names under which the Jaeger agent counted per port.
struct PortMetrics {
  PortMetrics(base::MetricRegistry& metrics, const char* protocol, const char* model)
      : processed(Get(metrics, "packets_processed_total", "Datagrams read.", protocol, model)),
        dropped(Get(metrics, "packets_dropped_total", "Datagrams lost for want of room.", protocol,
                    model)),
        bad(Get(metrics, "read_errors_total", "Datagrams that could not be understood.", protocol,
                model)),
        packet_size(Get(metrics, "packet_size", "Bytes of the last datagram.", protocol, model,
                        MetricKind::kGauge)) {}
  static base::Metric& Get(base::MetricRegistry& metrics, const char* name, const char* help,
                           const char* protocol, const char* model,
                           MetricKind kind = MetricKind::kCounter) {
    return metrics.Get(kind, std::string("jaeger_agent_thrift_udp_server_") + name, help,
                       {{"protocol", protocol}, {"model", model}});
  }
  base::Metric& processed;
  base::Metric& dropped;
  base::Metric& bad;
  base::Metric& packet_size;
};

// What the agent's reporter counted when it had passed a batch on; here: into the pipeline.
base::Metric& ReporterMetric(base::MetricRegistry& metrics, const char* name, const char* help) {
  return metrics.Get(MetricKind::kCounter, std::string("jaeger_agent_reporter_") + name, help,
                     {{"format", "jaeger"}, {"protocol", "grpc"}});
}

base::Metric& CollectorMetric(base::MetricRegistry& metrics, const char* name, const char* help) {
  return metrics.Get(MetricKind::kCounter, name, help,
                     {{"receiver", "jaeger"}, {"transport", "udp"}});
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  return {"receivers.jaeger_udp",
          {{"enabled", &options.enabled, "Receive spans of Jaeger clients over UDP."},
           {"compact_endpoint", &options.compact_endpoint,
            "Address and port for thrift compact; empty: not opened."},
           {"binary_endpoint", &options.binary_endpoint,
            "Address and port for thrift binary (the Node client); empty: not opened."},
           {"legacy_endpoint", &options.legacy_endpoint,
            "Address and port for clients of old, thrift compact; empty: not opened."}}};
}

class Receiver::Impl {
 public:
  Impl(Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
      : options_(std::move(options)),
        deps_(std::move(deps)),
        next_(next),
        senders_(deps_.peers),
        losses_(deps_.metrics),
        datagrams_(deps_.ledger.Row("receiver jaeger_udp datagrams", "datagrams")),
        spans_(deps_.ledger.Row("receiver jaeger_udp", "spans")),
        compact_{options_.compact_endpoint,
                 jaeger::Encoding::kCompact,
                 {deps_.metrics, "compact", "jaeger"},
                 {}},
        binary_{options_.binary_endpoint,
                jaeger::Encoding::kBinary,
                {deps_.metrics, "binary", "jaeger"},
                {}},
        legacy_{options_.legacy_endpoint,
                jaeger::Encoding::kCompact,
                {deps_.metrics, "compact", "zipkin"},
                {}},
        batches_submitted_(ReporterMetric(deps_.metrics, "batches_submitted_total",
                                          "Batches of Jaeger clients that were passed on.")),
        batches_failed_(ReporterMetric(deps_.metrics, "batches_failures_total",
                                       "Batches of Jaeger clients that could not be.")),
        spans_submitted_(ReporterMetric(deps_.metrics, "spans_submitted_total",
                                        "Spans of Jaeger clients that were passed on.")),
        spans_failed_(ReporterMetric(deps_.metrics, "spans_failures_total",
                                     "Spans of Jaeger clients that could not be.")),
        accepted_(CollectorMetric(deps_.metrics, "otelcol_receiver_accepted_spans_total",
                                  "Spans taken into the pipeline.")),
        refused_(CollectorMetric(deps_.metrics, "otelcol_receiver_refused_spans_total",
                                 "Spans that could not be taken into the pipeline.")),
        bytes_(deps_.metrics.Get(MetricKind::kCounter,
                                 "weft_sources_jaeger_udp_received_bytes_total",
                                 "Bytes of the datagrams that were read.")),
        repaired_(deps_.metrics.Get(
            MetricKind::kCounter, "weft_sources_jaeger_udp_repaired_strings_total",
            "Strings that were not UTF-8 and had their bad bytes replaced.")) {}

  base::Status Start() {
    for (Input* input : Inputs()) {
      if (input->endpoint.empty()) continue;
      const base::Status opened = input->port.Open(input->endpoint);
      if (!opened.ok()) {
        Stop(std::chrono::steady_clock::time_point::min());
        return base::Context("receivers.jaeger_udp: " + input->endpoint, opened);
      }
      input->pause = PauseFor(input->port.buffer_bytes());
      Watch(*input);
    }
    timer_ = deps_.loop.RunEvery(kDropsPeriod, [this] {
      for (Input* input : Inputs()) CountKernelDrops(*input);
    });
    return base::Ok();
  }

  void Stop(std::chrono::steady_clock::time_point deadline) {
    deps_.loop.Cancel(std::exchange(timer_, 0));
    // Clients go on sending: what is read here must not use up the time of the stages behind.
    deadline = std::min(deadline, std::chrono::steady_clock::now() + kMaxStop);
    for (Input* input : Inputs()) {
      if (!input->port.is_open()) continue;
      deps_.loop.Unwatch(input->port.fd());
      deps_.loop.Cancel(std::exchange(input->looks, 0));
      while (std::chrono::steady_clock::now() < deadline &&
             ReadBunch(*input) == Bunch::kDatagrams) {
      }
      CountKernelDrops(*input);
      input->port.Close();
    }
  }

  uint16_t compact_port() const { return compact_.port.number(); }
  uint16_t binary_port() const { return binary_.port.number(); }
  uint16_t legacy_port() const { return legacy_.port.number(); }

 private:
  struct Input {
    const std::string endpoint;
    const jaeger::Encoding encoding;
    PortMetrics metrics;
    Port port;
    std::chrono::nanoseconds pause{0};  // 0: never
    uint64_t last_read_ns = 0;
    uint64_t looks = 0;  // the timer that reads, while the port is not watched
  };
  std::array<Input*, 3> Inputs() { return {&compact_, &binary_, &legacy_}; }

  void CountKernelDrops(Input& input) {
    const uint32_t drops = input.port.is_open() ? input.port.NewKernelDrops() : 0;
    if (drops == 0) return;
    datagrams_.In(drops);
    datagrams_.Lose(Loss::kShed, "kernel_buffer", drops);
    input.metrics.dropped.Add(drops);
  }

  // Woken by datagrams. When they come in a stream, the timer takes over.
  void Watch(Input& input) {
    deps_.loop.WatchReadable(input.port.fd(), [this, &input] {
      const uint64_t before_ns = std::exchange(input.last_read_ns, deps_.clock.MonotonicNs());
      ReadBunch(input);
      const uint64_t pause_ns = static_cast<uint64_t>(input.pause.count());
      if (before_ns == 0 || input.last_read_ns - before_ns >= pause_ns) return;
      deps_.loop.Unwatch(input.port.fd());
      input.looks = deps_.loop.RunEvery(input.pause, [this, &input] { Look(input); });
    });
  }

  // Read by the timer, until nothing came.
  void Look(Input& input) {
    size_t count = ReadBunch(input);
    if (count == 0) {
      deps_.loop.Cancel(std::exchange(input.looks, 0));
      input.last_read_ns = 0;
      Watch(input);
      return;
    }
    for (int i = 1; i < kBunchesPerLook && count == Bunch::kDatagrams; ++i)
      count = ReadBunch(input);
  }

  // One bunch: datagrams of one process go together, in their order, whoever else sent in between.
  // Returns how many datagrams there were.
  size_t ReadBunch(Input& input) {
    const size_t count = bunch_.Receive(input.port.fd());
    if (count == 0) return 0;
    const uint64_t now_ns = deps_.clock.MonotonicNs();
    uint64_t bytes = 0;
    std::array<model::ProcessRef, Bunch::kDatagrams> senders;
    for (size_t i = 0; i < count; ++i) {
      bytes += bunch_[i].bytes.size();
      senders[i] = senders_.Find(bunch_[i].sender, now_ns);
    }
    input.metrics.processed.Add(count);
    input.metrics.packet_size.Set(static_cast<int64_t>(bunch_[count - 1].bytes.size()));
    bytes_.Add(bytes);

    drained_ = false;
    uint64_t done = 0;  // bit per datagram
    for (size_t first = 0; first < count; ++first) {
      if (done >> first & 1) continue;
      uint64_t group = 0;
      for (size_t i = first; i < count; ++i) {
        if (senders[i] == senders[first]) group |= uint64_t{1} << i;
      }
      done |= group;
      TakeGroup(input, group, std::move(senders[first]), now_ns);
      senders[first] = nullptr;
    }
    return count;
  }

  void TakeGroup(Input& input, uint64_t group, model::ProcessRef sender, uint64_t now_ns);
  uint64_t TranscodeGroup(Input& input, uint64_t group, uint64_t now_ns);
  std::string_view TranscodeZipkin(const Input& input, const Datagram& datagram, uint64_t* spans);
  void Push(model::ProcessRef sender, uint64_t spans);

  const Options options_;
  const Deps deps_;
  model::Sink<model::OtlpBatch>& next_;
  Senders senders_;
  ClientLosses losses_;
  base::LedgerRow& datagrams_;
  base::LedgerRow& spans_;
  Input compact_, binary_, legacy_;
  base::Metric& batches_submitted_;
  base::Metric& batches_failed_;
  base::Metric& spans_submitted_;
  base::Metric& spans_failed_;
  base::Metric& accepted_;
  base::Metric& refused_;
  base::Metric& bytes_;
  base::Metric& repaired_;
  Bunch bunch_;
  base::ByteBuffer scratch_;  // the OTLP of one group; kept, so that transcoding allocates nothing
  bool drained_ = false;      // before_push was called for this bunch
  uint64_t timer_ = 0;
};

// What is charged to the credit is the size of the datagrams at first, and that of the OTLP bytes
// once it is known.
void Receiver::Impl::TakeGroup(Input& input, uint64_t group, model::ProcessRef sender,
                               uint64_t now_ns) {
  uint64_t charged = 0;
  for (uint64_t left = group; left != 0; left &= left - 1)
    charged += bunch_[std::countr_zero(left)].bytes.size();
  if (!deps_.credit.Take(charged)) {
    const uint64_t count = static_cast<uint64_t>(std::popcount(group));
    datagrams_.In(count);
    datagrams_.Lose(Loss::kShed, "no_credit", count);
    input.metrics.dropped.Add(count);
    return;
  }
  scratch_.clear();
  const uint64_t spans = TranscodeGroup(input, group, now_ns);
  if (scratch_.size() > charged && !deps_.credit.Take(scratch_.size() - charged)) {
    spans_.In(spans);
    spans_.Lose(Loss::kShed, "no_credit", spans);
    refused_.Add(spans);
    deps_.credit.Return(charged);
    return;
  }
  if (scratch_.size() < charged) deps_.credit.Return(charged - scratch_.size());
  if (!scratch_.empty()) Push(std::move(sender), spans);
  if (scratch_.capacity() > kKeptScratchBytes) scratch_ = base::ByteBuffer();
}

// Into scratch_; returns the number of spans.
uint64_t Receiver::Impl::TranscodeGroup(Input& input, uint64_t group, uint64_t now_ns) {
  uint64_t spans = 0, good = 0;
  for (uint64_t left = group; left != 0; left &= left - 1) {
    const Datagram& datagram = bunch_[std::countr_zero(left)];
    if (datagram.cut) {
      datagrams_.In(1);
      datagrams_.Lose(Loss::kRejected, "truncated", 1);
      input.metrics.bad.Add(1);
      continue;
    }
    jaeger::DatagramReport report;
    const auto status = jaeger::Transcode(datagram.bytes, input.encoding, &scratch_, &report);
    std::string_view why;
    if (status == jaeger::TranscodeStatus::kZipkinBatch) {
      why = TranscodeZipkin(input, datagram, &report.spans);
    } else if (status != jaeger::TranscodeStatus::kDone) {
      why = jaeger::StatusName(status);
    }
    if (!why.empty()) {
      datagrams_.In(1);
      datagrams_.Lose(Loss::kRejected, why, 1);
      input.metrics.bad.Add(1);
      continue;
    }
    ++good;
    spans += report.spans;
    losses_.Note(report.client, now_ns);
  }
  datagrams_.In(good);
  datagrams_.Out(good);
  return spans;
}

// The agent's other method. Returns why it failed; empty when it did not.
std::string_view Receiver::Impl::TranscodeZipkin(const Input& input, const Datagram& datagram,
                                                 uint64_t* spans) {
  zipkin::Report report;
  const auto status = zipkin::TranscodeCall(
      datagram.bytes, input.encoding == jaeger::Encoding::kCompact, {}, &scratch_, &report);
  if (status != zipkin::TranscodeStatus::kDone) return zipkin::StatusName(status);
  *spans = report.spans;
  spans_.In(report.bad_ids);
  spans_.Lose(Loss::kRejected, "zero_id", report.bad_ids);
  refused_.Add(report.bad_ids);
  return {};
}

// Hands on scratch_ with its `spans` spans; credit for its size is held. The spans are booked in
// together with what became of them: whoever reads the ledger during the push must not take them
// for lost.
void Receiver::Impl::Push(model::ProcessRef sender, uint64_t spans) {
  model::OtlpBatch batch;
  batch.receipt = std::make_shared<model::Receipt>(&deps_.credit, scratch_.size());
  batch.sender = std::move(sender);
  base::ByteBuffer bytes(scratch_.size());
  bytes.Append(scratch_.view());
  batch.spans.reserve(spans);
  const otlp::IndexReport report = otlp::Index(base::Share(std::move(bytes)), &batch);
  if (report.status != otlp::IndexStatus::kDone) {
    spans_.In(spans);
    spans_.Lose(Loss::kRejected, "index", spans);
    refused_.Add(spans);
    return;
  }
  repaired_.Add(report.bad_utf8);
  spans_.In(report.zero_ids);
  spans_.Lose(Loss::kRejected, "zero_id", report.zero_ids);
  refused_.Add(report.zero_ids);
  spans -= report.zero_ids;
  if (spans == 0) return;
  if (!std::exchange(drained_, true) && deps_.before_push) deps_.before_push();
  const model::ReceiptRef receipt = batch.receipt;
  if (next_.Push(std::move(batch)) == model::PushResult::kBusy) {
    spans_.In(spans);
    spans_.Lose(Loss::kShed, "busy", spans);
    refused_.Add(spans);
    batches_failed_.Add(1);
    spans_failed_.Add(spans);
    return;
  }
  receipt->Reach(model::ReceiptLevel::kTaken);
  spans_.In(spans);
  spans_.Out(spans);
  accepted_.Add(spans);
  batches_submitted_.Add(1);
  spans_submitted_.Add(spans);
}

Receiver::Receiver(Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(deps), next)) {}

Receiver::~Receiver() { impl_->Stop(std::chrono::steady_clock::time_point::min()); }

base::Status Receiver::Start() { return impl_->Start(); }
void Receiver::Stop(std::chrono::steady_clock::time_point deadline) { impl_->Stop(deadline); }
uint16_t Receiver::compact_port() const { return impl_->compact_port(); }
uint16_t Receiver::binary_port() const { return impl_->binary_port(); }
uint16_t Receiver::legacy_port() const { return impl_->legacy_port(); }

}  // namespace weft::sources::jaeger_udp
