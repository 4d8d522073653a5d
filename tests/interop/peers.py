"""Real software before and behind weft: the OpenTelemetry Collector, Jaeger 1.53 and its example HotROD."""

import contextlib
import json
import pathlib
import sys
import tempfile

import harness
from harness import SOURCE, free_port, running

PEERS = SOURCE / "build" / "peers"


def require(*names):
    for name in names:
        if not (PEERS / name).exists():
            print(f"SKIPPED: the peer {name} is not built (tests/interop/prepare)")
            sys.exit(77)


class Collector:
    """A Collector that receives OTLP, Jaeger and Zipkin and writes a file or forwards."""

    def __init__(self, forward_to=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-otelcol-"))
        self.file = self.folder / "spans.jsonl"
        self.ports = {n: free_port() for n in ("grpc", "http", "jaeger_grpc", "jaeger_http", "compact", "zipkin")}
        p = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        exporters = {"file": {"path": str(self.file), "append": True, "flush_interval": "100ms"}}
        if forward_to:
            exporters = {"otlp": {"endpoint": forward_to, "tls": {"insecure": True}}}
        config = {
            "receivers": {
                "otlp": {"protocols": {"grpc": {"endpoint": p["grpc"]}, "http": {"endpoint": p["http"]}}},
                "jaeger": {"protocols": {"grpc": {"endpoint": p["jaeger_grpc"]},
                                         "thrift_http": {"endpoint": p["jaeger_http"]},
                                         "thrift_compact": {"endpoint": p["compact"]}}},
                "zipkin": {"endpoint": p["zipkin"]},
            },
            "exporters": exporters,
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {signal: {"receivers": ["otlp"], "exporters": list(exporters)}
                              for signal in ("metrics", "logs")},
            },
        }
        config["service"]["pipelines"]["traces"] = {"receivers": ["otlp", "jaeger", "zipkin"],
                                                    "exporters": list(exporters)}
        self.config = self.folder / "config.yaml"
        self.config.write_text(json.dumps(config))  # JSON is YAML

    def running(self):
        return running(PEERS / "otelcol", "--config", self.config, port=self.ports["grpc"])

    def spans(self):
        return harness.read_spans(self.file)


class Jaeger:
    """all-in-one with its own ports; answers through its query API."""

    def __init__(self):
        names = ("query", "query_grpc", "otlp_grpc", "otlp_http", "grpc", "http", "admin", "sampling", "compact", "binary",
                 "zipkin_compact", "zipkin")
        self.ports = {name: free_port() for name in names}

    def running(self):
        p = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        flags = {
            "query.http-server.host-port": p["query"], "query.grpc-server.host-port": p["query_grpc"],
            "collector.otlp.enabled": "true", "collector.otlp.grpc.host-port": p["otlp_grpc"],
            "collector.otlp.http.host-port": p["otlp_http"], "collector.grpc-server.host-port": p["grpc"],
            "collector.http-server.host-port": p["http"], "admin.http.host-port": p["admin"],
            "http-server.host-port": p["sampling"], "processor.jaeger-compact.server-host-port": p["compact"],
            "processor.jaeger-binary.server-host-port": p["binary"],
            "processor.zipkin-compact.server-host-port": p["zipkin_compact"],
            "reporter.grpc.host-port": p["grpc"],
        }
        return running(PEERS / "all-in-one", *(f"--{k}={v}" for k, v in flags.items()), port=self.ports["query"],
                       env={"SPAN_STORAGE_TYPE": "memory"})

    def get(self, path):
        status, body = harness.http_get(self.ports["query"], path)
        return json.loads(body)["data"] or [] if status == 200 else []

    def traces(self, service, limit=1000):
        return self.get(f"/api/traces?service={service}&limit={limit}&lookback=1h")


@contextlib.contextmanager
def jaeger_agent(collector_port):
    """The old agent: UDP in, gRPC PostSpans out. Yields its compact port."""
    ports = {name: free_port() for name in ("compact", "binary", "zipkin", "http", "admin")}
    flags = {"processor.jaeger-compact.server-host-port": ports["compact"],
             "processor.jaeger-binary.server-host-port": ports["binary"],
             "processor.zipkin-compact.server-host-port": ports["zipkin"],
             "http-server.host-port": ports["http"], "admin.http.host-port": ports["admin"],
             "reporter.grpc.host-port": f"127.0.0.1:{collector_port}"}
    flags = {k: v if "reporter" in k else f"127.0.0.1:{v}" for k, v in flags.items()}
    with running(PEERS / "agent", *(f"--{k}={v}" for k, v in flags.items()), port=ports["admin"]):
        yield ports
