"""Go programs: TLS of every kind of build, and whose request an outbound call belongs to when many are in flight."""

import os
import subprocess
import unittest

import harness
from harness import E2E, Weft, free_port, running
from tls_test import Certificate

BUILDS = ("relay", "relay-stripped", "relay-pie")


class Go(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificate = Certificate()

    def setUp(self):
        for build in BUILDS:
            if not (E2E / build).exists():
                self.skipTest(f"{build} is not built: no Go here")

    def known(self, weft, program):
        harness.wait_for("weft to know the program", lambda: f"in {program}:" in weft.log_text())

    def of(self, spans, port, kind):
        return [s for s in spans if s.attributes.get("server.port") == port and s.kind == kind]

    def exchange(self, build, http2):
        port, program = free_port(), E2E / build
        files = (self.certificate.cert, self.certificate.key)
        with Weft() as weft, running(program, "back", port, *files, port=port):
            self.known(weft, program)
            environment = dict(os.environ, HTTP2="1") if http2 else None
            subprocess.run([program, "load", f"https://127.0.0.1:{port}/go", "8", "1"], check=True, env=environment)
            spans = weft.stop()
        servers, clients = self.of(spans, port, "server"), self.of(spans, port, "client")
        for side in (servers, clients):
            self.assertEqual(sorted(s.path for s in side), [f"/go/{i}" for i in range(8)], spans)
            self.assertEqual({s.attributes.get("network.protocol.version") for s in side}, {"2" if http2 else "1.1"})
            self.assertEqual({s.status for s in side}, {200})
        self.assertEqual({s.parent for s in servers}, {c.id for c in clients}, spans)

    def test_https(self):
        for build in BUILDS:
            with self.subTest(build):
                self.exchange(build, http2=False)

    def test_http2_over_tls(self):
        for build in BUILDS:
            with self.subTest(build):
                self.exchange(build, http2=True)

    def relayed(self, path, calls=1, tls=False, http2=False, build="relay"):
        """Many requests at a time through a server that asks another one for each."""
        front, back, program = free_port(), free_port(), E2E / build
        files = (self.certificate.cert, self.certificate.key) if tls else ()
        scheme = "https" if tls else "http"
        count, environment = 60, {"HTTP2": "1"} if http2 else {}
        with Weft() as weft, running(program, "back", back, *files, port=back), \
                running(program, "front", front, f"{scheme}://127.0.0.1:{back}", *files, port=front, env=environment):
            self.known(weft, program)
            subprocess.run([program, "load", f"{scheme}://127.0.0.1:{front}{path}", str(count), "12"], check=True)
            spans = weft.stop()
        inbound = {s.path: s for s in self.of(spans, front, "server")}
        outbound = self.of(spans, back, "client")
        self.assertEqual((len(inbound), len(outbound)), (count, count * calls))
        return inbound, outbound

    def check(self, *how, **more):
        inbound, outbound = self.relayed(*how, **more)
        wrong = [s for s in outbound if s.parent != inbound[s.path].id]
        self.assertEqual(wrong, [], f"{len(wrong)} of {len(outbound)} outbound calls have another parent than their own")

    def test_calls_of_concurrent_handlers(self):
        self.check("/own")

    def test_calls_of_a_goroutine_that_the_handler_started(self):
        self.check("/child")

    def test_several_calls_of_one_handler(self):
        self.check("/twice", calls=2)

    def test_calls_over_tls(self):
        self.check("/own", tls=True)

    def test_calls_over_one_http2_connection(self):
        self.check("/own", tls=True, http2=True)

    def test_calls_of_a_stripped_program(self):
        self.check("/own", build="relay-stripped")


if __name__ == "__main__":
    harness.require_capture()
    harness.require_program("openssl")
    harness.main()
