#include "sources/jaeger_http/jaeger_http.h"

#include "net/listener.h"
#include "protocols/jaeger/transcode.h"

namespace weft::sources::jaeger_http {
namespace {

namespace jaeger = protocols::jaeger;
using otlp::Outcome;
using otlp::Verdict;

constexpr std::string_view kPath = "/api/traces";

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
      return Plain(400, "Unable to process request body: " + outcome.reason);
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

class Receiver::Impl {
 public:
  Impl(Options options, Deps deps, model::Sink<model::OtlpBatch>& next)
      : options_(std::move(options)),
        deps_(std::move(deps)),
        intake_("jaeger_http", deps_, next),
        transport_(deps_.metrics, "jaeger", "collector_http") {}

  base::Status Start() {
    auto opened =
        otlp::OpenListener("jaeger_http", options_, deps_.loop, deps_.metrics, deps_.credit,
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
    if (request.path != kPath) {
      if (deps_.other_paths) return deps_.other_paths(std::move(request), std::move(responder));
      return responder.Send(Plain(404, "404 page not found"));
    }
    if (request.method != "POST") {
      net::Response response = Plain(405, "405 method not allowed, supported: [POST]");
      response.headers.emplace_back("allow", "POST");
      return responder.Send(std::move(response));
    }
    const std::string_view type = request.Header("content-type");
    if (!IsThrift(type)) {
      (void)intake_.Reject("content_type", {});
      return responder.Send(Plain(400, "Unsupported content type: " + std::string(type)));
    }
    otlp::Reply(Take(request), deps_.acknowledge, std::move(responder), &AnswerFor);
  }

  Outcome Take(net::Request& request) {
    base::ByteBuffer bytes(request.body.size());
    jaeger::DatagramReport report;
    const auto status = jaeger::TranscodeBatch(request.body.view(), &bytes, &report);
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

}  // namespace weft::sources::jaeger_http
