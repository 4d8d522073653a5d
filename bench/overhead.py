"""What capture costs the programs that it observes: bench/run overhead, or OVERHEAD=name,… for some of the loads.

A server stands on core 0, the load generator on core 1 beside weft; runs without and with weft take turns in one boot.
The figure is CPU (user + system) of the server per request: each run with weft is compared with the mean of the two
without it that stand around it, so that a machine that drifts cancels out, and the median of these is quoted. With weft the loads on nginx
are measured after WARM_SECONDS, when merge has stopped to wait for spans of SDKs in the server and in the generator: the
state in which processes live. One more run with the kernel's own statistics says what weft's programs took in the
kernel, the generator's side included."""

import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request

import measure
from measure import harness, spread

SECONDS = float(os.environ.get("SECONDS_A_RUN", "4"))
WARM_SECONDS = 7  # merge.hold_seconds and one
STATISTICS = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")
SERVER_CORE, LOAD_CORE = "0", "1"


def pin(core, pid):
    subprocess.run(["taskset", "-apc", core, str(pid)], capture_output=True, check=True)


def on_load_core(*command):
    done = subprocess.run(["taskset", "-c", LOAD_CORE, *map(str, command)], capture_output=True, text=True, check=True)
    return done.stdout


def requests_of(url):
    """Requests that an nginx has seen, by its stub_status."""
    with urllib.request.urlopen(f"{url}/stub_status", context=ssl._create_unverified_context()) as page:
        return int(page.read().split(b"\n")[2].split()[2])


def wrk(url, path, connections, warm, sample):
    """Requests within SECONDS, `warm` seconds after the start, and what `sample` said before and after."""
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{math.ceil(warm + SECONDS + 2)}s", url + path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        time.sleep(1 + warm)
        began, before = requests_of(url), sample()
        time.sleep(SECONDS)
        requests, after = requests_of(url) - began, sample()
        out = load.communicate()[0]
    if load.returncode or re.search(r"Non-2xx|Socket errors: (?!connect 0, read 0, write 0, timeout 0)", out):
        raise SystemExit(f"wrk {url}:\n{out}")
    return requests, before, after


@contextlib.contextmanager
def nginx(path, connections=64, tls=False):
    root = pathlib.Path(tempfile.mkdtemp())
    root.chmod(0o755)
    (root / "page.html").write_text("x" * 612)
    (root / "large.bin").write_bytes(b"x" * (1 << 20))
    if tls:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-keyout", root / "key.pem", "-out", root / "cert.pem"], capture_output=True, check=True)
    port = harness.free_port()
    extra = "location = /stub_status { stub_status; } "
    if tls:
        extra += f"ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;"
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        with harness.nginx(root, port, listen="ssl" if tls else "", extra=extra) as master:
            worker = subprocess.run(["pgrep", "-P", str(master.pid)], capture_output=True, text=True).stdout.split()[0]
            pin(SERVER_CORE, worker)
            yield int(worker), lambda warm, sample: wrk(url, path, connections, warm, sample)
    finally:
        shutil.rmtree(root)


@contextlib.contextmanager
def grpc_echo():
    """Unary calls of a gRPC C++ client, one after the other on each of four connections."""
    echo, port, calls = harness.E2E / "e2e_grpc_echo", harness.free_port(), int(SECONDS * 1000)

    def run(_, sample):
        before = sample()
        clients = [subprocess.Popen(["taskset", "-c", LOAD_CORE, echo, "client", str(port), "Unary", str(calls)])
                   for _ in range(4)]
        for client in clients:
            if client.wait() != 0:
                raise SystemExit("the gRPC client failed")
        return 4 * calls, before, sample()

    with harness.running(echo, "server", port, port=port) as server:
        pin(SERVER_CORE, server.pid)
        yield server.pid, run


@contextlib.contextmanager
def redis():
    """GETs, one a round trip on each of 50 connections: traffic that is not HTTP."""
    port, requests = harness.free_port(), int(SECONDS * 50_000)

    def run(_, sample):
        before = sample()
        on_load_core("redis-benchmark", "-p", port, "-t", "get", "-c", 50, "-n", requests, "-P", 1, "-q")
        return requests, before, sample()

    with harness.running("redis-server", "--port", port, "--save", "", "--appendonly", "no", port=port) as server:
        pin(SERVER_CORE, server.pid)
        yield server.pid, run


# Name: server and generator, what may be added to the server's CPU per request in percent, programs that are needed.
LOADS = {
    "nginx_static_612": (lambda: nginx("/page.html"), 5, ("nginx", "wrk")),
    "nginx_return_200": (lambda: nginx("/ok"), 10, ("nginx", "wrk")),
    "nginx_tls_612": (lambda: nginx("/page.html", tls=True), 15, ("nginx", "wrk", "openssl")),
    "nginx_1_mb": (lambda: nginx("/large.bin", connections=8), 2, ("nginx", "wrk")),
    "grpc_echo": (grpc_echo, 5, (str(harness.E2E / "e2e_grpc_echo"),)),
    "redis_get": (redis, 2, ("redis-server", "redis-benchmark")),
}


@contextlib.contextmanager
def weft():
    with harness.Weft(exporters__file__path="", exporters__store__enabled="false",
                      exporters__none__enabled="true") as agent:
        pin(LOAD_CORE, agent.process.pid)
        yield agent
        agent.stop()


def programs():
    """Runs and nanoseconds of every BPF program so far, by id."""
    shown = json.loads(subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True, check=True).stdout)
    return {p["id"]: (p.get("name", ""), p.get("run_cnt", 0), p.get("run_time_ns", 0)) for p in shown}


def in_kernel(run):
    """Nanoseconds of weft's programs per request on both sides, and of each program per run of it."""
    others = set(programs())
    with weft():
        STATISTICS.write_text("1")
        try:
            requests, before, after = run(WARM_SECONDS, programs)
        finally:
            STATISTICS.write_text("0")
    runs = {}
    for number, (name, count, nanoseconds) in after.items():
        count, nanoseconds = count - before.get(number, ("", 0, 0))[1], nanoseconds - before.get(number, ("", 0, 0))[2]
        if number not in others and count:
            runs[name] = tuple(a + b for a, b in zip(runs.get(name, (0, 0)), (count, nanoseconds)))
    return {"kernel_ns_per_request": round(sum(ns for _, ns in runs.values()) / requests),
            "programs": {name: {"runs_per_request": round(count / requests, 2), "ns_per_run": round(ns / count)}
                         for name, (count, ns) in sorted(runs.items()) if count > requests / 100}}


def measure_load(server, run):
    def cost(agent=None):
        """Microseconds of the server and of weft per request, and requests per second."""
        watched = [server] + ([agent] if agent else [])
        requests, before, after = run(WARM_SECONDS if agent else 0,
                                      lambda: [time.monotonic(), *map(measure.cpu_seconds, watched)])
        seconds, *spent = (b - a for a, b in zip(before, after))
        return [s / requests * 1e6 for s in spent] + [requests / seconds]

    off, on, rate_off, rate_on, agent_us, dropped = [], [], [], [], [], 0.0

    def without():
        spent, rate = cost()
        off.append(spent), rate_off.append(rate)

    without()
    for _ in range(measure.REPEATS):
        with weft() as agent:
            spent, agents, rate = cost(agent.process.pid)
            on.append(spent), agent_us.append(agents), rate_on.append(rate)
            dropped += agent.metric("weft_capture_dropped_records_total")
        without()
    around = [(before + after) / 2 for before, after in zip(off, off[1:])]
    return {"server_us_per_request": spread(off), "with_weft_us": spread(on),
            "added_percent": spread([100 * (b / a - 1) for a, b in zip(around, on)]),
            "requests_per_s": spread(rate_off), "requests_per_s_with_weft": spread(rate_on),
            "agent_us_per_request": spread(agent_us), "records_dropped": dropped, **in_kernel(run)}


def table(loads):
    lines = ["| load | server µs a request | with weft, more | limit | programs of weft in the kernel, both sides | weft itself | records dropped |",
             "|---|---|---|---|---|---|---|"]
    for name, figures in loads.items():
        added, limit = figures["added_percent"], LOADS[name][1]
        missed = "" if added["median"] <= limit else " **missed**"
        lines.append(f"| {name} | {figures['server_us_per_request']['median']:.1f} | {added['median']:+.1f} % "
                     f"[{added['min']:+.1f} – {added['max']:+.1f}] | {limit} %{missed} | "
                     f"{figures['kernel_ns_per_request'] / 1000:.2f} µs | "
                     f"{figures['agent_us_per_request']['median']:.1f} µs | {figures['records_dropped']:.0f} |")
    return "\n".join(lines) + "\n"


def bench_overhead():
    names = os.environ.get("OVERHEAD", ",".join(LOADS)).split(",")
    result, left_out = {}, {}
    for name in names:
        start, _, needed = LOADS[name]
        missing = [p for p in needed if not shutil.which(p)]
        if missing:
            left_out[name] = f"{', '.join(missing)} missing"
            print(f"LEFT OUT: {name}: {left_out[name]}")
            continue
        with start() as (server, run):
            result[name] = measure_load(server, run)
        print(table({name: result[name]}).splitlines()[-1], flush=True)
    measure.write("overhead", {"seconds_a_run": SECONDS, "warm_seconds": WARM_SECONDS, "loads": result, "left_out": left_out})
    (measure.OUT / "overhead.md").write_text(table(result))
    print(f"\n{table(result)}")


def bench_replay():
    """What a captured request costs weft's user space."""
    runs = [json.loads(subprocess.run([measure.BUILD / "weft-bench", "replay", "--json"], capture_output=True, text=True,
                                      check=True).stdout) for _ in range(measure.REPEATS)]
    measure.report("replay", {"captured_requests_per_cpu_second": spread([r["requests_per_cpu_second"] for r in runs]),
                              "ns_per_captured_request": spread([r["ns_per_request"] for r in runs])})
