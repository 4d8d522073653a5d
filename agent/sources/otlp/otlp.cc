#include "sources/otlp/otlp.h"

#include <array>

#include "base/log.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/json_read.h"
#include "sources/otlp/answer.h"

namespace weft::sources::otlp {
namespace {

namespace wire = protocols::otlp;
using base::Loss;
using base::MetricKind;

constexpr uint64_t kPeerKnownNs = 1'000'000'000, kPeerUnknownNs = 100'000'000;
constexpr std::string_view kZeroIdReason = "spans without a trace id or span id";

// The signals that are not taken (yet), so that their senders get a clear answer.
struct OtherSignal {
  std::string_view name, grpc_path, http_path;
};
constexpr std::string_view kTraceGrpcPath =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr std::string_view kTraceHttpPath = "/v1/traces";
constexpr std::array<OtherSignal, 3> kOtherSignals{{
    {"metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/v1/metrics"},
    {"logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"},
    {"profiles", "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
     "/v1development/profiles"},
}};

}  // namespace

base::ConfigBlock Describe(Options& options, std::string_view name) {
  return {
      "receivers." + std::string(name),
      {{"enabled", &options.enabled, "Receive OTLP traces on this port."},
       {"endpoint", &options.endpoint, "Address and port; gRPC and HTTP are both spoken on it."},
       {"max_connections", &options.max_connections,
        "Connections at a time; further ones are closed.", 1, 1 << 20},
       {"max_body_bytes", &options.max_body_bytes,
        "Bytes of one request, also after decompression.", 1024, int64_t{1} << 30}}};
}

class Receiver::Impl {
 public:
  Impl(std::string name, Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
      : name_(std::move(name)),
        options_(std::move(options)),
        deps_(std::move(deps)),
        next_(next),
        requests_(deps_.ledger.Row("receiver " + name_ + " requests", "requests")),
        spans_(deps_.ledger.Row("receiver " + name_, "spans")),
        grpc_(deps_.metrics, "grpc"),
        http_(deps_.metrics, "http"),
        repaired_(deps_.metrics.Get(MetricKind::kCounter,
                                    "weft_sources_otlp_repaired_strings_total",
                                    "Strings that were not UTF-8 and had their bad bytes replaced.",
                                    {{"receiver", name_}})) {
    for (size_t i = 0; i < kOtherSignals.size(); ++i) {
      other_signals_[i] =
          &deps_.metrics.Get(MetricKind::kCounter, "weft_sources_otlp_other_signal_requests_total",
                             "Requests with a signal that is not taken.",
                             {{"receiver", name_}, {"signal", std::string(kOtherSignals[i].name)}});
    }
  }

  base::Status Start() {
    net::ListenerOptions listen;
    listen.endpoint = options_.endpoint;
    listen.max_connections = static_cast<size_t>(options_.max_connections);
    listen.max_body_bytes = static_cast<uint64_t>(options_.max_body_bytes);
    listen.name = name_;
    listen.metrics = &deps_.metrics;
    auto opened = net::Listener::Open(deps_.loop, std::move(listen), deps_.credit,
                                      [this](net::Request&& request, net::Responder responder) {
                                        responder.Send(Answer(std::move(request)));
                                      });
    if (!opened.ok()) return base::Context("receivers." + name_, opened.status());
    listener_ = std::move(*opened);
    stopped_ = false;
    return base::Ok();
  }

  void Stop() {
    stopped_ = true;
    if (listener_) listener_->Close();
  }

  std::string_view name() const { return name_; }
  uint16_t port() const { return listener_ ? listener_->port() : 0; }

 private:
  // Under the Collector's names, so that existing dashboards work.
  struct Transport {
    Transport(base::MetricRegistry& metrics, const char* transport)
        : accepted(Get(metrics, "otelcol_receiver_accepted_spans_total",
                       "Spans taken into the pipeline.", transport)),
          refused(Get(metrics, "otelcol_receiver_refused_spans_total",
                      "Spans that could not be taken into the pipeline.", transport)) {}
    static base::Metric& Get(base::MetricRegistry& metrics, const char* name, const char* help,
                             const char* transport) {
      return metrics.Get(MetricKind::kCounter, name, help,
                         {{"receiver", "otlp"}, {"transport", transport}});
    }
    base::Metric& accepted;
    base::Metric& refused;
  };

  net::Response Answer(net::Request request);  // by value: its credit returns with the answer
  net::Response AnswerOther(const net::Request& request);
  net::Response Export(net::Request&& request, Encoding encoding);
  net::Response Reject(Encoding encoding, std::string_view reason, std::string_view text);
  model::ProcessRef Sender(const model::Endpoint& peer);

  const std::string name_;
  const Options options_;
  const Deps deps_;
  model::Sink<model::OtlpBatch>& next_;
  base::LedgerRow& requests_;
  base::LedgerRow& spans_;
  Transport grpc_, http_;
  base::Metric& repaired_;
  std::array<base::Metric*, kOtherSignals.size()> other_signals_{};
  std::array<bool, kOtherSignals.size()> told_{};  // logged once
  bool stopped_ = true;
  // The last peer asked for: a client's connection usually sends several requests in a row.
  model::Endpoint peer_;
  model::ProcessRef peer_process_;
  uint64_t peer_until_ns_ = 0;
  std::unique_ptr<net::Listener> listener_;
};

net::Response Receiver::Impl::Answer(net::Request request) {
  if (request.is_grpc) {
    if (request.path != kTraceGrpcPath) return AnswerOther(request);
    return Export(std::move(request), Encoding::kGrpc);
  }
  if (request.path != kTraceHttpPath) return AnswerOther(request);
  if (request.method != "POST") {
    net::Response response = Plain(405, "405 method not allowed, supported: [POST]");
    response.headers.emplace_back("allow", "POST");
    return response;
  }
  Encoding encoding;
  if (!EncodingFromContentType(request.Header("content-type"), &encoding)) {
    return Plain(
        415, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
  }
  return Export(std::move(request), encoding);
}

net::Response Receiver::Impl::AnswerOther(const net::Request& request) {
  for (size_t i = 0; i < kOtherSignals.size(); ++i) {
    const OtherSignal& signal = kOtherSignals[i];
    if (request.path != (request.is_grpc ? signal.grpc_path : signal.http_path)) continue;
    other_signals_[i]->Add(1);
    if (!std::exchange(told_[i], true)) {
      spdlog::warn(
          "{}: somebody sends {}, which weft does not take; configure that exporter elsewhere or "
          "turn it off",
          name_, signal.name);
    }
    const std::string text = "weft does not take " + std::string(signal.name);
    return request.is_grpc ? Unimplemented(text) : Plain(404, text);
  }
  return request.is_grpc ? Unimplemented("unknown method") : Plain(404, "404 page not found");
}

net::Response Receiver::Impl::Reject(Encoding encoding, std::string_view reason,
                                     std::string_view text) {
  requests_.In(1);
  requests_.Lose(Loss::kRejected, reason, 1);
  return BadRequest(encoding, text);
}

// What comes in is booked together with what became of it: the push in between may take long, and
// whoever reads the ledger meanwhile must not take that for a loss.
net::Response Receiver::Impl::Export(net::Request&& request, Encoding encoding) {
  Transport& transport = encoding == Encoding::kGrpc ? grpc_ : http_;
  if (stopped_) {
    requests_.In(1);
    requests_.Lose(Loss::kShed, "stopped", 1);
    return Busy(encoding);
  }
  base::ByteBuffer bytes = std::move(request.body);
  if (encoding == Encoding::kJson) {
    base::ByteBuffer proto;
    std::string error;
    if (!wire::JsonToProto(bytes.view(), &proto, &error))
      return Reject(encoding, "malformed", error);
    bytes = std::move(proto);
  }
  model::OtlpBatch batch;
  const wire::IndexReport report = wire::Index(base::Share(std::move(bytes)), &batch);
  if (report.status == wire::IndexStatus::kBad) return Reject(encoding, "malformed", report.reason);
  if (report.status == wire::IndexStatus::kTooManySpans) {
    return Reject(encoding, "too_many_spans",
                  "more than " + std::to_string(wire::kMaxSpans) + " spans in one request");
  }
  repaired_.Add(report.bad_utf8);
  const uint64_t spans = report.spans - report.zero_ids;
  if (spans > 0) {
    batch.sender = Sender(request.peer);
    base::ByteCredit* const credit = request.charge.credit();
    batch.receipt = std::make_shared<model::Receipt>(credit, request.charge.Release());
    if (deps_.before_push) deps_.before_push();
    const model::ReceiptRef receipt = batch.receipt;
    if (next_.Push(std::move(batch)) == model::PushResult::kBusy) {
      requests_.In(1);
      requests_.Lose(Loss::kShed, "busy", 1);
      spans_.In(report.spans);
      spans_.Lose(Loss::kShed, "busy", report.spans);
      transport.refused.Add(report.spans);
      return Busy(encoding);
    }
    receipt->Reach(model::ReceiptLevel::kTaken);
  }
  requests_.In(1);
  requests_.Out(1);
  spans_.In(report.spans);
  spans_.Out(spans);
  spans_.Lose(Loss::kRejected, "zero_id", report.zero_ids);
  transport.accepted.Add(spans);
  transport.refused.Add(report.zero_ids);
  return Success(encoding, report.zero_ids, kZeroIdReason);
}

model::ProcessRef Receiver::Impl::Sender(const model::Endpoint& peer) {
  if (deps_.peers == nullptr) return nullptr;
  const uint64_t now_ns = deps_.clock.MonotonicNs();
  if (peer != peer_ || now_ns >= peer_until_ns_) {
    peer_ = peer;
    peer_process_ = deps_.peers->TcpPeer(peer);
    peer_until_ns_ = now_ns + (peer_process_ ? kPeerKnownNs : kPeerUnknownNs);
  }
  return peer_process_;
}

Receiver::Receiver(std::string name, Options options, Deps deps,
                   model::Sink<model::OtlpBatch>& next)
    : impl_(std::make_unique<Impl>(std::move(name), std::move(options), std::move(deps), next)) {}

Receiver::~Receiver() = default;

std::string_view Receiver::Name() const { return impl_->name(); }
base::Status Receiver::Start() { return impl_->Start(); }
void Receiver::Stop(std::chrono::steady_clock::time_point) { impl_->Stop(); }
uint16_t Receiver::port() const { return impl_->port(); }

}  // namespace weft::sources::otlp
