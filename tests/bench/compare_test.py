#!/usr/bin/env python3
"""weft-bench compare as a stranger runs it: compare_test.py WEFT_BENCH WEFT. A receiver that works, one that is not
there, one that loses spans; what the table and the JSON say about each."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

BENCH, WEFT = sys.argv[1:3]
FILE = """
repeats: 2
start_seconds: 10
drain_seconds: 2
receivers:
  - name: weft
    command: ["${weft}", run, --set=capture.enabled=false, --set=exporters.store.enabled=false,
              "--set=exporters.collector.endpoint=${sink}",
              "--set=receivers.otlp_grpc.endpoint=127.0.0.1:${port:grpc}",
              "--set=receivers.otlp_http.endpoint=127.0.0.1:${port:http}",
              --set=receivers.jaeger_udp.enabled=false, --set=receivers.jaeger_http.enabled=false,
              --set=receivers.jaeger_grpc.enabled=false, --set=receivers.zipkin.enabled=false,
              --set=receivers.sampling.enabled=false,
              "--set=console.admin.endpoint=127.0.0.1:${port:admin}",
              "--set=console.query.endpoint=127.0.0.1:${port:query}"]
    ready: 127.0.0.1:${port:grpc}
    endpoints: {otlp_grpc: "127.0.0.1:${port:grpc}", otlp_http: "127.0.0.1:${port:http}"}
  - name: absent
    command: [./no-such-program]
    ready: 127.0.0.1:${port:grpc}
    endpoints: {otlp_grpc: "127.0.0.1:${port:grpc}"}
  - name: loser  # takes everything, forwards nothing
    command: ["${bench}", sink, --endpoint, "127.0.0.1:${port:grpc}"]
    ready: 127.0.0.1:${port:grpc}
    endpoints: {otlp_grpc: "127.0.0.1:${port:grpc}"}
loads:
  - {name: grpc, protocol: otlp_grpc, spans: 50, requests: 200}
  - {name: gzip over http, protocol: otlp_http, compression: gzip, spans: 50, requests: 100, receivers: [weft]}
"""


class Compare(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        (folder / "c.yaml").write_text(FILE)
        cls.done = subprocess.run([BENCH, "compare", folder / "c.yaml", "--json", folder / "c.json", "--plot",
                                   folder / "c.svg", "--var", f"weft={WEFT}", "--var", f"bench={BENCH}"],
                                  capture_output=True, text=True, timeout=120)
        cls.rows = {(r["load"], r["receiver"]): r for r in json.loads((folder / "c.json").read_text())["rows"]}
        cls.svg = (folder / "c.svg").read_text()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_a_receiver_that_works_loses_and_duplicates_nothing(self):
        for load in ("grpc", "gzip over http"):
            row = self.rows[load, "weft"]
            self.assertEqual((row["runs"], row["valid"], row["lost"], row["duplicated"]), (2, 2, 0, 0), self.done)
            self.assertGreater(row["peak_rss_mib"]["median"], 1)
            self.assertGreater(row["ack_p99_us"]["median"], 0)

    def test_a_program_that_is_not_there_is_named(self):
        self.assertIn("no-such-program: No such file or directory", self.rows["grpc", "absent"]["wrong"])
        self.assertEqual(self.done.returncode, 1)

    def test_lost_spans_make_a_run_invalid(self):
        row = self.rows["grpc", "loser"]
        self.assertEqual((row["valid"], row["lost"]), (0, 2 * 200 * 50))

    def test_a_receiver_runs_only_what_it_is_named_for(self):
        self.assertEqual(set(self.rows), {("grpc", "weft"), ("grpc", "absent"), ("grpc", "loser"),
                                          ("gzip over http", "weft")})

    def test_the_plot_is_well_formed(self):
        self.assertTrue(xml.etree.ElementTree.fromstring(self.svg).tag.endswith("svg"))

    def test_a_mistake_in_the_file_is_told_with_its_line(self):
        path = pathlib.Path(self.folder.name) / "wrong.yaml"
        path.write_text(FILE.replace("repeats", "repaets"))
        done = subprocess.run([BENCH, "compare", path], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("wrong.yaml:2: file: unknown key repaets", done.stderr)


unittest.main(argv=sys.argv[:1], verbosity=2)
