#include "sources/jaeger_grpc/jaeger_grpc.h"

#include "net/listener.h"
#include "protocols/jaeger/transcode.h"

namespace weft::sources::jaeger_grpc {
namespace {

namespace jaeger = protocols::jaeger;
using otlp::Outcome;
using otlp::Verdict;

constexpr std::string_view kPostSpans = "/jaeger.api_v2.CollectorService/PostSpans";

net::Response Failure(int grpc_status, std::string_view message) {
  net::Response response;
  response.grpc_status = grpc_status;
  response.grpc_message = message;
  return response;
}

net::Response AnswerFor(const Outcome& outcome) {
  switch (outcome.verdict) {
    case Verdict::kTaken:
      return {};  // PostSpansResponse has no fields
    case Verdict::kMalformed:
    case Verdict::kTooManySpans:
      return Failure(net::kGrpcInvalidArgument, outcome.reason);
    case Verdict::kRejectedLater:
      return Failure(net::kGrpcInvalidArgument, "refused by the collector");
    case Verdict::kBusy:
      break;
  }
  constexpr std::string_view kWhy = "no room now, come again";
  net::Response response = Failure(net::kGrpcUnavailable, kWhy);
  response.grpc_status_details =
      net::RetryInfoDetails(net::kGrpcUnavailable, kWhy, std::chrono::seconds(1));
  return response;
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  base::ConfigBlock block{"receivers.jaeger_grpc", {}};
  otlp::DescribeServer(options, "spans of Jaeger agents over gRPC (PostSpans).", &block);
  return block;
}

class Receiver::Impl {
 public:
  Impl(Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
      : options_(std::move(options)),
        deps_(std::move(deps)),
        intake_("jaeger_grpc", deps_, next),
        transport_(deps_.metrics, "jaeger", "grpc") {}

  base::Status Start() {
    auto opened =
        otlp::OpenListener("jaeger_grpc", options_, deps_.loop, deps_.metrics, deps_.credit,
                           [this](net::Request&& request, net::Responder responder) {
                             Answer(std::move(request), std::move(responder));
                           });
    if (!opened.ok()) return opened.status();
    listener_ = std::move(*opened);
    intake_.Start();
    return base::Ok();
  }
  void Stop() {
    intake_.Stop();
    if (listener_) listener_->Close();
  }
  uint16_t port() const { return listener_ ? listener_->port() : 0; }

 private:
  void Answer(net::Request request, net::Responder&& responder) {
    if (request.path != kPostSpans || !request.is_grpc) {
      if (request.is_grpc && deps_.other_methods)
        return deps_.other_methods(std::move(request), std::move(responder));
      net::Response response = Failure(net::kGrpcUnimplemented, "unknown method");
      response.status = request.is_grpc ? 200 : 404;
      return responder.Send(std::move(response));
    }
    otlp::Reply(Take(request), deps_.acknowledge, std::move(responder), &AnswerFor);
  }

  Outcome Take(net::Request& request) {
    base::ByteBuffer bytes(request.body.size());
    jaeger::DatagramReport report;
    const auto status = jaeger::TranscodeProto(request.body.view(), &bytes, &report);
    if (status != jaeger::TranscodeStatus::kDone) {
      const std::string_view name = jaeger::StatusName(status);
      return intake_.Reject(name, std::string(name));
    }
    return intake_.Take(request, std::move(bytes), 0, transport_);
  }

  const Options options_;
  const Deps deps_;
  otlp::Intake intake_;
  otlp::TransportMetrics transport_;
  std::unique_ptr<net::Listener> listener_;
};

Receiver::Receiver(Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(deps), next)) {}

Receiver::~Receiver() = default;

base::Status Receiver::Start() { return impl_->Start(); }
void Receiver::Stop(std::chrono::steady_clock::time_point) { impl_->Stop(); }
uint16_t Receiver::port() const { return impl_->port(); }

}  // namespace weft::sources::jaeger_grpc
