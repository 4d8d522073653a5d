// Server: a receiver with one TCP port whose requests become OTLP bytes: opens the port, keeps the
// Intake, and leaves to its kinds (sources/zipkin, jaeger_http, jaeger_grpc) what they alone know,
// how a request is read and answered.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/sink.h"
#include "sources/otlp/intake.h"
#include "sources/otlp/server_options.h"

namespace weft::sources::otlp {

// Threads: the loop's; Stop may also run after the loop has ended. Owns: its listener.
class Server : public model::Source {
 public:
  std::string_view Name() const override { return name_; }
  // Fails: the endpoint cannot be bound.
  base::Status Start() override;
  // Refuses new connections and answers "retry later" from now on.
  void Stop(std::chrono::steady_clock::time_point deadline) override;

  // The bound port; 0 when not started.
  uint16_t port() const { return listener_ ? listener_->port() : 0; }

 protected:
  Server(std::string name, const ServerOptions& options, const Deps& deps,
         model::Sink<model::OtlpBatch>& next);

  // By value: its credit returns with the answer.
  virtual void Answer(net::Request request, net::Responder&& responder) = 0;

  Intake& intake() { return intake_; }
  const Deps& deps() const { return deps_; }

 private:
  const std::string name_;
  const ServerOptions options_;
  const Deps deps_;
  Intake intake_;
  std::unique_ptr<net::Listener> listener_;
};

// What clients are told that want an HTTP status and a line of text: 202 without one for what was
// taken, 400, 503 with Retry-After.
net::Response PlainAnswer(const Outcome& outcome);
// A line of text; without a body when `text` is empty.
net::Response Plain(int http_status, std::string_view text);
// 405, for paths that take POST only.
net::Response PostOnly();
// "The method is not served here", over gRPC.
net::Response Unimplemented(std::string_view text);

}  // namespace weft::sources::otlp
