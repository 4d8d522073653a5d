#include "exporters/kafka/kafka.h"

#include <algorithm>
#include <utility>

namespace weft::exporters::kafka {
namespace {

using model::PushResult;

constexpr uint64_t kMessageOverhead = 512;
constexpr uint64_t kPauseNs = 1'000'000'000;

const base::Labels kLabels = {{"exporter", "kafka"}};

uint64_t LiveSpans(const model::OtlpBatch& batch) {
  if (batch.signal != model::Signal::kTraces) return batch.items;
  uint64_t live = 0;
  for (const model::SpanRef& span : batch.spans) live += span.dropped ? 0 : 1;
  return live;
}

std::string Join(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& item : list) out += (out.empty() ? "" : ",") + item;
  return out;
}

}  // namespace

// Shared by the messages of one batch; tells the receipt when the last of them has been settled.
struct Kafka::Promise {
  model::ReceiptHold hold;
  model::ReceiptFailure failure = model::ReceiptFailure::kNone;
  explicit Promise(model::ReceiptRef receipt) : hold(std::move(receipt)) {}
  Promise(const Promise&) = delete;
  Promise& operator=(const Promise&) = delete;
  ~Promise() {
    if (failure == model::ReceiptFailure::kNone)
      hold.Delivered();
    else
      hold.Fail(failure);
  }
};

base::ConfigBlock Describe(Options& o) {
  return {"exporters.kafka",
          {{.key = "brokers", .value = &o.brokers, .doc = "list of host:port; empty = off"},
           {.key = "topic", .value = &o.topic, .doc = "of the spans"},
           {.key = "encoding",
            .value = &o.encoding,
            .doc = "a request per trace, or one Jaeger span a message",
            .choices = {"otlp_proto", "jaeger_proto"}},
           {.key = "compression",
            .value = &o.compression,
            .doc = "of the message sets",
            .choices = {"none", "gzip", "lz4", "snappy", "zstd"}},
           {.key = "acks",
            .value = &o.acks,
            .doc = "brokers that must have a message",
            .choices = {"all", "1", "0"}},
           {.key = "max_message_bytes",
            .value = &o.max_message_bytes,
            .doc = "bytes; the brokers' message.max.bytes",
            .min = 1024,
            .max = 1'000'000'000},
           {.key = "queue_bytes",
            .value = &o.queue_bytes,
            .doc = "bytes; held until acknowledged",
            .min = 64 << 10},
           {.key = "shed_when_full",
            .value = &o.shed_when_full,
            .doc = "drop and count instead of answering \"retry later\""},
           {.key = "properties",
            .value = &o.properties,
            .doc = "list of \"name=value\" for librdkafka: security.protocol, sasl.*, ssl.*, …",
            .secret = true}}};
}

Kafka::Kafka(Options options, Deps deps, std::unique_ptr<Producer> producer)
    : options_(std::move(options)),
      encoding_(options_.encoding == "jaeger_proto" ? Encoding::kJaegerProto
                                                    : Encoding::kOtlpProto),
      deps_(deps),
      sent_spans_(deps.metrics.Get(base::MetricKind::kCounter, "otelcol_exporter_sent_spans_total",
                                   "spans that the collector has acknowledged", kLabels)),
      failed_spans_(deps.metrics.Get(
          base::MetricKind::kCounter, "otelcol_exporter_send_failed_spans_total",
          "spans given up: rejected by the collector or left at shutdown", kLabels)),
      queue_size_(deps.metrics.Get(base::MetricKind::kGauge, "otelcol_exporter_queue_size",
                                   "bytes held until delivered", kLabels)),
      retries_(deps.metrics.Get(base::MetricKind::kCounter, "weft_exporter_kafka_retries_total",
                                "messages handed to the client library again")),
      messages_(deps.metrics.Get(base::MetricKind::kCounter, "weft_exporter_kafka_messages_total",
                                 "messages made")),
      producer_(std::move(producer)) {}

Kafka::~Kafka() {
  producer_.reset();  // lets go of the messages
  ShedAll();
}

PushResult Kafka::Push(model::OtlpBatch&& batch) {
  const uint64_t bytes = batch.size_bytes();
  const bool full =
      held_bytes_ > 0 && held_bytes_ + bytes > static_cast<uint64_t>(options_.queue_bytes);
  if ((full || draining_) && !options_.shed_when_full) return PushResult::kBusy;
  const uint64_t spans = LiveSpans(batch);
  deps_.ledger.In(spans);
  std::shared_ptr<Promise> promise;
  if (batch.receipt) promise = std::make_shared<Promise>(std::move(batch.receipt));
  const bool traces = batch.signal == model::Signal::kTraces;
  if (!traces || full || draining_) {
    deps_.ledger.Lose(traces ? base::Loss::kShed : base::Loss::kRejected,
                      !traces ? "signal"
                      : full  ? "kafka_queue_full"
                              : "shutdown",
                      spans);
    failed_spans_.Add(traces ? spans : 0);
    if (promise && spans > 0)
      promise->failure = traces ? model::ReceiptFailure::kLost : model::ReceiptFailure::kRejected;
    batch = {};
    return PushResult::kTaken;
  }
  deps_.ledger.Held(static_cast<int64_t>(spans));
  uint64_t unread = spans;
  const uint64_t most = std::max(static_cast<uint64_t>(options_.queue_bytes), 4 * bytes);
  for (Message& message :
       MakeMessages(batch, encoding_, static_cast<uint64_t>(options_.max_message_bytes), most)) {
    const uint64_t charge = message.payload.size() + kMessageOverhead;
    const uint64_t id = next_id_++;
    unread -= message.spans;
    held_bytes_ += charge;
    messages_.Add(1);
    open_.emplace(id, Open{std::move(message), promise, charge});
    Hand(id);
  }
  if (unread > 0) {
    deps_.ledger.Lose(base::Loss::kRejected, "encoding", unread);
    deps_.ledger.Held(-static_cast<int64_t>(unread));
    if (promise) promise->failure = model::ReceiptFailure::kRejected;
  }
  queue_size_.Set(static_cast<int64_t>(held_bytes_));
  batch = {};
  return PushResult::kTaken;
}

void Kafka::Hand(uint64_t id) {
  const Message& message = open_.at(id).message;
  if (!producer_->Send(options_.topic, message.key, message.payload.view(), id))
    unsent_.push_back(id);
}

void Kafka::Poll() {
  if (producer_ == nullptr) return;  // drained
  producer_->Poll([this](uint64_t id, Delivery delivery, std::string_view error) {
    Settled(id, delivery, error);
  });
  if (deps_.clock.MonotonicNs() >= send_again_ns_) SendAgain();
  queue_size_.Set(static_cast<int64_t>(held_bytes_));
  if (!draining_ || !drained_) return;
  if (!open_.empty() && deps_.clock.MonotonicNs() < drain_end_ns_) return;
  if (!open_.empty()) {
    producer_.reset();  // lets go of the messages
    ShedAll();
  }
  if (auto done = std::exchange(drained_, nullptr)) done();
}

void Kafka::Settled(uint64_t id, Delivery delivery, std::string_view error) {
  auto found = open_.find(id);
  if (found == open_.end()) return;
  const uint64_t spans = found->second.message.spans;
  if (delivery != Delivery::kDelivered && log_.Allow(deps_.clock.MonotonicNs()))
    spdlog::warn("kafka {} {} spans of topic {}: {}",
                 delivery == Delivery::kRefused ? "refuses" : "does not take now", spans,
                 options_.topic, error);
  if (delivery == Delivery::kLater) {
    retries_.Add(1);
    unsent_.push_back(id);
    send_again_ns_ = deps_.clock.MonotonicNs() + kPauseNs;
    return;
  }
  // Its promise is settled by its end, when nothing here is half done: the source that is told may
  // push the next batch at once.
  Open open = std::move(found->second);
  open_.erase(found);
  if (delivery == Delivery::kDelivered) {
    deps_.ledger.Out(spans);
    sent_spans_.Add(spans);
  } else {
    deps_.ledger.Lose(base::Loss::kRejected, "refused", spans);
    failed_spans_.Add(spans);
    if (open.promise) open.promise->failure = model::ReceiptFailure::kRejected;
  }
  Release(open);
}

// A message that finds no room goes to the back: then there is none for the others either.
void Kafka::SendAgain() {
  for (size_t left = unsent_.size(); left > 0; --left) {
    const uint64_t id = unsent_.front();
    unsent_.pop_front();
    const size_t before = unsent_.size();
    Hand(id);
    if (unsent_.size() > before) break;
  }
}

void Kafka::Release(const Open& open) {
  deps_.ledger.Held(-static_cast<int64_t>(open.message.spans));
  held_bytes_ -= open.charge;
}

void Kafka::Drain(std::chrono::nanoseconds budget, std::function<void()> done) {
  draining_ = true;
  drain_end_ns_ = deps_.clock.MonotonicNs() + static_cast<uint64_t>(budget.count());
  send_again_ns_ = 0;
  drained_ = std::move(done);
}

void Kafka::ShedAll() {
  unsent_.clear();
  for (auto& [id, open] : open_) {
    deps_.ledger.Lose(base::Loss::kShed, "shutdown", open.message.spans);
    failed_spans_.Add(open.message.spans);
    if (open.promise) open.promise->failure = model::ReceiptFailure::kLost;
    Release(open);
  }
  open_.clear();
  queue_size_.Set(0);
}

base::Result<std::unique_ptr<Kafka>> Open(Options options, Deps deps) {
  std::vector<std::pair<std::string, std::string>> properties = {
      {"bootstrap.servers", Join(options.brokers)},
      {"client.id", "weft"},
      {"acks", options.acks},
      {"compression.codec", options.compression},
      {"message.max.bytes", std::to_string(options.max_message_bytes)},
      {"linger.ms", "50"},
      // There is no time after which weft gives up.
      {"message.timeout.ms", "0"},
      {"retries", "2147483647"},
      // The exporter's own bound is the one that counts.
      {"queue.buffering.max.messages", "10000000"},
      {"queue.buffering.max.kbytes", std::to_string(options.queue_bytes / 1024 * 2 + 1024)},
  };
  for (const std::string& line : options.properties) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos)
      return base::Error("exporters.kafka.properties: an entry is not \"name=value\"");
    properties.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  auto producer = NewProducer(properties);
  if (!producer.ok()) return base::Context("exporters.kafka", producer.status());
  return std::make_unique<Kafka>(std::move(options), deps, *std::move(producer));
}

}  // namespace weft::exporters::kafka
