"""The receiver and forwarder side, without capture: bad input, faults, overload, drain."""

import gzip
import http.client
import io
import json
import os
import pathlib
import resource
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import BUILD, Weft, free_port, running, wait_for

SPAN = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "one", "kind": 1,
        "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns() + 1_000_000)}


def request_json(*spans):
    return json.dumps({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "tester"}}]},
        "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def post(port, body, content_type="application/json", path="/v1/traces", headers=None, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {"Content-Type": content_type, **(headers or {})})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


class Receiver(unittest.TestCase):
    OFF = {"capture__enabled": "false"}

    def test_bad_input_gets_a_clear_status_and_costs_nothing_else(self):
        with Weft(**self.OFF) as weft:
            port = weft.ports["http"]
            self.assertEqual(post(port, request_json(SPAN))[0], 200)
            self.assertEqual(post(port, b"{nonsense")[0], 400)
            self.assertEqual(post(port, b"\x0a\xff\xff\xff\xff\x7f", "application/x-protobuf")[0], 400)
            self.assertEqual(post(port, b"x", "text/plain")[0], 415)
            self.assertEqual(post(port, b"", method="GET")[0], 405)
            self.assertEqual(post(port, b"{}", path="/v1/metrics")[0], 404)
            self.assertEqual(post(port, b"{}", path="/v1/logs")[0], 404)
            self.assertEqual(post(port, b"not gzip", headers={"Content-Encoding": "gzip"})[0], 400)
            self.assertEqual(post(port, gzip.compress(request_json(SPAN)), headers={"Content-Encoding": "gzip"})[0], 200)
            for name in ("compact", "binary"):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                    for datagram in (b"", b"\x00", b"\x82\x81\x01\x09emitBatch" + b"\xff" * 40, os.urandom(1000)):
                        s.sendto(datagram, ("127.0.0.1", weft.ports[name]))
            wait_for("the books to balance", lambda: weft.ledger()["balanced"])
            self.assertEqual(len(weft.stop()), 2)

    def test_gzip_bomb_is_refused_in_little_memory(self):  # F31
        body = io.BytesIO()
        with gzip.GzipFile(fileobj=body, mode="wb", compresslevel=9) as z:
            for _ in range(1024):
                z.write(bytes(1 << 20))
        with Weft(**self.OFF) as weft:
            before = weft.rss_kib()
            status, _ = post(weft.ports["http"], body.getvalue(), "application/x-protobuf",
                             headers={"Content-Encoding": "gzip"})
            self.assertEqual(status, 413)
            self.assertLess(weft.rss_kib() - before, 80 * 1024)
            weft.stop()

    def test_connection_flood_is_refused_and_the_port_accepts_again(self):  # F34
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            weft = Weft(**self.OFF)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        try:
            flood = []
            for _ in range(2000):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", weft.ports["http"]))
                flood.append(s)
            for s in flood:
                s.close()
            wait_for("the port to accept again",
                     lambda: self.accepts(weft.ports["http"]), seconds=1)
            weft.stop()
        finally:
            weft.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def accepts(self, port):
        try:
            return post(port, request_json(SPAN))[0] == 200
        except OSError:
            return False

    def test_collector_down_then_back_delivers_everything_acknowledged(self):  # F1
        collector = free_port()
        with Weft(**self.OFF, exporters__collector__endpoint=f"127.0.0.1:{collector}",
                  exporters__collector__queue_bytes=4 << 20) as weft:
            load = [str(BUILD / "weft-bench"), "load", "--endpoint", f"127.0.0.1:{weft.ports['grpc']}", "--spans", "100",
                    "--json"]
            first = json.loads(subprocess.run([*load, "--requests", "400"], capture_output=True).stdout)
            self.assertGreater(first["requests_refused"], 0, "the queue never filled")
            self.assertGreater(first["requests_acknowledged"], 20)
            sink = subprocess.Popen([str(BUILD / "weft-bench"), "sink", "--ids", "--json", "--endpoint",
                                     f"127.0.0.1:{collector}"], stdout=subprocess.PIPE)
            second = json.loads(subprocess.run([*load, "--requests", "2000", "--rate", "200"],
                                               capture_output=True).stdout)
            weft.stop()
            sink.terminate()
            got = json.loads(sink.communicate()[0])
        acknowledged = first["spans"] + second["spans"]
        # A request whose acknowledgement was lost may come twice; here nothing was cut off, so the counts are equal.
        self.assertEqual(got["spans"], acknowledged)
        self.assertGreater(second["requests_acknowledged"], 1000)

    def test_without_root_it_receives_and_says_what_is_off(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        os.chmod(folder, 0o777)
        admin, http_port = free_port(), free_port()
        command = [str(BUILD / "weft"), "run"]
        for key, value in {"receivers.otlp_http.endpoint": f"127.0.0.1:{http_port}",
                           "receivers.otlp_grpc.endpoint": f"127.0.0.1:{free_port()}",
                           **{f"receivers.{name}.enabled": "false" for name in
                              ("jaeger_udp", "jaeger_grpc", "jaeger_http", "zipkin", "sampling")},
                           "console.admin.endpoint": f"127.0.0.1:{admin}",
                           "console.query.endpoint": f"127.0.0.1:{free_port()}",
                           "exporters.file.path": str(folder / "spans.jsonl")}.items():
            command += ["--set", f"{key}={value}"]
        process = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            wait_for("the receiver", lambda: process.poll() is not None or harness.port_open(http_port))
            wait_for("the receiver to take a span", lambda: self.accepts(http_port))
            status = json.loads(harness.http_get(admin, "/debug/status")[1])
            capture = [f for f in status["features"] if f["name"] == "capture"][0]
            self.assertFalse(capture["on"])
            self.assertTrue(capture["reason"])
        finally:
            process.terminate()
            output = process.communicate(timeout=25)[0]
        self.assertIn("capture", output)
        self.assertEqual(len(harness.read_spans(folder / "spans.jsonl")), 1, output)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIPPED: needs root to drop it")
        raise SystemExit(77)
    harness.main()
