"""weft between two OpenTelemetry Collectors: everything arrives once, unchanged."""

import collections
import json
import subprocess
import unittest

import harness
import peers
from harness import BUILD, HERE, PYTHON, Weft, free_port, running, wait_for

OFF = {"capture__enabled": "false"}


def load(endpoint, *options):
    done = subprocess.run([str(BUILD / "weft-bench"), "load", "--endpoint", endpoint, "--json", *map(str, options)],
                          capture_output=True, check=True)
    return json.loads(done.stdout)


def count_spans(file):
    return len(harness.read_spans(file))


class Collector(unittest.TestCase):
    def through(self, protocol, extra=()):
        behind = peers.Collector()
        with behind.running():
            port = behind.ports["grpc" if protocol == "grpc" else "http"]
            settings = {"exporters__collector__endpoint": f"127.0.0.1:{port}",
                        "exporters__collector__protocol": protocol, **dict(extra)}
            with Weft(**OFF, **settings) as weft:
                before = peers.Collector(forward_to=f"127.0.0.1:{weft.ports['grpc']}")
                with before.running():
                    sent = load(f"127.0.0.1:{before.ports['grpc']}", "--requests", 40, "--spans", 50)
                    self.assertEqual(sent["requests_acknowledged"], 40, sent)
                    wait_for("all spans", lambda: count_spans(behind.file) >= 2000)
                mine = weft.stop()
            wait_for("the file", lambda: count_spans(behind.file) >= len(mine))
            ids = collections.Counter((s.trace, s.id) for s in behind.spans())
        self.assertEqual(sum(ids.values()), 2000)
        self.assertEqual(max(ids.values()), 1, "a span came twice")
        self.assertEqual(set(ids), {(s.trace, s.id) for s in mine})

    def test_grpc_before_and_behind(self):
        self.through("grpc")

    def test_http_behind(self):
        self.through("http")

    def test_gzip_behind(self):
        self.through("grpc", [("exporters__collector__compression", "gzip")])

    def test_zstd_behind(self):
        self.through("grpc", [("exporters__collector__compression", "zstd")])

    def test_a_collector_that_dies_and_comes_back_loses_nothing(self):
        behind = peers.Collector()
        with Weft(**OFF, exporters__collector__endpoint=f"127.0.0.1:{behind.ports['grpc']}") as weft:
            endpoint = f"127.0.0.1:{weft.ports['grpc']}"
            sent = 0
            for _ in range(3):
                with behind.running():
                    sent += load(endpoint, "--requests", 30, "--spans", 50)["spans"]
                sent += load(endpoint, "--requests", 30, "--spans", 50)["spans"]
            with behind.running():
                wait_for("all spans", lambda: count_spans(behind.file) >= sent, seconds=30)
                weft.stop()
        # What was in flight when the Collector died may come twice, at most 8 requests each time.
        self.assertLess(count_spans(behind.file), sent + 3 * 8 * 50)

    def test_python_sdk_through_both(self):
        behind = peers.Collector()
        with behind.running(), Weft(**OFF, exporters__collector__endpoint=f"127.0.0.1:{behind.ports['grpc']}") as weft:
            before = peers.Collector(forward_to=f"127.0.0.1:{weft.ports['grpc']}")
            with before.running():
                port = free_port()
                env = {"OTEL_SERVICE_NAME": "py", "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{before.ports['http']}"}
                with running(PYTHON, HERE / "python_app.py", port, "http", port=port, env=env):
                    for i in range(5):
                        self.assertEqual(harness.http_get(port, f"/interop/{i}")[0], 200)
                    wait_for("the SDK's spans", lambda: len([s for s in behind.spans() if s.service == "py"]) >= 5)
            weft.stop()
        mine = [s for s in behind.spans() if s.service == "py" and s.kind == "server"]
        self.assertEqual(len({s.id for s in mine}), 5, mine)
        self.assertEqual(len(mine), 5, "a span came twice")


if __name__ == "__main__":
    peers.require("otelcol")
    harness.main()
