"""Every receiver once, with a request made by hand or by its SDK, through the release program."""

import gzip
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import zlib

import grpc
from google.protobuf.json_format import MessageToJson
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

import harness
import wire
from fake_collector import FakeCollector
from harness import Weft, wait_for

OFF = {"capture__enabled": "false", "exporters__store__enabled": "false"}
NOW = time.time_ns() // 1000 * 1000


def otlp_request(trace, service="by-hand"):
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = service
    resource.scope_spans.add().spans.add(trace_id=trace, span_id=trace[:8], name="by hand", kind=2, start_time_unix_nano=NOW,
                                         end_time_unix_nano=NOW + 1000)
    return request


def otlp_json(trace):
    return json.dumps({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "by-hand"}}]},
        "scopeSpans": [{"spans": [{"traceId": trace.hex(), "spanId": trace[:8].hex(), "name": "by hand", "kind": 2,
                                   "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 1000)}]}]}]}).encode()


def jaeger_batch(trace):
    return {"process": {"service": "by-hand", "tags": [("hostname", "h")]}, "spans": [{
        "trace": int.from_bytes(trace, "big"), "id": int.from_bytes(trace[:8], "big"), "parent": 0, "name": "by hand",
        "references": [], "flags": 1, "start": NOW // 1000, "duration": 1, "tags": [("span.kind", "server")], "logs": []}]}


def zipkin_v2(trace):
    return [{"traceId": trace.hex(), "id": trace[:8].hex(), "name": "by hand", "kind": "SERVER", "timestamp": NOW // 1000,
             "duration": 1, "localEndpoint": {"serviceName": "by-hand"}}]


def zipkin_v1(trace):
    host = {"serviceName": "by-hand", "ipv4": "127.0.0.1"}
    return [{"traceId": trace.hex(), "id": trace[:8].hex(), "name": "by hand", "timestamp": NOW // 1000, "duration": 1,
             "annotations": [{"timestamp": NOW // 1000, "value": "sr", "endpoint": host},
                             {"timestamp": NOW // 1000 + 1, "value": "ss", "endpoint": host}], "binaryAnnotations": []}]


def zstd(data):
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


def snappy(data):
    """One raw block of literals."""
    out = wire.varint(len(data))
    for i in range(0, len(data), 60):
        part = data[i:i + 60]
        out += bytes([len(part) - 1 << 2]) + part
    return out


def exchange(port, path, body=b"", content_type="application/x-protobuf", method="POST", encoding=None, connection=None):
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": content_type, **({"Content-Encoding": encoding} if encoding else {})}
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    answer = reply.status, reply.getheader("Content-Type"), reply.read()
    connection.close()
    return answer


def call(target, method, body, credentials=None, timeout=10):
    channel = grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target)
    with channel:
        return channel.unary_unary(method)(body, timeout=timeout)


TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


class Arrives(unittest.TestCase):
    """What a test sends has a trace id of its own and is looked for in the file."""

    def arrived(self, weft, trace, service="by-hand"):
        span = wait_for("the span", lambda: [s for s in harness.read_spans(weft.file) if s.trace == trace.hex()])
        self.assertEqual(len(span), 1, span)
        self.assertEqual((span[0].service, span[0].name, span[0].kind), (service, "by hand", "server"), span)
        self.assertEqual(span[0].end - span[0].start, 1000, span)
        return span[0]


class Receivers(Arrives):
    @classmethod
    def setUpClass(cls):
        cls.weft = Weft(**OFF)

    @classmethod
    def tearDownClass(cls):
        try:
            wait_for("the books to balance", lambda: cls.weft.ledger()["balanced"])
            cls.weft.stop()
        finally:
            cls.weft.close()

    def setUp(self):
        self.trace = os.urandom(16)
        self.ports = self.weft.ports

    def tearDown(self):
        pass

    def sdk(self, exporter):
        """A span of the Python SDK through `exporter`."""
        provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        span = provider.get_tracer("t", "1").start_span("by hand", kind=SpanKind.SERVER, start_time=NOW)
        span.end(NOW + 1000)
        provider.shutdown()
        return self.arrived(self.weft, span.get_span_context().trace_id.to_bytes(16, "big"), "sdk")

    # ---- OTLP

    def test_otlp_grpc_of_the_python_sdk(self):
        endpoint = f"http://127.0.0.1:{self.ports['grpc']}"
        self.sdk(GrpcExporter(endpoint=endpoint, insecure=True))
        self.sdk(GrpcExporter(endpoint=endpoint, insecure=True, compression=grpc.Compression.Gzip))

    def test_otlp_http_of_the_python_sdk(self):
        endpoint = f"http://127.0.0.1:{self.ports['http']}/v1/traces"
        for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
            self.sdk(HttpExporter(endpoint=endpoint, compression=compression))

    def test_otlp_http_in_every_compression_and_both_encodings(self):
        harness.require_program("zstd")
        for encoding, pack in ((None, bytes), ("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress),
                               ("zstd", zstd), ("snappy", snappy)):
            for content_type, make in (("application/x-protobuf", lambda t: otlp_request(t).SerializeToString()),
                                       ("application/json", otlp_json)):
                with self.subTest(encoding=encoding, content_type=content_type):
                    trace = os.urandom(16)
                    self.assertEqual(exchange(self.ports["http"], "/v1/traces", pack(make(trace)), content_type,
                                              encoding=encoding)[:2], (200, content_type))
                    self.arrived(self.weft, trace)

    def test_both_otlp_ports_speak_http_and_grpc(self):
        self.assertEqual(exchange(self.ports["grpc"], "/v1/traces", otlp_json(self.trace), "application/json")[0], 200)
        self.arrived(self.weft, self.trace)
        trace = os.urandom(16)
        self.assertEqual(call(f"127.0.0.1:{self.ports['http']}", TRACES, otlp_request(trace).SerializeToString()), b"")
        self.arrived(self.weft, trace)

    def test_an_empty_request_succeeds(self):
        self.assertEqual(exchange(self.ports["http"], "/v1/traces", b"")[0], 200)
        self.assertEqual(call(f"127.0.0.1:{self.ports['grpc']}", TRACES, b""), b"")

    def test_metrics_and_logs_are_refused_without_a_collector(self):
        for path in ("/v1/metrics", "/v1/logs"):
            self.assertEqual(exchange(self.ports["http"], path, b"")[0], 404)
        for method in (METRICS, LOGS):
            with self.assertRaises(grpc.RpcError) as refused:
                call(f"127.0.0.1:{self.ports['grpc']}", method, b"")
            self.assertEqual(refused.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    # ---- Jaeger

    def datagram(self, port, data):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(data, ("127.0.0.1", self.ports[port]))
        self.arrived(self.weft, self.trace)

    def test_jaeger_udp_compact(self):
        self.datagram("compact", wire.emit_batch(jaeger_batch(self.trace)))

    def test_jaeger_udp_binary(self):
        self.datagram("binary", wire.emit_batch(jaeger_batch(self.trace), wire.Binary))

    def test_jaeger_udp_as_a_call(self):
        self.datagram("compact", wire.emit_batch(jaeger_batch(self.trace), type_=wire.CALL, sequence=7))

    def test_jaeger_udp_legacy_port(self):
        self.datagram("legacy", wire.emit_batch(jaeger_batch(self.trace)))

    def test_zipkin_batch_on_the_legacy_port(self):
        self.datagram("legacy", wire.emit_zipkin_batch(zipkin_v1(self.trace)))

    def test_jaeger_http(self):
        body = wire.Binary.struct(wire.thrift_batch(jaeger_batch(self.trace)))
        self.assertEqual(exchange(self.ports["jaeger_http"], "/api/traces?format=jaeger.thrift", body,
                                  "application/x-thrift")[::2], (202, b""))
        self.arrived(self.weft, self.trace)

    def test_jaeger_http_chunked_and_gzipped(self):
        body = gzip.compress(wire.Binary.struct(wire.thrift_batch(jaeger_batch(self.trace))))
        chunks = (body[i:i + 7] for i in range(0, len(body), 7))
        self.assertEqual(exchange(self.ports["jaeger_http"], "/api/traces", chunks, "application/vnd.apache.thrift.binary",
                                  encoding="gzip")[0], 202)
        self.arrived(self.weft, self.trace)

    def test_jaeger_grpc(self):
        answer = call(f"127.0.0.1:{self.ports['jaeger_grpc']}", "/jaeger.api_v2.CollectorService/PostSpans",
                      wire.post_spans(jaeger_batch(self.trace)))
        self.assertEqual(answer, b"")
        self.arrived(self.weft, self.trace)

    # ---- Zipkin

    def zipkin(self, path, body, content_type):
        self.assertEqual(exchange(self.ports["zipkin"], path, body, content_type)[::2], (202, b""))
        self.arrived(self.weft, self.trace)

    def test_zipkin_v2_json(self):
        self.zipkin("/api/v2/spans", json.dumps(zipkin_v2(self.trace)), "application/json")

    def test_zipkin_v2_protobuf(self):
        self.zipkin("/api/v2/spans", wire.zipkin_proto(zipkin_v2(self.trace)), "application/x-protobuf")

    def test_zipkin_v1_json(self):
        self.zipkin("/api/v1/spans", json.dumps(zipkin_v1(self.trace)), "application/json")

    def test_zipkin_v1_thrift(self):
        self.zipkin("/api/v1/spans", wire.zipkin_thrift(zipkin_v1(self.trace)), "application/x-thrift")

    def test_zipkin_exporter_of_the_python_sdk(self):
        self.sdk(ZipkinExporter(endpoint=f"http://127.0.0.1:{self.ports['zipkin']}/api/v2/spans"))

    # ---- Sampling

    def test_sampling(self):
        status, content_type, body = exchange(self.ports["sampling"], "/sampling?service=x", method="GET")
        self.assertEqual((status, content_type), (200, "application/json"))
        self.assertEqual(json.loads(body), {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.001}})
        self.assertEqual(json.loads(exchange(self.ports["sampling"], "/?service=x", method="GET")[2])["strategyType"], 0)
        self.assertEqual(exchange(self.ports["sampling"], "/sampling", method="GET")[0], 400)
        answer = call(f"127.0.0.1:{self.ports['jaeger_grpc']}", "/jaeger.api_v2.SamplingManager/GetSamplingStrategy",
                      wire.pb(1, "x"))
        self.assertIn(struct.pack("<d", 0.001), answer)


class OtherSignals(unittest.TestCase):
    def requests(self):
        metrics = ExportMetricsServiceRequest()
        metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="up", unit="1")
        metric.gauge.data_points.add(as_int=1, time_unix_nano=NOW)
        logs = ExportLogsServiceRequest()
        logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOW, severity_text="INFO")
        # A field of a later version travels along.
        future = wire.pb(99, "of a later version")
        return {"metrics": metrics.SerializeToString() + future, "logs": logs.SerializeToString() + future}

    def test_metrics_and_logs_reach_the_collector_byte_for_byte(self):
        collector = FakeCollector()
        settings = {"exporters__collector__endpoint": f"127.0.0.1:{collector.port}"}
        with collector.running(), Weft(**OFF, **settings) as weft:
            for signal, body in self.requests().items():
                method = {"metrics": METRICS, "logs": LOGS}[signal]
                self.assertEqual(call(f"127.0.0.1:{weft.ports['grpc']}", method, body), b"")
                wait_for(signal, lambda: collector.requests[signal] == [body])
                self.assertEqual(exchange(weft.ports["http"], f"/v1/{signal}", gzip.compress(body), encoding="gzip")[0], 200)
                wait_for(signal, lambda: collector.requests[signal] == [body, body])
            wait_for("the books to balance", lambda: weft.ledger()["balanced"])
            weft.stop()

    def test_json_reaches_the_collector_as_protobuf(self):
        collector = FakeCollector()
        settings = {"exporters__collector__endpoint": f"127.0.0.1:{collector.port}"}
        with collector.running(), Weft(**OFF, **settings) as weft:
            for signal, kind in (("metrics", ExportMetricsServiceRequest), ("logs", ExportLogsServiceRequest)):
                sent = kind.FromString(self.requests()[signal])
                sent.DiscardUnknownFields()
                status, content_type, answer = exchange(weft.ports["http"], f"/v1/{signal}", MessageToJson(sent).encode(),
                                                        "application/json")
                self.assertEqual((status, content_type, answer), (200, "application/json", b"{}"))
                wait_for(signal, lambda: collector.requests[signal])
                self.assertEqual(kind.FromString(collector.requests[signal][0]), sent)
            weft.stop()

    def test_attributes_of_the_node_are_added_where_they_are_missing(self):
        collector = FakeCollector()
        settings = {"exporters__collector__endpoint": f"127.0.0.1:{collector.port}",
                    "resource__attributes": '["k8s.node.name=node-7", "service.name=not-this"]'}
        traces = ExportTraceServiceRequest()
        resource = traces.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "shop"
        resource.scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="buy")
        with collector.running(), Weft(**OFF, **settings) as weft:
            call(f"127.0.0.1:{weft.ports['grpc']}", TRACES, traces.SerializeToString())
            exchange(weft.ports["http"], "/v1/logs", self.requests()["logs"])
            wait_for("both", lambda: collector.requests["trace"] and collector.requests["logs"])
            weft.stop()
        resource.resource.attributes.add(key="k8s.node.name").value.string_value = "node-7"
        self.assertEqual(ExportTraceServiceRequest.FromString(collector.requests["trace"][0]), traces)
        logs = ExportLogsServiceRequest.FromString(collector.requests["logs"][0])
        self.assertEqual({a.key: a.value.string_value for a in logs.resource_logs[0].resource.attributes},
                         {"k8s.node.name": "node-7", "service.name": "not-this"})

    def test_what_a_collector_refuses_for_good_can_be_looked_at(self):
        collector = FakeCollector()
        collector.refuse_with = grpc.StatusCode.INVALID_ARGUMENT
        with tempfile.TemporaryDirectory() as folder:
            quarantine = pathlib.Path(folder, "refused.jsonl")
            settings = {"exporters__collector__endpoint": f"127.0.0.1:{collector.port}",
                        "exporters__collector__quarantine_path": str(quarantine)}
            with collector.running(), Weft(**OFF, **settings) as weft:
                trace = bytes(range(1, 17))
                exchange(weft.ports["http"], "/v1/traces", json.dumps(
                    {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": trace.hex(), "spanId": trace[:8].hex(),
                                                                   "name": "poison"}]}]}]}).encode(), "application/json")
                wait_for("the file", lambda: quarantine.exists() and quarantine.read_text().count("\n") == 1)
                wait_for("the books to balance", lambda: weft.ledger()["balanced"])
                weft.stop()
            self.assertEqual(json.loads(quarantine.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"], "poison")

    def test_refused_when_told_so(self):
        collector = FakeCollector()
        settings = {"exporters__collector__endpoint": f"127.0.0.1:{collector.port}",
                    "receivers__otlp_http__other_signals": "refuse"}
        with collector.running(), Weft(**OFF, **settings) as weft:
            for signal, body in self.requests().items():
                self.assertEqual(exchange(weft.ports["http"], f"/v1/{signal}", body)[0], 404)
                self.assertEqual(collector.requests[signal], [])
            weft.stop()


class Authority:
    """A certificate authority, with certificates for a server and a client, and a stranger's."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-certificates-"))
        self.authority("ca")
        self.authority("stranger")
        self.sign("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.sign("client", "ca", "extendedKeyUsage=clientAuth")
        self.sign("other", "stranger", "extendedKeyUsage=clientAuth")

    def path(self, name):
        return self.folder / name

    def bytes(self, name):
        return self.path(name).read_bytes()

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, check=True, capture_output=True)

    def key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key"]

    def authority(self, name):
        self.openssl("req", "-x509", *self.key(name), "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.pem")

    def sign(self, name, by, extension):
        self.openssl("req", *self.key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        self.path(f"{name}.ext").write_text(extension)
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
                     "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


class Tls(Arrives):
    @classmethod
    def setUpClass(cls):
        cls.certificates = Authority()
        cls.addClassCleanup(shutil.rmtree, cls.certificates.folder)

    def weft(self, client_ca=False):
        settings = {}
        for name in ("otlp_grpc", "otlp_http"):
            settings[f"receivers__{name}__tls__certificate"] = self.certificates.path("server.pem")
            settings[f"receivers__{name}__tls__key"] = self.certificates.path("server.key")
            if client_ca:
                settings[f"receivers__{name}__tls__client_ca"] = self.certificates.path("ca.pem")
        return Weft(**OFF, **settings)

    def https(self, weft, trace, certificate=None, version=None):
        context = ssl.create_default_context(cafile=self.certificates.path("ca.pem"))
        if version:
            context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(self.certificates.path(f"{certificate}.pem"), self.certificates.path(f"{certificate}.key"))
        connection = http.client.HTTPSConnection("127.0.0.1", weft.ports["http"], context=context, timeout=10)
        return exchange(0, "/v1/traces", otlp_request(trace).SerializeToString(), connection=connection)[0]

    def grpcs(self, weft, trace, certificate=None):
        pair = [self.certificates.bytes(f"{certificate}.{kind}") for kind in ("key", "pem")] if certificate else [None, None]
        credentials = grpc.ssl_channel_credentials(self.certificates.bytes("ca.pem"), *pair)
        return call(f"localhost:{weft.ports['grpc']}", TRACES, otlp_request(trace).SerializeToString(), credentials)

    def test_tls(self):
        with self.weft() as weft:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                trace = os.urandom(16)
                self.assertEqual(self.https(weft, trace, version=version), 200)
                self.arrived(weft, trace)
            trace = os.urandom(16)
            self.assertEqual(self.grpcs(weft, trace), b"")
            self.arrived(weft, trace)
            # Without TLS there is nothing to be had.
            with self.assertRaises((OSError, http.client.HTTPException)):
                exchange(weft.ports["http"], "/v1/traces", b"")
            self.assertEqual(len(weft.stop()), 3)

    def test_mutual_tls(self):
        with self.weft(client_ca=True) as weft:
            for send in (self.https, self.grpcs):
                trace = os.urandom(16)
                self.assertIn(send(weft, trace, "client"), (200, b""))
                self.arrived(weft, trace)
                for certificate in (None, "other"):
                    with self.assertRaises((OSError, http.client.HTTPException, grpc.RpcError)):
                        send(weft, os.urandom(16), certificate)
            self.assertEqual(len(weft.stop()), 2)

    def test_a_renewed_certificate_is_used_without_restart(self):
        with self.weft() as weft:
            before = ssl.get_server_certificate(("127.0.0.1", weft.ports["http"]))
            self.certificates.sign("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
            wait_for("the new certificate", lambda: self.reached_with_another(weft, before), seconds=40)
            trace = os.urandom(16)
            self.assertEqual(self.https(weft, trace), 200)
            self.arrived(weft, trace)
            weft.stop()

    def reached_with_another(self, weft, before):
        try:
            return ssl.get_server_certificate(("127.0.0.1", weft.ports["http"])) != before
        except OSError:
            return False


class UnixSocket(Arrives):
    def test_http_and_grpc(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-unix-"))
        self.addCleanup(shutil.rmtree, folder)
        settings = {f"receivers__otlp_{name}__endpoint": f"unix://{folder}/{name}" for name in ("grpc", "http")}
        with Weft(**OFF, **settings) as weft:
            trace = os.urandom(16)
            self.assertEqual(call(f"unix://{folder}/grpc", TRACES, otlp_request(trace).SerializeToString()), b"")
            self.arrived(weft, trace)
            trace = os.urandom(16)
            connection = http.client.HTTPConnection("localhost", timeout=10)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(folder / "http"))
            self.assertEqual(exchange(0, "/v1/traces", otlp_request(trace).SerializeToString(), connection=connection)[0], 200)
            self.arrived(weft, trace)
            self.assertEqual(len(weft.stop()), 2)


if __name__ == "__main__":
    harness.require_program("openssl")
    harness.main()
