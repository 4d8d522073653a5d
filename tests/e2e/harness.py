"""What every end-to-end test needs: a running weft with its own ports, real programs as traffic, and its spans.

WEFT_BUILD names the folder of the release programs. A test that cannot run here exits with 77 and says why; ctest
shows it as skipped."""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", SOURCE / "build" / "release"))
E2E = SOURCE / "build" / "e2e"
PYTHON = E2E / "venv" / "bin" / "python"
HERE = pathlib.Path(__file__).resolve().parent
HOLD_SECONDS = 2


handed_out = set()


def free_port():
    """Below the range that the kernel takes outgoing ports from: those of busy clients would collide with it. Each is handed
    out once: of a dozen drawn for one program, two would be the same in one start of three hundred."""
    while True:
        port = random.randrange(10240, 32768)
        if port in handed_out:
            continue
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                handed_out.add(port)
                return port
            except OSError:
                continue


def wait_for(what, check, seconds=20.0):
    """Polls until check() is true; a real program's readiness has no other signal."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


def port_open(port):
    with socket.socket() as s:
        s.settimeout(0.2)
        return s.connect_ex(("127.0.0.1", port)) == 0


def http_get(port, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


class Weft:
    """One running weft. Spans are read from its file exporter after stop()."""

    def __init__(self, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-e2e-"))
        self.file = self.folder / "spans.jsonl"
        self.ports = {name: free_port() for name in (
            "grpc", "http", "compact", "binary", "legacy", "jaeger_grpc", "jaeger_http", "zipkin", "sampling", "admin", "query")}
        values = {
            "receivers.otlp_grpc.endpoint": f"127.0.0.1:{self.ports['grpc']}",
            "receivers.otlp_http.endpoint": f"127.0.0.1:{self.ports['http']}",
            "receivers.jaeger_udp.compact_endpoint": f"127.0.0.1:{self.ports['compact']}",
            "receivers.jaeger_udp.binary_endpoint": f"127.0.0.1:{self.ports['binary']}",
            "receivers.jaeger_udp.legacy_endpoint": f"127.0.0.1:{self.ports['legacy']}",
            "receivers.jaeger_grpc.endpoint": f"127.0.0.1:{self.ports['jaeger_grpc']}",
            "receivers.jaeger_http.endpoint": f"127.0.0.1:{self.ports['jaeger_http']}",
            "receivers.zipkin.endpoint": f"127.0.0.1:{self.ports['zipkin']}",
            "receivers.sampling.endpoint": f"127.0.0.1:{self.ports['sampling']}",
            "console.admin.endpoint": f"127.0.0.1:{self.ports['admin']}",
            "console.query.endpoint": f"127.0.0.1:{self.ports['query']}",
            "exporters.file.path": str(self.file),
            "merge.hold_seconds": str(HOLD_SECONDS),
        }
        values.update({k.replace("__", "."): str(v) for k, v in settings.items()})
        command = [str(BUILD / "weft"), "run"]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            wait_for("weft to be ready", self.ready)
        except AssertionError:
            self.process.kill()
            raise AssertionError(f"weft did not start:\n{self.log_text()}") from None

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"weft ended with {self.process.returncode}:\n{self.log_text()}")
        try:
            return http_get(self.ports["admin"], "/readyz")[0] == 200
        except OSError:
            return False

    def log_text(self):
        return (self.folder / "log").read_text()

    def ledger(self):
        return json.loads(http_get(self.ports["admin"], "/debug/ledger?format=json")[1])

    def metric(self, name):
        """The sum of a metric's samples over its labels."""
        total = 0.0
        for line in http_get(self.ports["admin"], "/metrics")[1].splitlines():
            if line.startswith(name) and line[len(name)] in " {":
                total += float(line.rsplit(" ", 1)[1])
        return total

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])

    def stop(self):
        """SIGTERM, drain, end; returns the spans, without those of the test's own questions to weft."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(25)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise AssertionError(f"weft did not drain within 25 s:\n{self.log_text()}") from None
        if self.process.returncode != 0:
            raise AssertionError(f"weft ended with {self.process.returncode}:\n{self.log_text()}")
        own = {self.ports["admin"], self.ports["query"]}
        return [s for s in read_spans(self.file) if s.attributes.get("server.port") not in own]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class SpanView:
    """One span of the file exporter, flattened."""

    def __init__(self, resource, span):
        self.resource = resource
        self.raw = span
        self.attributes = attributes(span.get("attributes", []))
        self.name = span.get("name", "")
        self.kind = {2: "server", 3: "client", 1: "internal"}.get(span.get("kind"), "other")
        self.trace, self.id, self.parent = span["traceId"], span["spanId"], span.get("parentSpanId", "")
        self.start, self.end = int(span.get("startTimeUnixNano", 0)), int(span.get("endTimeUnixNano", 0))
        self.error = span.get("status", {}).get("code") == 2
        self.service = resource.get("service.name")
        self.pid = resource.get("process.pid")
        self.origin = self.attributes.get("weft.origin")
        self.status = self.attributes.get("http.response.status_code", self.attributes.get("http.status_code"))
        self.path = (self.attributes.get("url.path") or self.attributes.get("http.target")
                     or urllib.parse.urlsplit(self.attributes.get("url.full", "")).path)

    def contains(self, other):
        return self.start <= other.start and other.end <= self.end

    def __repr__(self):
        return (f"<{self.service} {self.kind} {self.name!r} {self.status} {self.origin} trace={self.trace[-6:]} "
                f"id={self.id} parent={self.parent} {self.start}..{self.end} {self.attributes}>")


def value(any_value):
    kind, raw = next(iter(any_value.items()), (None, None))
    if kind == "intValue":
        return int(raw)
    if kind == "arrayValue":
        return [value(v) for v in raw.get("values", [])]
    return raw


def attributes(pairs):
    return {p["key"]: value(p["value"]) for p in pairs}


def read_spans(path):
    spans = []
    if not path.exists():
        return spans
    for line in path.read_text().split("\n")[:-1]:  # the last line may still be being written
        for resource_spans in json.loads(line).get("resourceSpans", []):
            resource = attributes(resource_spans.get("resource", {}).get("attributes", []))
            for scope_spans in resource_spans.get("scopeSpans", []):
                spans += [SpanView(resource, s) for s in scope_spans.get("spans", [])]
    return spans


@contextlib.contextmanager
def running(*command, port=None, env=None, cwd=None):
    """A real program, ready when its port answers, killed at the end."""
    process = subprocess.Popen([str(c) for c in command], env={**os.environ, **(env or {})}, cwd=cwd,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if port:
            wait_for(f"{command[0]} on port {port}", lambda: process.poll() is not None or port_open(port))
        if process.poll() is not None:
            raise AssertionError(f"{command} ended: {process.stderr.read().decode()}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


@contextlib.contextmanager
def nginx(root, port, workers=1, listen="", extra=""):
    """nginx serving a folder, with `/teapot` (418) and `/ok` (200) made by `return`. `listen` are parameters of its
    port, `extra` more directives of the server."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-nginx-"))
    os.chmod(folder, 0o755)
    config = folder / "nginx.conf"
    config.write_text(f"""daemon off; worker_processes {workers}; pid {folder}/pid; error_log stderr;
user root;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} {listen}; root {root}; {extra}
    location = /ok {{ return 200 "ok"; }} location = /teapot {{ return 418 "no"; }}
    location = /broken {{ return 503 "down"; }} }} }}
""")
    try:
        with running(shutil.which("nginx") or "/usr/sbin/nginx", "-c", config, "-p", folder, port=port) as process:
            yield process
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_capture():
    """Skips the whole file, loudly, where eBPF capture cannot work."""
    done = subprocess.run([str(BUILD / "weft"), "doctor", "--json"], capture_output=True, text=True)
    features = {f["name"]: f for f in json.loads(done.stdout)["features"]} if done.returncode == 0 else {}
    capture = features.get("capture", {"on": False, "reason": done.stderr})
    if not capture["on"]:
        print(f"SKIPPED: no eBPF capture on this machine: {capture['reason']}")
        sys.exit(77)


def require_program(name):
    if not shutil.which(name):
        print(f"SKIPPED: {name} is not installed")
        sys.exit(77)


def main():
    unittest.main(verbosity=2)
