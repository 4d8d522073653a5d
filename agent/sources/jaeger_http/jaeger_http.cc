#include "sources/jaeger_http/jaeger_http.h"

#include "protocols/jaeger/transcode.h"

namespace weft::sources::jaeger_http {
namespace {

namespace jaeger = protocols::jaeger;
using otlp::Outcome;

constexpr std::string_view kPath = "/api/traces";

net::Response AnswerFor(const Outcome& outcome) {
  if (outcome.verdict == otlp::Verdict::kMalformed)
    return otlp::Plain(400, "Unable to process request body: " + outcome.reason);
  return otlp::PlainAnswer(outcome);
}

bool IsThrift(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && content_type.back() == ' ') content_type.remove_suffix(1);
  return content_type == "application/x-thrift" ||
         content_type == "application/vnd.apache.thrift.binary";
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  base::ConfigBlock block{"receivers.jaeger_http", {}};
  otlp::DescribeServer(options, "spans of Jaeger clients over HTTP (POST /api/traces).", &block);
  return block;
}

Receiver::Receiver(const Options& options, const Deps& deps, model::Sink<model::OtlpBatch>& next)
    : Server("jaeger_http", options, deps, next),
      other_paths_(deps.other_paths),
      transport_(deps.metrics, "jaeger", "collector_http") {}

void Receiver::Answer(net::Request request, net::Responder&& responder) {
  if (request.path != kPath) {
    if (other_paths_) return other_paths_(std::move(request), std::move(responder));
    return responder.Send(otlp::Plain(404, "404 page not found"));
  }
  if (request.method != "POST") return responder.Send(otlp::PostOnly());
  const std::string_view type = request.Header("content-type");
  if (!IsThrift(type)) {
    (void)intake().Reject("content_type", {});
    return responder.Send(otlp::Plain(400, "Unsupported content type: " + std::string(type)));
  }
  otlp::Reply(Take(request), deps().acknowledge, std::move(responder), &AnswerFor);
}

Outcome Receiver::Take(net::Request& request) {
  base::ByteBuffer bytes(request.body.size());
  jaeger::DatagramReport report;
  const auto status = jaeger::TranscodeBatch(request.body.view(), &bytes, &report);
  if (status != jaeger::TranscodeStatus::kDone) {
    const std::string_view name = jaeger::StatusName(status);
    return intake().Reject(name, std::string(name));
  }
  return intake().Take(request, std::move(bytes), 0, transport_);
}

}  // namespace weft::sources::jaeger_http
