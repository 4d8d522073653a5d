// weft-bench: load for any OTLP or Jaeger receiver, a sink that counts, and an honest HTTP load.
#include <CLI/CLI.hpp>

#include "commands.h"

using namespace weft::bench;

int main(int argc, char** argv) {
  CLI::App app{"weft-bench: measure trace collectors and HTTP servers"};
  app.require_subcommand(1);

  LoadOptions load;
  CLI::App* l = app.add_subcommand(
      "load", "send prepared spans; counts acknowledgements, errors and latency");
  l->add_option("--protocol", load.protocol)
      ->check(CLI::IsMember({"otlp_grpc", "otlp_http", "jaeger_compact", "jaeger_binary"}))
      ->capture_default_str();
  l->add_option("--endpoint", load.endpoint, "host:port")->capture_default_str();
  l->add_option("--spans", load.shape.spans_per_request, "spans per request")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  l->add_option("--span-bytes", load.shape.bytes_per_span, "encoded size aimed at")
      ->capture_default_str();
  l->add_option("--services", load.shape.services)->check(CLI::Range(1, 64))->capture_default_str();
  l->add_option("--duration", load.duration_seconds, "seconds")->capture_default_str();
  l->add_option("--requests", load.requests, "stop after so many requests (0: by duration)");
  l->add_option("--rate", load.rate, "requests per second (0: as fast as acknowledged)");
  l->add_option("--in-flight", load.in_flight)->check(CLI::Range(1, 1024))->capture_default_str();
  l->add_flag("--json", load.json, "one JSON object");

  SinkOptions sink;
  CLI::App* s = app.add_subcommand("sink", "receive OTLP/gRPC and only count");
  s->add_option("--endpoint", sink.endpoint)->capture_default_str();
  s->add_option("--duration", sink.duration_seconds, "seconds (0: until a signal)");
  s->add_flag("--ids", sink.ids, "count distinct span ids");
  s->add_flag("--json", sink.json, "one JSON object");

  HttpOptions http;
  CLI::App* h =
      app.add_subcommand("http", "open-loop HTTP/1.1 load; latency free of coordinated omission");
  h->add_option("--host", http.host)->capture_default_str();
  h->add_option("--port", http.port)->capture_default_str();
  h->add_option("--path", http.path)->capture_default_str();
  h->add_option("--connections", http.connections)
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  h->add_option("--rate", http.rate, "requests per second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  h->add_option("--duration", http.duration_seconds, "seconds")->capture_default_str();
  h->add_flag("--json", http.json, "one JSON object");

  CLI11_PARSE(app, argc, argv);
  if (l->parsed()) return RunLoad(load);
  if (s->parsed()) return RunSink(sink);
  return RunHttp(http);
}
