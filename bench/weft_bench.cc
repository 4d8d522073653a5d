// weft-bench: load for any OTLP, Jaeger or Zipkin receiver, a sink that counts, a comparison of
// receivers, an honest HTTP load, and a replay of what capture sees.
#include <CLI/CLI.hpp>

#include <cstdio>

#include "commands.h"
#include "protocol.h"

using namespace weft::bench;

int main(int argc, char** argv) {
  CLI::App app{"weft-bench: measure trace collectors and HTTP servers"};
  app.require_subcommand(1);

  LoadOptions load;
  std::string shape_file;
  CLI::App* l = app.add_subcommand(
      "load", "send prepared spans; counts acknowledgements, errors and latency");
  // The first one: options are applied in the order in which they stand here.
  l->add_option("--shape", shape_file, "YAML with the shape of the spans; options win over it")
      ->check([&load](const std::string& file) { return ReadShape(file, &load.shape); });
  l->add_option("--protocol", load.protocol)
      ->check(CLI::IsMember(ProtocolNames()))
      ->capture_default_str();
  l->add_option("--endpoint", load.endpoint, "host:port")->capture_default_str();
  l->add_option("--compression", load.compression, "of the requests")
      ->check(CLI::IsMember({"none", "gzip", "deflate", "zstd", "snappy", "lz4"}))
      ->capture_default_str();
  l->add_option("--spans", load.shape.spans_per_request, "spans per request")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  l->add_option("--span-bytes", load.shape.bytes_per_span, "encoded size aimed at")
      ->capture_default_str();
  l->add_option("--services", load.shape.services)->check(CLI::Range(1, 64))->capture_default_str();
  l->add_option("--depth", load.shape.depth, "spans from a root to a leaf")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  l->add_option("--attributes", load.shape.attributes, "per span, beside the filling one")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  l->add_option("--duration", load.duration_seconds, "seconds")->capture_default_str();
  l->add_option("--requests", load.requests, "stop after so many requests (0: by duration)");
  l->add_option("--rate", load.rate, "requests per second (0: as fast as acknowledged)");
  l->add_option("--in-flight", load.in_flight)->check(CLI::Range(1, 1024))->capture_default_str();
  l->add_option("--seed", load.seed, "runs with different seeds share no trace");
  l->add_flag("--json", load.json, "one JSON object");

  SinkOptions sink;
  CLI::App* s = app.add_subcommand(
      "sink", "receive OTLP by gRPC and HTTP and only count; slow or unreliable when told");
  s->add_option("--endpoint", sink.endpoint)->capture_default_str();
  s->add_option("--duration", sink.duration_seconds, "seconds (0: until a signal)");
  s->add_option("--delay-ms", sink.delay_ms, "before each answer");
  s->add_option("--refuse-percent", sink.refuse_percent, "of requests, with \"come again\"")
      ->check(CLI::Range(0, 100));
  s->add_option("--up", sink.up_seconds, "seconds with the port open, then --down seconds closed");
  s->add_option("--down", sink.down_seconds);
  s->add_flag("--ids", sink.ids, "count distinct span ids (16 bytes of memory a span)");
  s->add_flag("--json", sink.json, "one JSON object");

  CompareOptions compare;
  CLI::App* c = app.add_subcommand(
      "compare", "run several receivers one after the other over the same loads; prints a table");
  c->add_option("file", compare.file, "YAML: see bench/compare/README.md")
      ->required()
      ->check(CLI::ExistingFile);
  c->add_option("--json", compare.json_file, "write every run and the medians here");
  c->add_option("--plot", compare.plot_file, "write an SVG here");
  c->add_option("--var", compare.variables, "name=value for ${name}; wins over the file");
  c->add_option("--only", compare.only, "names of loads; the others are left out");
  c->add_option("--repeats", compare.repeats, "wins over the file")->check(CLI::Range(1, 1000));
  c->add_option("--logs", compare.logs, "keep what the receivers print in this folder");

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

  ReplayOptions replay;
  CLI::App* r = app.add_subcommand(
      "replay",
      "CPU of weft's user space per captured HTTP/1.1 request: made-up segments of both ends "
      "through normalize, merge and OTLP encoding");
  r->add_option("--exchanges", replay.exchanges, "each is captured at both ends, so counts twice")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  r->add_option("--connections", replay.connections)
      ->check(CLI::Range(1, 40'000))
      ->capture_default_str();
  r->add_option("--rate", replay.rate, "exchanges per second of the made-up time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  r->add_option("--browser-percent", replay.browser_percent,
                "of requests, with the head of a browser; the others have curl's")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  r->add_option("--traced-percent", replay.traced_percent,
                "of connections, whose requests bring a traceparent: their views wait for an SDK")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  r->add_flag("--same-context", replay.same_context,
              "with --traced-percent: one constant traceparent, as load generators send it");
  r->add_option("--loss-percent", replay.loss_percent, "of segments")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  r->add_option("--seed", replay.seed)->capture_default_str();
  r->add_flag("--cold", replay.is_cold,
              "measure from the first request on, while every view waits for an SDK");
  r->add_flag("--json", replay.json, "one JSON object");

  CLI11_PARSE(app, argc, argv);
  if (l->parsed()) return RunLoad(load);
  if (s->parsed()) return RunSink(sink);
  if (c->parsed()) return RunCompare(compare);
  if (r->parsed()) return RunReplay(replay);
  return RunHttp(http);
}
