#include "sources/jaeger_grpc/jaeger_grpc.h"

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
      net::RetryInfoDetails(net::kGrpcUnavailable, kWhy, outcome.retry_after);
  return response;
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  base::ConfigBlock block{"receivers.jaeger_grpc", {}};
  otlp::DescribeServer(options, "spans of Jaeger agents over gRPC (PostSpans).", &block);
  return block;
}

Receiver::Receiver(const Options& options, const Deps& deps, model::Sink<model::OtlpBatch>& next)
    : Server("jaeger_grpc", options, deps, next),
      other_methods_(deps.other_methods),
      transport_(deps.metrics, "jaeger", "grpc") {}

void Receiver::Answer(net::Request request, net::Responder&& responder) {
  if (request.path != kPostSpans || !request.is_grpc) {
    if (request.is_grpc && other_methods_)
      return other_methods_(std::move(request), std::move(responder));
    net::Response response = otlp::Unimplemented("unknown method");
    response.status = request.is_grpc ? 200 : 404;
    return responder.Send(std::move(response));
  }
  otlp::Reply(Take(request), deps().acknowledge, std::move(responder), &AnswerFor);
}

Outcome Receiver::Take(net::Request& request) {
  base::ByteBuffer bytes(request.body.size());
  jaeger::DatagramReport report;
  const auto status = jaeger::TranscodeProto(request.body.view(), &bytes, &report);
  if (status != jaeger::TranscodeStatus::kDone) {
    const std::string_view name = jaeger::StatusName(status);
    return intake().Reject(name, std::string(name));
  }
  return intake().Take(request, std::move(bytes), 0, transport_);
}

}  // namespace weft::sources::jaeger_grpc
