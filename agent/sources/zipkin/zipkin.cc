#include "sources/zipkin/zipkin.h"

#include "protocols/zipkin/transcode.h"

namespace weft::sources::zipkin {
namespace {

namespace wire = protocols::zipkin;
using otlp::Outcome;

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Clients of old send JSON under all kinds of content types; what is not named is JSON.
wire::Format FormatOf(const net::Request& request) {
  const std::string_view type = request.Header("content-type");
  if (Has(request.path, "api/v1/spans"))
    return Has(type, "thrift") ? wire::Format::kThrift1 : wire::Format::kJson1;
  return Has(type, "protobuf") ? wire::Format::kProto2 : wire::Format::kJson2;
}

const char* NameOf(wire::Format format) {
  switch (format) {
    case wire::Format::kJson2:
      return "http_v2_json";
    case wire::Format::kProto2:
      return "http_v2_proto";
    case wire::Format::kJson1:
      return "http_v1_json";
    case wire::Format::kThrift1:
      break;
  }
  return "http_v1_thrift";
}

otlp::TransportMetrics Metrics(const otlp::Deps& deps, wire::Format format) {
  return otlp::TransportMetrics(deps.metrics, "zipkin", NameOf(format));
}

}  // namespace

base::ConfigBlock Describe(Options& options) {
  base::ConfigBlock block{"receivers.zipkin", {}};
  otlp::DescribeServer(options, "spans of Zipkin clients over HTTP.", &block);
  block.fields.push_back({"endpoint_attributes",
                          &options.endpoint_attributes,
                          "Names for a span's endpoints: net.host.ip, net.peer.ip (legacy) or "
                          "network.local.address, network.peer.address (stable).",
                          0,
                          INT64_MAX,
                          {"legacy", "stable"}});
  return block;
}

Receiver::Receiver(const Options& options, const otlp::Deps& deps,
                   model::Sink<model::OtlpBatch>& next)
    : Server("zipkin", options, deps, next),
      stable_names_(options.endpoint_attributes == "stable"),
      transports_{Metrics(deps, wire::Format::kJson2), Metrics(deps, wire::Format::kProto2),
                  Metrics(deps, wire::Format::kJson1), Metrics(deps, wire::Format::kThrift1)} {}

void Receiver::Answer(net::Request request, net::Responder&& responder) {
  if (request.is_grpc)
    return responder.Send(otlp::Unimplemented("this port speaks Zipkin over HTTP"));
  if (request.method != "POST") return responder.Send(otlp::PostOnly());
  otlp::Reply(Take(request), deps().acknowledge, std::move(responder), &otlp::PlainAnswer);
}

Outcome Receiver::Take(net::Request& request) {
  const wire::Format format = FormatOf(request);
  base::ByteBuffer bytes(request.body.size());
  wire::Report report;
  const auto status = wire::Transcode(request.body.view(), format, {.stable_names = stable_names_},
                                      &bytes, &report);
  if (status != wire::TranscodeStatus::kDone) {
    return intake().Reject(wire::StatusName(status), report.error.empty()
                                                         ? std::string(wire::StatusName(status))
                                                         : report.error);
  }
  return intake().Take(request, std::move(bytes), report.bad_ids,
                       transports_[static_cast<size_t>(format)]);
}

}  // namespace weft::sources::zipkin
