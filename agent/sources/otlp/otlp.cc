#include "sources/otlp/otlp.h"

#include <array>
#include <utility>

#include "base/log.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "protocols/otlp/json_read.h"
#include "sources/otlp/answer.h"
#include "sources/otlp/other_signals.h"
#include "sources/otlp/server.h"

namespace weft::sources::otlp {
namespace {

namespace wire = protocols::otlp;
using base::MetricKind;

constexpr std::string_view kZeroIdReason = "spans without a trace id or span id";
constexpr std::string_view kTraceGrpcPath =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr std::string_view kTraceHttpPath = "/v1/traces";

net::Response AnswerFor(Encoding encoding, const Outcome& outcome) {
  switch (outcome.verdict) {
    case Verdict::kTaken:
      return Success(encoding, outcome.rejected, kZeroIdReason);
    case Verdict::kMalformed:
    case Verdict::kTooManySpans:
      return BadRequest(encoding, outcome.reason);
    case Verdict::kRejectedLater:
      return BadRequest(encoding, "refused by the collector");
    case Verdict::kBusy:
      break;
  }
  return Busy(encoding, outcome.retry_after);
}

}  // namespace

base::ConfigBlock Describe(Options& options, std::string_view name) {
  base::ConfigBlock block{"receivers." + std::string(name), {}};
  DescribeServer(options, "OTLP on this port.", &block);
  block.fields.push_back({"other_signals",
                          &options.other_signals,
                          "Metrics, logs and profiles: passed on as they are, or refused.",
                          0,
                          INT64_MAX,
                          {"forward", "refuse"}});
  block.fields.push_back({"legacy_endpoint", &options.legacy_endpoint,
                          "A second address for the same, such as 127.0.0.1:55680; empty: none."});
  return block;
}

class Receiver::Impl {
 public:
  Impl(std::string name, Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
      : name_(std::move(name)),
        options_(std::move(options)),
        deps_(std::move(deps)),
        intake_(name_, deps_, next),
        grpc_(deps_.metrics, "otlp", "grpc"),
        http_(deps_.metrics, "otlp", "http") {
    for (size_t i = 0; i < kOtherSignals.size(); ++i) {
      const OtherSignal& signal = kOtherSignals[i];
      others_[i] = std::make_unique<Other>(Other{
          deps_.ledger.Row("receiver " + name_ + " " + std::string(signal.name),
                           std::string(signal.unit)),
          TransportMetrics(deps_.metrics, "otlp", "grpc", signal.unit),
          TransportMetrics(deps_.metrics, "otlp", "http", signal.unit),
          deps_.metrics.Get(MetricKind::kCounter, "weft_sources_otlp_other_signal_requests_total",
                            "Requests with another signal than traces.",
                            {{"receiver", name_}, {"signal", std::string(signal.name)}})});
    }
  }

  base::Status Start() {
    base::Status opened = Open(options_.endpoint, &listener_);
    if (opened.ok() && !options_.legacy_endpoint.empty()) {
      opened = Open(options_.legacy_endpoint, &legacy_listener_);
      if (!opened.ok()) listener_ = nullptr;
    }
    if (opened.ok()) intake_.Start();
    return opened;
  }

  void Stop() {
    intake_.Stop();
    if (listener_) listener_->Close();
    if (legacy_listener_) legacy_listener_->Close();
  }

  std::string_view name() const { return name_; }
  uint16_t port() const { return listener_ ? listener_->port() : 0; }
  uint16_t legacy_port() const { return legacy_listener_ ? legacy_listener_->port() : 0; }

 private:
  struct Other {
    base::LedgerRow& row;
    TransportMetrics grpc, http;
    base::Metric& requests;
    bool told = false;  // logged once
  };

  base::Status Open(const std::string& endpoint, std::unique_ptr<net::Listener>* listener) {
    ServerOptions server = options_;
    server.endpoint = endpoint;
    auto opened = OpenListener(name_, server, deps_.loop, deps_.metrics, deps_.credit,
                               [this](net::Request&& request, net::Responder responder) {
                                 Answer(std::move(request), std::move(responder));
                               });
    if (opened.ok()) *listener = std::move(*opened);
    return opened.status();
  }

  // By value: its credit returns with the answer.
  void Answer(net::Request request, net::Responder&& responder);
  void AnswerOther(size_t index, net::Request& request, Encoding encoding,
                   net::Responder&& responder);
  bool EncodingOf(const net::Request& request, Encoding* encoding, net::Response* refusal);
  Outcome Export(net::Request& request, Encoding encoding);
  Outcome ExportOther(const OtherSignal& signal, net::Request& request, Encoding encoding,
                      Other& other);
  // The body as protobuf; false when it is refused.
  bool FromJson(net::Request& request, model::Signal signal, base::ByteBuffer* proto,
                Outcome* refused);

  const std::string name_;
  const Options options_;
  const Deps deps_;
  Intake intake_;
  TransportMetrics grpc_, http_;
  std::array<std::unique_ptr<Other>, kOtherSignals.size()> others_;
  std::unique_ptr<net::Listener> listener_, legacy_listener_;
};

bool Receiver::Impl::EncodingOf(const net::Request& request, Encoding* encoding,
                                net::Response* refusal) {
  *encoding = Encoding::kGrpc;
  if (request.is_grpc) return true;
  if (request.method != "POST") {
    *refusal = PostOnly();
    return false;
  }
  if (EncodingFromContentType(request.Header("content-type"), encoding)) return true;
  *refusal = Plain(
      415, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
  return false;
}

void Receiver::Impl::Answer(net::Request request, net::Responder&& responder) {
  net::Response refusal;
  Encoding encoding;
  if (request.path == (request.is_grpc ? kTraceGrpcPath : kTraceHttpPath)) {
    if (!EncodingOf(request, &encoding, &refusal)) return responder.Send(std::move(refusal));
    return Reply(Export(request, encoding), deps_.acknowledge, std::move(responder),
                 [encoding](const Outcome& outcome) { return AnswerFor(encoding, outcome); });
  }
  for (size_t i = 0; i < kOtherSignals.size(); ++i) {
    const OtherSignal& signal = kOtherSignals[i];
    if (request.path != (request.is_grpc ? signal.grpc_path : signal.http_path)) continue;
    others_[i]->requests.Add(1);
    if (options_.other_signals == "forward" && !EncodingOf(request, &encoding, &refusal))
      return responder.Send(std::move(refusal));
    return AnswerOther(i, request, encoding, std::move(responder));
  }
  responder.Send(request.is_grpc ? Unimplemented("unknown method")
                                 : Plain(404, "404 page not found"));
}

void Receiver::Impl::AnswerOther(size_t index, net::Request& request, Encoding encoding,
                                 net::Responder&& responder) {
  const OtherSignal& signal = kOtherSignals[index];
  Other& other = *others_[index];
  if (options_.other_signals != "forward") {
    if (!std::exchange(other.told, true)) {
      spdlog::warn(
          "{}: somebody sends {}, which receivers.{}.other_signals refuses; configure that "
          "exporter elsewhere or turn it off",
          name_, signal.name, name_);
    }
    const std::string text = "weft is told not to take " + std::string(signal.name);
    return responder.Send(request.is_grpc ? Unimplemented(text) : Plain(404, text));
  }
  if (encoding == Encoding::kJson && signal.signal == model::Signal::kProfiles) {
    (void)intake_.Reject("json_signal", {});
    return responder.Send(Plain(415, "415 unsupported media type: " + std::string(signal.name) +
                                         " are taken as application/x-protobuf only"));
  }
  Reply(ExportOther(signal, request, encoding, other), deps_.acknowledge, std::move(responder),
        [encoding](const Outcome& o) { return AnswerFor(encoding, o); });
}

Outcome Receiver::Impl::ExportOther(const OtherSignal& signal, net::Request& request,
                                    Encoding encoding, Other& other) {
  const bool is_json = encoding == Encoding::kJson;
  base::ByteBuffer proto;
  if (Outcome no; is_json && !FromJson(request, signal.signal, &proto, &no)) return no;
  base::ByteBuffer& bytes = is_json ? proto : request.body;
  uint64_t items;
  if (!CountItems(signal.signal, bytes.view(), &items))
    return intake_.Reject("malformed", "not an encoded export request");
  return intake_.TakeOpaque(request, std::move(bytes), signal.signal, items, other.row,
                            encoding == Encoding::kGrpc ? other.grpc : other.http);
}

Outcome Receiver::Impl::Export(net::Request& request, Encoding encoding) {
  TransportMetrics& transport = encoding == Encoding::kGrpc ? grpc_ : http_;
  if (encoding != Encoding::kJson)
    return intake_.Take(request, std::move(request.body), 0, transport);
  base::ByteBuffer proto;
  if (Outcome no; !FromJson(request, model::Signal::kTraces, &proto, &no)) return no;
  return intake_.Take(request, std::move(proto), 0, transport);
}

// Reading JSON takes several times its bytes: paid for before, given back behind it.
bool Receiver::Impl::FromJson(net::Request& request, model::Signal signal, base::ByteBuffer* proto,
                              Outcome* refused) {
  const uint64_t size = request.body.size(), work = wire::JsonWorkBytes(size, signal);
  if (size + work > deps_.credit.limit()) {
    *refused = intake_.Reject("json_too_large",
                              "JSON of " + std::to_string(size) +
                                  " bytes needs more memory than "
                                  "limits.credit_bytes allows, send less at once or protobuf");
    return false;
  }
  if (!request.charge.Take(work)) {
    *refused = intake_.Shed("no_credit");
    return false;
  }
  std::string error;
  const bool ok = wire::JsonToProto(request.body.view(), proto, &error, signal);
  request.charge.Return(work);
  if (!ok) *refused = intake_.Reject("malformed", error);
  return ok;
}

Receiver::Receiver(std::string name, Options options, Deps deps,
                   model::Sink<model::OtlpBatch>& next)
    : impl_(std::make_unique<Impl>(std::move(name), std::move(options), std::move(deps), next)) {}

Receiver::~Receiver() = default;

std::string_view Receiver::Name() const { return impl_->name(); }
base::Status Receiver::Start() { return impl_->Start(); }
void Receiver::Stop(std::chrono::steady_clock::time_point) { impl_->Stop(); }
uint16_t Receiver::port() const { return impl_->port(); }
uint16_t Receiver::legacy_port() const { return impl_->legacy_port(); }

}  // namespace weft::sources::otlp
