"""What weft has acknowledged survives: kill -9 under load, a full disk, a file system that turns read-only, a collector
that is away. WEFT_KILLS sets the number of kills (default 5)."""

import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

import harness
import wire
from fake_collector import FakeCollector, span_ids
from harness import BUILD, Weft, free_port, wait_for

KILLS = int(os.environ.get("WEFT_KILLS", "5"))
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
OFF = {"capture__enabled": "false", "exporters__store__enabled": "false", "exporters__file__path": "",
       **{f"receivers__{name}__enabled": "false" for name in
          ("otlp_http", "jaeger_udp", "jaeger_grpc", "jaeger_http", "zipkin", "sampling")}}
SPANS = 20
# What was answered so long before a kill is noted as delivered: one commit interval and a slow disk.
NOTED_SECONDS = 0.5


def request(first_id, count=SPANS, padding=0):
    spans = b""
    for number in range(first_id, first_id + count):
        spans += wire.pb(2, wire.pb(1, struct.pack(">QQ", 7, number)) + wire.pb(2, struct.pack(">Q", number)) + wire.pb(5, "op") +
                         wire.pb_fixed64(7, 10**18) + wire.pb_fixed64(8, 10**18 + 1) +
                         (wire.pb(9, wire.pb(1, "p") + wire.pb(2, wire.pb(1, "x" * padding))) if padding else b""))
    return wire.pb(1, wire.pb(2, spans))


class Client:
    """Threads that send requests without pause; knows which spans were acknowledged. Never sends a span twice."""

    def __init__(self, port, threads=4, padding=200, pause=0.0, timeout=10):
        self.port, self.padding, self.pause, self.timeout = port, padding, pause, timeout
        self.next_id, self.lock, self.ending = 1, threading.Lock(), threading.Event()
        self.acknowledged, self.failures = set(), collections.Counter()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[
            ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 50), ("grpc.use_local_subchannel_pool", 1)])

    def send_one(self, call):
        with self.lock:
            first = self.next_id
            self.next_id += SPANS
        try:
            call(request(first, padding=self.padding), timeout=self.timeout)
        except grpc.RpcError as e:
            self.failures[e.code()] += 1
            time.sleep(0.01)
            return False
        with self.lock:
            self.acknowledged.update(range(first, first + SPANS))
        return True

    def run(self):
        with self.channel() as channel:
            call = channel.unary_unary(TRACES)
            while not self.ending.is_set():
                self.send_one(call)
                if self.pause:
                    time.sleep(self.pause)

    def send(self, requests):
        """From the caller's thread; how many were acknowledged."""
        with self.channel() as channel:
            call = channel.unary_unary(TRACES)
            return sum(self.send_one(call) for _ in range(requests))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)


class Received:
    """The span ids that a collector has seen, counted as they come."""

    def __init__(self, collector):
        self.collector, self.read, self.counts = collector, 0, collections.Counter()

    def update(self):
        bodies = self.collector.requests["trace"]
        while self.read < len(bodies):
            self.counts.update(int.from_bytes(i, "big") for i in span_ids(bodies[self.read]))
            bodies[self.read] = b""
            self.read += 1
        return self.counts

    def has(self, ids):
        return ids <= self.update().keys()


class Spooled(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-spool-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.spool = self.folder / "spool"
        self.port = free_port()
        self.collector = FakeCollector()
        self.received = Received(self.collector)

    def weft(self, directory=None, **settings):
        return Weft(**{**OFF, "receivers__otlp_grpc__endpoint": f"127.0.0.1:{self.port}",
                       "exporters__collector__endpoint": f"127.0.0.1:{self.collector.port}",
                       "spool__directory": directory or self.spool, **settings})

    def tool(self, what, *options):
        return subprocess.run([str(BUILD / "weft"), "spool", what, *options, str(self.spool)], capture_output=True, text=True)

    def undelivered(self):
        total = self.tool("ls").stdout.splitlines()[-1].split("\t")
        return int(total[5])

    def feature(self, weft, name):
        status = json.loads(harness.http_get(weft.ports["admin"], "/debug/status")[1])
        return [f for f in status["features"] if f["name"] == name][0]

    def all_arrive(self, client, seconds=30):
        try:
            wait_for("everything acknowledged", lambda: self.received.has(client.acknowledged), seconds=seconds)
        except AssertionError:
            lost = sorted(client.acknowledged - self.received.counts.keys())
            raise AssertionError(f"{len(lost)} of {len(client.acknowledged)} acknowledged spans are lost: {lost[:20]}") from None

    def settle(self, weft):
        # What was on its way at a kill is sent again, though all that was acknowledged may have arrived before.
        wait_for("nothing to be left on disk", lambda: self.undelivered() == 0, seconds=60)
        wait_for("the books to balance", lambda: weft.ledger()["balanced"])
        weft.stop()
        self.assertEqual(self.undelivered(), 0, self.tool("ls").stdout)


class Kill(Spooled):
    def test_kill_9_under_load(self):
        seed = int(os.environ.get("WEFT_SEED", str(time.time_ns())))
        print(f"\nWEFT_SEED={seed}", end=" ", flush=True)
        rng = random.Random(seed)
        maybe_again = set()
        with Client(self.port, timeout=5) as client, contextlib.ExitStack() as ending:
            ending.callback(self.collector.stop)
            for _ in range(KILLS):
                # A collector that goes away, too, has requests that it never answered.
                maybe_again |= self.in_flight(time.monotonic())
                self.turn(rng.choice(("up", "slow", "away")))
                with self.weft() as weft:
                    before = len(client.acknowledged)
                    wait_for("acknowledgements", lambda: len(client.acknowledged) > before)
                    time.sleep(rng.uniform(0, 0.5))
                    weft.process.kill()
                    weft.process.wait()
                maybe_again |= self.in_flight(time.monotonic())
                self.assertEqual(self.tool("ls").returncode, 0)
            client.ending.set()
            self.turn("up")
            with self.weft() as weft:
                self.all_arrive(client, seconds=120)
                self.settle(weft)
        twice = {i for i, n in self.received.counts.items() if n > 1}
        print(f"{len(client.acknowledged)} acknowledged, {len(twice)} twice", end=" ", flush=True)
        astray = sorted(twice - maybe_again)
        self.assertFalse(astray, f"{len(astray)} spans came twice that were not in flight at a kill")

    def turn(self, mode):
        self.collector.delay_seconds = 0.05 if mode == "slow" else 0.0
        if mode == "away":
            self.collector.stop()
        elif self.collector.server is None:
            self.collector.start()

    def in_flight(self, now):
        """The spans of requests that the collector has, and of which weft did not know it for sure."""
        self.received.update()
        early = [body for when, body in self.collector.answered if when < now - NOTED_SECONDS]
        recent = [body for when, body in self.collector.answered if when >= now - NOTED_SECONDS]
        self.collector.answered = self.collector.answered[len(early):]
        return {int.from_bytes(i, "big") for body in recent + self.collector.unanswered() for i in span_ids(body)}

    def test_the_tool_reads_what_a_kill_left(self):
        client = Client(self.port)
        with self.weft() as weft:
            self.assertEqual(client.send(30), 30)
            weft.process.kill()
            weft.process.wait()
        listed = self.tool("ls")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertEqual(self.undelivered(), 30 * SPANS)
        verified = self.tool("verify")
        self.assertEqual(verified.returncode, 0, verified.stdout)
        dumped = self.tool("dump")
        ids = [span["spanId"] for line in dumped.stdout.splitlines() for r in json.loads(line)["resourceSpans"]
               for s in r["scopeSpans"] for span in s["spans"]]
        self.assertEqual({int(i, 16) for i in ids}, client.acknowledged)
        self.assertEqual(len(ids), 30 * SPANS)
        # A flipped bit is found, and costs its record alone.
        segment = sorted(self.spool.glob("segment-*"))[0]
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 1
        segment.write_bytes(data)
        verified = self.tool("verify")
        self.assertEqual(verified.returncode, 1)
        self.assertIn("29 records are whole", verified.stdout)
        with self.collector.running(), self.weft() as weft:
            wait_for("the others", lambda: len(self.received.update()) == 29 * SPANS)
            wait_for("the damage in the books", lambda: weft.metric("weft_spool_damaged_records_total") == 1)
            weft.stop()


class Modes(Spooled):
    def test_delivered_answers_after_the_collector(self):
        self.collector.gate.clear()
        with self.collector.running(), self.weft(spool__acknowledge="delivered") as weft:
            with Client(self.port, threads=1, pause=1) as client:
                wait_for("the request at the collector", lambda: self.collector.requests["trace"])
                time.sleep(0.3)
                self.assertEqual(client.acknowledged, set(), "answered before the collector was")
                self.collector.gate.set()
                wait_for("the answer", lambda: client.acknowledged)
            self.settle(weft)

    def test_delivered_tells_the_client_what_the_collector_refused(self):
        self.collector.refuse_with = grpc.StatusCode.INVALID_ARGUMENT
        client = Client(self.port)
        with self.collector.running(), self.weft(spool__acknowledge="delivered") as weft:
            self.assertEqual(client.send(1), 0)
            self.assertEqual(dict(client.failures), {grpc.StatusCode.INVALID_ARGUMENT: 1})
            self.settle(weft)

    def test_durable_answers_while_the_collector_is_away(self):
        client = Client(self.port)
        with self.weft() as weft:
            self.assertEqual(client.send(50), 50)
            self.assertEqual(self.undelivered(), 50 * SPANS)
            with self.collector.running():
                self.all_arrive(client)
                self.settle(weft)
        self.assertEqual(set(self.received.update().values()), {1})

    def test_memory_overflow_goes_to_disk_and_comes_back(self):
        client = Client(self.port, padding=2000)
        with self.weft(spool__acknowledge="memory", exporters__collector__queue_bytes=1 << 20) as weft:
            self.assertEqual(client.send(200), 200)  # 8 MB
            self.assertGreater(weft.metric("weft_spool_overflow_items_total"), 100 * SPANS)
            with self.collector.running():
                self.all_arrive(client)
                self.settle(weft)
        self.assertEqual(set(self.received.update().values()), {1})

    def test_what_memory_mode_holds_at_the_end_goes_to_disk(self):
        client = Client(self.port)
        with self.weft(spool__acknowledge="memory", limits__drain_seconds=1) as weft:
            self.assertEqual(client.send(50), 50)
            weft.stop()
            self.assertNotIn("shutdown", weft.log_text())
        self.assertEqual(self.undelivered(), 50 * SPANS)
        with self.collector.running(), self.weft() as weft:
            self.all_arrive(client)
            self.settle(weft)
        self.assertEqual(set(self.received.update().values()), {1})

    def test_durable_spans_survive_an_ordinary_end(self):
        client = Client(self.port)
        with self.weft(limits__drain_seconds=1) as weft:
            self.assertEqual(client.send(50), 50)
            weft.stop()
        self.assertEqual(self.undelivered(), 50 * SPANS)
        with self.collector.running(), self.weft() as weft:
            self.all_arrive(client)
            self.settle(weft)
        self.assertEqual(set(self.received.update().values()), {1})

    def test_a_second_agent_goes_on_in_memory_and_says_so(self):
        with self.collector.running(), self.weft() as first:
            self.assertTrue(self.feature(first, "spool")["on"])
            other = free_port()
            with self.weft(receivers__otlp_grpc__endpoint=f"127.0.0.1:{other}") as second:
                spool = self.feature(second, "spool")
                self.assertFalse(spool["on"])
                self.assertIn("another", spool["reason"])
                self.assertIn("spool", second.log_text())
                client = Client(other)
                self.assertEqual(client.send(5), 5)
                self.all_arrive(client)
                second.stop()
            self.settle(first)


class Disk(Spooled):
    """On a small file system of its own that can fill and break."""

    def setUp(self):
        super().setUp()
        image, self.mounted = self.folder / "image", self.folder / "mounted"
        self.mounted.mkdir()
        with open(image, "wb") as f:
            f.truncate(24 << 20)
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
            subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, self.mounted], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as e:
            self.skipTest(f"no file system of its own: {getattr(e, 'stderr', e)}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.mounted], capture_output=True)
        self.spool = self.mounted / "spool"

    def test_a_full_disk_refuses_and_takes_again(self):
        client = Client(self.port, padding=5000)
        with self.weft(exporters__collector__queue_bytes=1 << 20) as weft:
            wait_for("the disk to be full", lambda: client.send(20) < 20, seconds=60)
            self.assertGreater(len(client.acknowledged), 50 * SPANS)
            self.assertEqual(set(client.failures), {grpc.StatusCode.UNAVAILABLE})
            wait_for("weft to say so", lambda: weft.metric("weft_spool_refusing") == 1)
            self.assertIn("spool", weft.log_text())
            with self.collector.running():
                self.all_arrive(client)
                wait_for("room on the disk", lambda: client.send(5) == 5)
                self.all_arrive(client)
                self.settle(weft)
        twice = {i for i, n in self.received.update().items() if n > 1}
        self.assertEqual(twice, set())

    def test_a_full_disk_is_no_matter_while_the_collector_takes(self):
        (self.mounted / "other").write_bytes(b"x" * (shutil.disk_usage(self.mounted).free - (1 << 20)))
        client = Client(self.port, padding=5000)
        with self.collector.running(), self.weft() as weft:
            self.assertGreater(client.send(100), 0)
            self.all_arrive(client)
            wait_for("the books to balance", lambda: weft.ledger()["balanced"])
            weft.stop()

    def test_a_file_system_that_turns_read_only(self):
        client = Client(self.port)
        with self.weft() as weft:
            self.assertEqual(client.send(20), 20)
            self.break_file_system()
            sent = client.send(20)
            wait_for("weft to say so", lambda: weft.metric("weft_spool_refusing") == 1)
            with self.collector.running():
                self.all_arrive(client)
                # With the collector there, clients are served without the disk.
                wait_for("service without disk", lambda: client.send(5) == 5)
                self.all_arrive(client)
                weft.stop()
        self.assertLessEqual(sent, 20)

    def break_file_system(self):
        device = subprocess.run(["findmnt", "-no", "SOURCE", self.mounted], capture_output=True, text=True).stdout.strip()
        trigger = pathlib.Path("/sys/fs/ext4") / pathlib.Path(device).name / "trigger_fs_error"
        try:
            trigger.write_text("1")
        except OSError as e:
            self.skipTest(f"cannot break a file system here: {e}")


if __name__ == "__main__":
    harness.main()
