#include "app/settings.h"

namespace weft::app {

std::vector<base::ConfigBlock> Describe(Settings& s) {
  return {
      sources::ebpf::Describe(s.capture),
      sources::ebpf::tls::Describe(s.capture.tls),
      sources::ebpf::go::Describe(s.capture.go),
      normalize::Describe(s.http),
      sources::otlp::Describe(s.otlp_grpc, "otlp_grpc"),
      sources::otlp::Describe(s.otlp_http, "otlp_http"),
      sources::jaeger_udp::Describe(s.jaeger_udp),
      sources::jaeger_http::Describe(s.jaeger_http),
      sources::jaeger_grpc::Describe(s.jaeger_grpc),
      sources::zipkin::Describe(s.zipkin),
      sources::sampling::Describe(s.remote_sampling),
      merge::Describe(s.merge),
      exporters::sampling::Describe(s.sampling),
      exporters::resource::Describe(s.resource),
      spool::Describe(s.spool),
      exporters::collector::Describe(s.collector),
      exporters::kafka::Describe(s.kafka),
      exporters::file::Describe(s.file),
      exporters::store::Describe(s.store),
      {"exporters.none",
       {{"enabled", &s.none.enabled, "take every span and keep none; for measurements"}}},
      console::Describe(s.console),
      {"limits",
       {{"credit_bytes", &s.limits.credit_bytes,
         "bytes that have entered and not yet left, over all receivers; beyond it they refuse",
         1 << 20, int64_t{1} << 40},
        {"drain_seconds", &s.limits.drain_seconds, "seconds given to the exporters when weft stops",
         1, 600}}},
  };
}

}  // namespace weft::app
