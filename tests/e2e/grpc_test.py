"""gRPC servers and clients of C++, Python, Node and Go, none of them instrumented: one server and one client span per
call, joined, with the call's name and status."""

import shutil
import subprocess
import unittest

import harness
from harness import E2E, HERE, PYTHON, Weft, free_port, running

NODE_ENV = {"NODE_PATH": str(harness.E2E / "node" / "node_modules")}
SCRIPT = HERE / "grpc" / "echo.py"
SERVICE = "weft.test.Echo"


def available(peer):
    if peer == "node":
        return shutil.which("node")
    return peer == "python" or (E2E / {"cpp": "e2e_grpc_echo", "go": "go-echo"}[peer]).exists()


def command(peer, *arguments):
    program = {"python": [PYTHON, SCRIPT], "node": ["node", HERE / "grpc" / "echo.js"], "cpp": [E2E / "e2e_grpc_echo"],
               "go": [E2E / "go-echo"]}[peer]
    return [str(part) for part in (*program, *arguments)]


def server(peer, port):
    return running(*command(peer, "server", port), port=port, env=NODE_ENV)


def client(peer, *arguments):
    return subprocess.run(command(peer, *arguments), capture_output=True, text=True, timeout=60, check=True,
                          env={**NODE_ENV, "PATH": "/usr/bin:/bin:/usr/local/bin"}).stdout


class Grpc(unittest.TestCase):
    def calls(self, peer, method, count, port=None):
        """The spans of `count` calls by a client of `peer` to a server of `peer`: (server spans, client spans)."""
        if not available(peer):
            self.skipTest(f"no gRPC peer in {peer}")
        port = port or free_port()
        with Weft() as weft:
            with server(peer, port):
                client(peer, "client", port, method, count)
            spans = [s for s in weft.stop() if s.attributes.get("server.port") == port]
        return [s for s in spans if s.kind == "server"], [s for s in spans if s.kind == "client"]

    def check(self, peer, method, count, status="OK", is_error=False):
        servers, clients = self.calls(peer, method, count)
        text = "\n".join(map(repr, servers + clients))
        self.assertEqual((len(servers), len(clients)), (count, count), text)
        callers = {s.id: s for s in clients}
        self.assertEqual(len(callers), count)
        for span in servers:
            self.assertEqual(span.name, f"{SERVICE}/{method}", text)
            self.assertEqual(span.attributes.get("rpc.response.status_code"), status, text)
            caller = callers.pop(span.parent, None)
            self.assertIsNotNone(caller, f"not the child of its call:\n{text}")
            self.assertEqual((caller.trace, caller.name), (span.trace, span.name))
            self.assertTrue(caller.contains(span), text)
        for span in clients:
            self.assertEqual(span.error, is_error, text)

    def test_unary_python(self):
        self.check("python", "Say", 10)

    def test_unary_cpp(self):
        self.check("cpp", "Say", 10)

    def test_unary_node(self):
        self.check("node", "Say", 10)

    def test_unary_go(self):
        self.check("go", "Say", 10)

    def test_errors_in_trailers_only(self):
        for peer in ("python", "cpp", "node", "go"):
            with self.subTest(peer=peer):
                self.check(peer, "Fail", 3, status="NOT_FOUND", is_error=True)

    def test_streams(self):
        for method in ("Count", "Collect", "Chat"):
            with self.subTest(method=method):
                self.check("python", method, 4)

    def test_a_hundred_streams_in_flight_on_one_connection(self):
        port = free_port()
        with Weft() as weft:
            with server("python", port):
                subprocess.run(command("python", "parallel", port, 100), check=True, timeout=60)
            spans = [s for s in weft.stop() if s.attributes.get("server.port") == port]
        servers, clients = ([s for s in spans if s.kind == kind] for kind in ("server", "client"))
        self.assertEqual((len(servers), len(clients)), (100, 100))
        self.assertEqual({s.parent for s in servers}, {c.id for c in clients})
        self.assertEqual(len({s.id for s in spans}), 200)

    def test_a_server_killed_in_mid_call(self):
        port = free_port()
        with Weft() as weft:
            with server("python", port) as process:
                caller = subprocess.Popen(command("python", "client", port, "Slow", 1), stdout=subprocess.PIPE, text=True)
                while b"under way" not in process.stderr.readline():
                    self.assertIsNone(process.poll())
                process.kill()
                caller.communicate(timeout=20)
            spans = [s for s in weft.stop() if s.attributes.get("server.port") == port]
        calls = [s for s in spans if s.kind == "client" and s.name == f"{SERVICE}/Slow"]
        self.assertEqual(len(calls), 1, spans)
        self.assertTrue(calls[0].error)
        self.assertEqual(calls[0].attributes.get("rpc.response.status_code"), "UNAVAILABLE")
        (server_span,) = [s for s in spans if s.kind == "server"]
        self.assertEqual((server_span.name, server_span.parent), (calls[0].name, calls[0].id))


if __name__ == "__main__":
    harness.require_capture()
    harness.main()
