#include "sources/zipkin/zipkin.h"

#include "net/listener.h"
#include "protocols/zipkin/transcode.h"

namespace weft::sources::zipkin {
namespace {

namespace wire = protocols::zipkin;
using otlp::Outcome;
using otlp::Verdict;

net::Response Plain(int status, std::string_view text) {
  net::Response response;
  response.status = status;
  if (text.empty()) return response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::string(text) + "\n";
  return response;
}

net::Response AnswerFor(const Outcome& outcome) {
  switch (outcome.verdict) {
    case Verdict::kTaken:
      return Plain(202, "");
    case Verdict::kMalformed:
    case Verdict::kTooManySpans:
      return Plain(400, outcome.reason);
    case Verdict::kRejectedLater:
      return Plain(400, "refused by the collector");
    case Verdict::kBusy:
      break;
  }
  net::Response response = Plain(503, "no room now, come again");
  response.headers.emplace_back("retry-after", "1");
  return response;
}

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

class Receiver::Impl {
 public:
  Impl(Options options, otlp::Deps deps, model::Sink<model::OtlpBatch>& next)
      : options_(std::move(options)),
        deps_(std::move(deps)),
        intake_("zipkin", deps_, next),
        transports_{Metrics(wire::Format::kJson2), Metrics(wire::Format::kProto2),
                    Metrics(wire::Format::kJson1), Metrics(wire::Format::kThrift1)} {}

  base::Status Start() {
    auto opened = otlp::OpenListener("zipkin", options_, deps_.loop, deps_.metrics, deps_.credit,
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
  otlp::TransportMetrics Metrics(wire::Format format) {
    return otlp::TransportMetrics(deps_.metrics, "zipkin", NameOf(format));
  }

  void Answer(net::Request request, net::Responder&& responder) {
    if (request.is_grpc) {
      net::Response response;
      response.grpc_status = net::kGrpcUnimplemented;
      response.grpc_message = "this port speaks Zipkin over HTTP";
      return responder.Send(std::move(response));
    }
    if (request.method != "POST") {
      net::Response response = Plain(405, "405 method not allowed, supported: [POST]");
      response.headers.emplace_back("allow", "POST");
      return responder.Send(std::move(response));
    }
    otlp::Reply(Take(request), deps_.acknowledge, std::move(responder), &AnswerFor);
  }

  Outcome Take(net::Request& request) {
    const wire::Format format = FormatOf(request);
    const wire::Options options{.stable_names = options_.endpoint_attributes == "stable"};
    base::ByteBuffer bytes(request.body.size());
    wire::Report report;
    const auto status = wire::Transcode(request.body.view(), format, options, &bytes, &report);
    if (status != wire::TranscodeStatus::kDone) {
      return intake_.Reject(wire::StatusName(status), report.error.empty()
                                                          ? std::string(wire::StatusName(status))
                                                          : report.error);
    }
    return intake_.Take(request, std::move(bytes), report.bad_ids,
                        transports_[static_cast<size_t>(format)]);
  }

  const Options options_;
  const otlp::Deps deps_;
  otlp::Intake intake_;
  otlp::TransportMetrics transports_[4];  // by format
  std::unique_ptr<net::Listener> listener_;
};

Receiver::Receiver(Options options, otlp::Deps deps, model::Sink<model::OtlpBatch>& next)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(deps), next)) {}

Receiver::~Receiver() = default;

base::Status Receiver::Start() { return impl_->Start(); }
void Receiver::Stop(std::chrono::steady_clock::time_point) { impl_->Stop(); }
uint16_t Receiver::port() const { return impl_->port(); }

}  // namespace weft::sources::zipkin
