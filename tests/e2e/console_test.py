"""What a person asks a running weft: command line, health, books, the query API, the page."""

import json
import subprocess
import unittest

import harness
from harness import BUILD, Weft, http_get, wait_for
from receiver_test import SPAN, post, request_json


def weft_command(*arguments):
    return subprocess.run([str(BUILD / "weft"), *arguments], capture_output=True, text=True)


class CommandLine(unittest.TestCase):
    def test_a_wrong_setting_names_key_and_neighbour_and_starts_nothing(self):
        done = weft_command("run", "--set", "receivers.otlp_gpc.enabled=true")
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean receivers.otlp_grpc", done.stderr)

    def test_version_help_and_config(self):
        self.assertRegex(weft_command("--version").stdout, r"^weft \d+\.\d+\.\d+")
        self.assertIn("doctor", weft_command("--help").stdout)
        self.assertIn("otlp_grpc:", weft_command("config").stdout)
        self.assertEqual(weft_command("nonsense").returncode, 2)

    def test_doctor_without_a_running_weft_says_so(self):
        done = weft_command("doctor", "--set", f"console.admin.endpoint=127.0.0.1:{harness.free_port()}")
        self.assertIn("no weft answers", done.stdout)
        self.assertIn("capture", done.stdout)


class Console(unittest.TestCase):
    def test_a_span_can_be_found_everywhere(self):
        with Weft(capture__enabled="false") as weft:
            admin, query = weft.ports["admin"], weft.ports["query"]
            tail = subprocess.Popen([str(BUILD / "weft"), "tail", "--json", "--set",
                                     f"console.admin.endpoint=127.0.0.1:{admin}"], stdout=subprocess.PIPE, text=True)
            try:
                http_get(admin, "/debug/tail?cursor=0")
                self.assertEqual(post(weft.ports["http"], request_json(SPAN))[0], 200)
                self.assertEqual(json.loads(tail.stdout.readline())["name"], "one")
            finally:
                tail.kill()
                tail.communicate()
            wait_for("the store", lambda: json.loads(http_get(query, "/api/services")[1])["data"])
            self.assertEqual(json.loads(http_get(query, "/api/services")[1])["data"], ["tester"])
            self.assertEqual(json.loads(http_get(query, "/api/services/tester/operations")[1])["data"], ["one"])
            trace = json.loads(http_get(query, f"/api/traces/{SPAN['traceId']}")[1])["data"][0]
            self.assertEqual(trace["spans"][0]["operationName"], "one")
            found = json.loads(http_get(query, "/api/traces?service=tester&limit=5")[1])["data"]
            self.assertEqual([t["traceID"] for t in found], [SPAN["traceId"]])
            self.assertEqual(http_get(query, "/api/dependencies?endTs=1&lookback=1")[0], 200)
            status, page = http_get(query, "/")
            self.assertEqual(status, 200)
            self.assertIn("<html", page)
            for path in ("/", "/healthz", "/readyz", "/metrics", "/debug/ledger", "/debug/status"):
                self.assertEqual(http_get(admin, path)[0], 200, path)
            self.assertEqual(http_get(admin, "/nothing")[0], 404)
            self.assertTrue(weft.ledger()["balanced"])
            text = http_get(admin, "/debug/ledger")[1]
            self.assertIn("receiver otlp_http", text)
            weft.stop()


if __name__ == "__main__":
    harness.main()
