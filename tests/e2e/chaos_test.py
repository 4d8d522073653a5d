"""Conservation: received = sent + rejected + shed + held, at every look while the collector is killed, slow, refusing and
away and three loads run; at the end the books of weft, of the senders and of the collectors agree."""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from harness import BUILD, Weft, free_port, wait_for

SECONDS = float(os.environ.get("WEFT_CHAOS_SECONDS", "20"))
SPANS = 50
OFF = {"capture__enabled": "false", "exporters__store__enabled": "false", "exporters__file__path": ""}


def load(protocol, port, rate, seed, seconds):
    return subprocess.Popen([str(BUILD / "weft-bench"), "load", "--protocol", protocol, "--endpoint", f"127.0.0.1:{port}",
                             "--spans", str(10 if "jaeger" in protocol else SPANS), "--rate", str(rate), "--seed", str(seed),
                             "--duration", str(seconds), "--json"], stdout=subprocess.PIPE)


class Sink:
    """weft-bench sink; what it has counted is added up over its lives."""

    def __init__(self):
        self.port, self.process = free_port(), None
        self.spans = 0

    def start(self, *options):
        self.process = subprocess.Popen([str(BUILD / "weft-bench"), "sink", "--json", "--ids", "--endpoint",
                                         f"127.0.0.1:{self.port}", *map(str, options)], stdout=subprocess.PIPE)
        wait_for("the sink", lambda: harness.port_open(self.port))

    def stop(self):
        """Ends it in order: what it has answered is what it has counted."""
        self.process.send_signal(signal.SIGTERM)
        told = json.loads(self.process.communicate(timeout=20)[0])
        self.process = None
        self.spans += told["spans"]
        return told

    def end(self):
        if self.process is not None:
            self.kill()

    def kill(self):
        """As a crash does: nobody knows what it had."""
        self.process.kill()
        self.process.communicate()
        self.process = None


class Chaos(unittest.TestCase):
    def books(self, weft):
        """The rows by stage; each must balance whenever it is looked at."""
        ledger = weft.ledger()
        self.looks += 1
        self.assertTrue(ledger["balanced"], ledger)
        return {row["stage"]: row for row in ledger["rows"]}

    def held(self, weft):
        rows = self.books(weft)
        return sum(rows[stage]["held"] for stage in ("exporter collector", "spool") if stage in rows)

    def watch(self, weft, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.books(weft)
            time.sleep(0.05)

    def run_chaos(self, faults, **settings):
        rng = random.Random(int(os.environ.get("WEFT_SEED", "1")))
        self.looks = 0
        sink = Sink()
        self.addCleanup(sink.end)
        with Weft(**OFF, **{"exporters__collector__endpoint": f"127.0.0.1:{sink.port}",
                            "exporters__collector__timeout_seconds": 2, **settings}) as weft:
            loads = {"otlp_grpc": load("otlp_grpc", weft.ports["grpc"], 200, 1, SECONDS),
                     "otlp_http": load("otlp_http", weft.ports["http"], 200, 2, SECONDS),
                     "jaeger_compact": load("jaeger_compact", weft.ports["compact"], 500, 3, SECONDS)}
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                sink.start(*rng.choice(faults))
                self.watch(weft, rng.uniform(0.5, 2))
                rng.choice(self.ends)(sink)
                self.watch(weft, rng.uniform(0.1, 1.5))
            told = {name: json.loads(process.communicate(timeout=60)[0]) for name, process in loads.items()}
            sink.start()
            wait_for("everything to be sent", lambda: self.held(weft) == 0, seconds=60)
            books = self.books(weft)
            weft.stop()
            sink.stop()
        return told, books, sink

    def check(self, told, books, sink):
        lost = {stage: row["lost"] for stage, row in books.items() if row["lost"]}
        acknowledged = sum(told[name]["spans"] for name in ("otlp_grpc", "otlp_http"))
        # What clients were told to send again is no loss; everything else was counted with a reason.
        for name in ("otlp_grpc", "otlp_http"):
            row = books[f"receiver {name}"]
            self.assertEqual(row["out"], told[name]["spans"], (name, told[name], row))
        udp = books["receiver jaeger_udp"]
        self.assertEqual(books["exporter collector"]["out"], acknowledged + udp["out"], (lost, books))
        print(f"\n{self.looks} looks, {acknowledged} acknowledged, {udp['out']} of {udp['in']} by UDP, lost {lost}", end=" ",
              flush=True)
        self.assertGreater(self.looks, SECONDS * 5)
        return acknowledged + udp["out"]

    def test_slow_refusing_and_restarted_collector(self):
        self.ends = [Sink.stop]
        faults = [(), ("--delay-ms", 300), ("--refuse-percent", 60), ("--up", 0.3, "--down", 0.3)]
        told, books, sink = self.run_chaos(faults)
        sent = self.check(told, books, sink)
        # In order or not, a collector that stops may have taken a request that it could not answer: it comes twice.
        self.assertGreaterEqual(sink.spans, sent)

    def test_killed_collector(self):
        self.ends = [Sink.kill, Sink.stop]
        faults = [(), ("--delay-ms", 100), ("--refuse-percent", 30)]
        told, books, sink = self.run_chaos(faults, exporters__collector__queue_bytes=4 << 20)
        self.check(told, books, sink)

    def test_with_a_spool_nothing_is_shed(self):
        self.ends = [Sink.kill, Sink.stop]
        faults = [(), ("--delay-ms", 100), ("--refuse-percent", 60)]
        folder = tempfile.mkdtemp(prefix="weft-spool-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        told, books, sink = self.run_chaos(faults, exporters__collector__queue_bytes=4 << 20, spool__directory=folder)
        self.check(told, books, sink)
        self.assertEqual({stage: row["lost"] for stage, row in books.items() if row["lost"]}, {})
        self.assertEqual(sum(told[name]["requests_refused"] for name in ("otlp_grpc", "otlp_http")), 0, told)
        self.assertEqual(books["spool"]["held"], 0)


class Destinations(unittest.TestCase):
    """Three collectors, then one of them dead. What the dead one costs the others is printed, not judged: the figures
    of a busy machine say little alone."""

    def run_with(self, balancing, alive, seconds=4):
        sinks = [Sink() for _ in range(3)]
        for sink in sinks:
            self.addCleanup(sink.end)
        endpoints = json.dumps([f"127.0.0.1:{sink.port}" for sink in sinks[1:]])
        for sink in sinks[:alive]:
            sink.start()
        with Weft(**OFF, exporters__collector__endpoint=f"127.0.0.1:{sinks[0].port}", exporters__collector__endpoints=endpoints,
                  exporters__collector__load_balancing=balancing, exporters__collector__reassign_seconds=1,
                  exporters__collector__queue_bytes=256 << 20, limits__credit_bytes=512 << 20) as weft:
            # Until the dead one has been found out.
            load("otlp_grpc", weft.ports["grpc"], 50, 1, 3).communicate()
            told = json.loads(load("otlp_grpc", weft.ports["grpc"], 0, 2, seconds).communicate()[0])
            wait_for("everything to be sent", lambda: weft.ledger()["balanced"] and self.held(weft) == 0, seconds=30)
            weft.stop()
        received = sum(sink.stop()["distinct_spans"] for sink in sinks[:alive])
        return told, received

    def held(self, weft):
        return sum(row["held"] for row in weft.ledger()["rows"])

    def compare(self, balancing):
        rates = {3: [], 2: []}
        for _ in range(2):
            for alive in rates:
                told, received = self.run_with(balancing, alive)
                self.assertEqual(received, told["spans"] + 3 * 50 * SPANS, told)
                rates[alive].append(told)
        for alive, runs in rates.items():
            print(f"\n{balancing}, {alive} of 3 alive:", [(int(r["spans_per_second"]), r["ack_p50_us"], r["ack_p99_us"]) for r in runs], end=" ",
                  flush=True)

    def test_round_robin(self):
        self.compare("round_robin")

    def test_trace_id(self):
        self.compare("trace_id")


if __name__ == "__main__":
    harness.main()
