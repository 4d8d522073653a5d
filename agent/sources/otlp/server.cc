#include "sources/otlp/server.h"

#include <utility>

namespace weft::sources::otlp {

Server::Server(std::string name, const ServerOptions& options, const Deps& deps,
               model::Sink<model::OtlpBatch>& next)
    : name_(std::move(name)), options_(options), deps_(deps), intake_(name_, deps_, next) {}

base::Status Server::Start() {
  auto opened = OpenListener(name_, options_, deps_.loop, deps_.metrics, deps_.credit,
                             [this](net::Request&& request, net::Responder responder) {
                               Answer(std::move(request), std::move(responder));
                             });
  if (!opened.ok()) return opened.status();
  listener_ = std::move(*opened);
  intake_.Start();
  return base::Ok();
}

void Server::Stop(std::chrono::steady_clock::time_point) {
  intake_.Stop();
  if (listener_) listener_->Close();
}

net::Response PlainAnswer(const Outcome& outcome) {
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
  response.headers.emplace_back("retry-after", net::RetryAfterSeconds(outcome.retry_after));
  return response;
}

net::Response Plain(int http_status, std::string_view text) {
  net::Response response;
  response.status = http_status;
  if (text.empty()) return response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::string(text) + "\n";
  return response;
}

net::Response PostOnly() {
  net::Response response = Plain(405, "405 method not allowed, supported: [POST]");
  response.headers.emplace_back("allow", "POST");
  return response;
}

net::Response Unimplemented(std::string_view text) {
  net::Response response;
  response.grpc_status = net::kGrpcUnimplemented;
  response.grpc_message = text;
  return response;
}

}  // namespace weft::sources::otlp
