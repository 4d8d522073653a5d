#include "app/receivers.h"

namespace weft::app {

using namespace sources;

Receivers::Receivers(const Settings& s, otlp::Deps deps, model::Sink<model::OtlpBatch>& next) {
  net::Service remote_sampling;
  if (s.remote_sampling.enabled) {
    auto server = std::make_unique<sampling::Server>(s.remote_sampling, deps);
    remote_sampling = server->service();
    all_.push_back(std::move(server));
  }
  if (s.otlp_grpc.enabled)
    all_.push_back(std::make_unique<otlp::Receiver>("otlp_grpc", s.otlp_grpc, deps, next));
  if (s.otlp_http.enabled)
    all_.push_back(std::make_unique<otlp::Receiver>("otlp_http", s.otlp_http, deps, next));
  if (s.jaeger_udp.enabled)
    all_.push_back(std::make_unique<jaeger_udp::Receiver>(
        s.jaeger_udp,
        jaeger_udp::Deps{deps.loop, deps.credit, deps.clock, deps.ledger, deps.metrics, deps.peers,
                         deps.before_push},
        next));
  if (s.jaeger_grpc.enabled)
    all_.push_back(std::make_unique<jaeger_grpc::Receiver>(
        s.jaeger_grpc, jaeger_grpc::Deps{deps, remote_sampling}, next));
  if (s.jaeger_http.enabled)
    all_.push_back(std::make_unique<jaeger_http::Receiver>(
        s.jaeger_http, jaeger_http::Deps{deps, remote_sampling}, next));
  if (s.zipkin.enabled) all_.push_back(std::make_unique<zipkin::Receiver>(s.zipkin, deps, next));
}

base::Status Receivers::Start() {
  for (auto& receiver : all_) {
    base::Status started = receiver->Start();
    if (!started.ok()) return base::Context("receivers." + std::string(receiver->Name()), started);
  }
  return base::Ok();
}

void Receivers::Stop(std::chrono::steady_clock::time_point deadline) {
  for (auto& receiver : all_) receiver->Stop(deadline);
}

}  // namespace weft::app
