"""Kernel view and SDK view of the same requests become one span per operation, with real SDKs of Python and Node and
the old jaeger-client."""

import subprocess
import time
import unittest

import harness
from harness import HERE, PYTHON, Weft, free_port, running

NODE_ENV = {"NODE_PATH": str(harness.E2E / "node" / "node_modules")}


def curl(url, *options):
    subprocess.run(["curl", "-s", "-o", "/dev/null", *options, url], check=True)


def python_app(weft, port, name, protocol="http", next_url=None):
    endpoint = weft.ports["grpc" if protocol == "grpc" else "http"]
    env = {"OTEL_SERVICE_NAME": name, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{endpoint}",
           "OTEL_EXPORTER_OTLP_INSECURE": "true"}
    command = [PYTHON, HERE / "python_app.py", port, protocol] + ([next_url] if next_url else [])
    return running(*command, port=port, env=env)


def node_app(weft, port, name, exporter="proto", next_url=None):
    package = {"proto": "exporter-trace-otlp-proto", "json": "exporter-trace-otlp-http",
               "grpc": "exporter-trace-otlp-grpc"}[exporter]
    endpoint = weft.ports["grpc" if exporter == "grpc" else "http"]
    env = {**NODE_ENV, "OTEL_SERVICE_NAME": name, "PORT": str(port), "TEST_EXPORTER": f"@opentelemetry/{package}",
           "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{endpoint}"}
    if next_url:
        env["NEXT"] = next_url
    return running("node", HERE / "node" / "chain_server.js", port=port, env=env)


def mine(spans, services, *ports):
    """The spans of this test: other processes of the machine may be busy too."""
    return [s for s in spans if s.service in services or any(str(p) in str(s.attributes) for p in ports)]


def settle():
    """Lets the SDKs' batch timers (0.3 s) fire and weft's hold window pass."""
    time.sleep(harness.HOLD_SECONDS + 1.5)


class Merge(unittest.TestCase):
    def chain(self, spans, count, names):
        """`count` requests curl -> first -> second: per request four operations after curl's own, one span each."""
        first, second = names
        clients = [s for s in spans if s.service == "curl"]
        front = [s for s in spans if s.service == first and s.kind == "server"]
        calls = [s for s in spans if s.service == first and s.kind == "client"]
        back = [s for s in spans if s.service == second and s.kind == "server"]
        text = "\n".join(map(repr, spans))
        self.assertEqual([len(x) for x in (clients, front, calls, back)], [count] * 4, text)
        self.assertEqual(len(spans), 4 * count, text)
        by_id = {s.id: s for s in spans}
        self.assertEqual(len(by_id), len(spans), "a span id twice")
        for span in front + calls + back:
            self.assertEqual(span.origin, "merged", span)
            self.assertIn("weft.wire.request.first_unix_nano", span.attributes)
        for span in clients:
            self.assertEqual((span.origin, span.parent), ("kernel", ""))
        for span in back:
            self.assertIs(by_id.get(span.parent).kind, "client", text)
            self.assertEqual(by_id[span.parent].service, first)
        for span in calls:
            self.assertEqual(by_id[span.parent].service, first, text)
            self.assertEqual(by_id[span.parent].kind, "server", text)
        for span in front:
            self.assertEqual(by_id[span.parent].service, "curl", text)
        for span in spans:
            if span.parent:
                self.assertEqual(by_id[span.parent].trace, span.trace, text)

    def test_python_sdk_chain_over_http(self):
        with Weft() as weft:
            a, b = free_port(), free_port()
            with python_app(weft, b, "py-back"), \
                    python_app(weft, a, "py-front", next_url=f"http://127.0.0.1:{b}/leaf"):
                for i in range(5):
                    curl(f"http://127.0.0.1:{a}/page/{i}")
                settle()
                self.assertTrue(weft.ledger()["balanced"], weft.ledger())
            self.chain(mine(weft.stop(), ("py-front", "py-back"), a, b), 5, ("py-front", "py-back"))

    def test_python_sdk_over_grpc(self):
        with Weft() as weft:
            port = free_port()
            with python_app(weft, port, "py-grpc", "grpc"):
                curl(f"http://127.0.0.1:{port}/a")
                settle()
            spans = mine(weft.stop(), ("py-grpc",), port)
            self.assertEqual(sorted((s.service, s.kind, s.origin) for s in spans),
                             [("curl", "client", "kernel"), ("py-grpc", "server", "merged")], spans)

    def test_node_sdk_chain_protobuf_and_json(self):
        harness.require_program("node")
        with Weft() as weft:
            a, b = free_port(), free_port()
            with node_app(weft, b, "node-back", "json"), \
                    node_app(weft, a, "node-front", "proto", f"http://127.0.0.1:{b}/leaf"):
                for i in range(5):
                    curl(f"http://127.0.0.1:{a}/page/{i}")
                settle()
            self.chain(mine(weft.stop(), ("node-front", "node-back"), a, b), 5, ("node-front", "node-back"))

    def test_uninstrumented_service_joins_the_trace_of_its_caller(self):
        with Weft() as weft:
            a, b = free_port(), free_port()
            with running(PYTHON, "-m", "http.server", b, "--bind", "127.0.0.1", port=b, cwd=weft.folder), \
                    python_app(weft, a, "py-front", next_url=f"http://127.0.0.1:{b}/"):
                curl(f"http://127.0.0.1:{a}/x")
                settle()
            spans = mine(weft.stop(), ("py-front",), a, b)
        leaf = [s for s in spans if s.service == "http.server"]
        call = [s for s in spans if s.service == "py-front" and s.kind == "client"]
        self.assertEqual((len(leaf), len(call), len(spans)), (1, 1, 4), spans)
        self.assertEqual((leaf[0].parent, leaf[0].trace, leaf[0].origin), (call[0].id, call[0].trace, "kernel"))

    def test_jaeger_client_over_udp(self):
        harness.require_program("node")
        with Weft() as weft:
            port = free_port()
            env = {**NODE_ENV, "PORT": str(port), "AGENT_PORT": str(weft.ports["binary"])}
            with running("node", HERE / "node" / "jaeger_server.js", port=port, env=env):
                for i in range(3):
                    curl(f"http://127.0.0.1:{port}/j{i}")
                settle()
            spans = mine(weft.stop(), ("jaeger-shop",), port)
        servers = [s for s in spans if s.kind == "server"]
        self.assertEqual([s.service for s in servers], ["jaeger-shop"] * 3, spans)
        self.assertEqual({s.origin for s in servers}, {"merged"}, spans)
        self.assertEqual(len([s for s in spans if s.kind == "client"]), 3, spans)
        self.assertEqual(len(spans), 6, spans)


if __name__ == "__main__":
    harness.require_capture()
    harness.main()
