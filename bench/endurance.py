"""What weft does when more comes than goes: minutes of overload, and a backlog on disk. OVERLOAD_SECONDS (60) and
BACKLOG_GB (2) set the scale, which the result names."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from forwarding import bench_command, forwarder, sink
from measure import BUILD, cpu_seconds, harness, report

OVERLOAD_SECONDS = float(os.environ.get("OVERLOAD_SECONDS", "60"))
BACKLOG_GB = float(os.environ.get("BACKLOG_GB", "2"))
SPANS = 512


class PeakMemory:
    """Resident MiB of a weft while a condition holds."""

    def __init__(self, weft):
        self.weft, self.mib = weft, weft.rss_kib() / 1024

    def watch(self, goes_on, seconds_between=0.1):
        while goes_on():
            self.mib = max(self.mib, self.weft.rss_kib() / 1024)
            time.sleep(seconds_between)


def books_empty(weft):
    ledger = weft.ledger()
    return ledger["balanced"] and all(row["held"] == 0 for row in ledger["rows"])


def slow_path(delay_ms, *load):
    """A load through weft into a sink that takes its time: what was acknowledged, what arrived, seconds, memory."""
    with sink("--delay-ms", delay_ms, "--ids") as (port, got), forwarder(port) as weft:
        generator = subprocess.Popen([str(BUILD / "weft-bench"), "load", "--endpoint", f"127.0.0.1:{weft.ports['grpc']}",
                                      "--spans", str(SPANS), "--json", *map(str, load)], stdout=subprocess.PIPE)
        memory, began = PeakMemory(weft), time.monotonic()
        memory.watch(lambda: generator.poll() is None)
        seconds = time.monotonic() - began
        sent = json.loads(generator.stdout.read())
        harness.wait_for("the books", lambda: books_empty(weft), 60)
        weft.stop()
    return sent, got, seconds, memory.mib


def bench_overload(delay_ms=400):
    """Three times what the sink takes: goodput beside its best, memory, and whether all acknowledged spans arrived."""
    best, _, best_seconds, _ = slow_path(delay_ms, "--duration", 20, "--in-flight", 32)
    best_rate = best["spans"] / best_seconds
    sent, got, seconds, mib = slow_path(delay_ms, "--duration", OVERLOAD_SECONDS, "--in-flight", 128,
                                        "--rate", round(3 * best_rate / SPANS))
    report("overload", {"seconds": round(seconds), "sink_answers_after_ms": delay_ms,
                        "best_spans_per_s": round(best_rate), "offered_spans_per_s": round(3 * best_rate),
                        "goodput_spans_per_s": round(sent["spans"] / seconds),
                        "goodput_percent_of_best": round(100 * sent["spans"] / seconds / best_rate, 1),
                        "requests_refused": sent["requests_refused"], "peak_rss_mib": round(mib, 1),
                        "acknowledged_spans": sent["spans"], "spans_at_the_sink": got["spans"],
                        "acknowledged_and_lost": max(0, sent["spans"] - got["distinct_spans"])})


def bench_backlog():
    """A spool is filled while no collector is there; a new weft finds it and brings it out."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weft-backlog-"))
    port = harness.free_port()
    settings = {"spool__directory": folder / "spool", "spool__max_bytes": int(2 * BACKLOG_GB * 1e9) + (1 << 30)}
    try:
        with forwarder(port, **settings) as weft:
            before = cpu_seconds(weft.process.pid)
            sent = bench_command("load", "--endpoint", f"127.0.0.1:{weft.ports['grpc']}", "--spans", SPANS,
                                 "--requests", int(BACKLOG_GB * 1e9 / (SPANS * 500)), "--duration", 3600)
            filling = cpu_seconds(weft.process.pid) - before
            weft.stop()
        size = sum(f.stat().st_size for f in (folder / "spool").iterdir()) / 1e9
        with sink("--ids", port=port) as (_, got), forwarder(port, **settings) as weft:
            memory = PeakMemory(weft)
            cold, began = memory.mib, time.monotonic()
            memory.watch(lambda: json.loads(harness.http_get(port, "/")[1])["distinct_spans"] < sent["spans"])
            seconds, draining = time.monotonic() - began, cpu_seconds(weft.process.pid)
            weft.stop()
    finally:
        shutil.rmtree(folder)
    report("backlog", {"gigabytes": round(size, 2), "filling_cpu_s_per_gb": round(filling / size, 2),
                       "draining_cpu_s_per_gb": round(draining / size, 2), "draining_s": round(seconds, 1),
                       "draining_cpu_s_of_20_gb": round(20 * draining / size), "rss_growth_mib": round(memory.mib - cold, 1),
                       "acknowledged_spans": sent["spans"], "acknowledged_and_lost": max(0, sent["spans"] - got["distinct_spans"])})
