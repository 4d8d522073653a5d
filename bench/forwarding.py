"""What the receiver and forwarder costs: weft-bench → weft → weft-bench sink."""

import contextlib
import json
import os
import pathlib
import subprocess
import time

from measure import BUILD, OUT, REPEATS, SOURCE, cpu_seconds, harness, machine, report, spread

COLLECTOR = os.environ.get("OTELCOL")  # a Collector built as bench/README.md says; compared when given


def bench_command(*arguments):
    done = subprocess.run([str(BUILD / "weft-bench"), *map(str, arguments), "--json"], capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(f"weft-bench {arguments}: {done.stderr}")
    return json.loads(done.stdout)


@contextlib.contextmanager
def sink(*options, port=None):
    """A sink; what it counted is in the dictionary once it has ended."""
    port = port or harness.free_port()
    process = subprocess.Popen([str(BUILD / "weft-bench"), "sink", "--endpoint", f"127.0.0.1:{port}", "--json",
                                *map(str, options)], stdout=subprocess.PIPE, text=True)
    harness.wait_for("the sink", lambda: harness.port_open(port))
    result = {}
    try:
        yield port, result
    finally:
        process.terminate()
        result.update(json.loads(process.communicate()[0]))


def forwarder(sink_port, **settings):
    return harness.Weft(**{"capture__enabled": "false", "exporters__file__path": "", "exporters__store__enabled": "false",
                           "exporters__collector__endpoint": f"127.0.0.1:{sink_port}", **settings})


def weft_run(load, protocol_port):
    """One load through a fresh weft: spans, its CPU seconds, its RSS, whether all arrived."""
    with sink() as (port, got), forwarder(port) as weft:
        before = cpu_seconds(weft.process.pid)
        sent = bench_command("load", "--endpoint", f"127.0.0.1:{weft.ports[protocol_port]}", *load)
        harness.wait_for("the books", lambda: weft.ledger()["balanced"] and
                         all(row["held"] == 0 for row in weft.ledger()["rows"]))
        used = cpu_seconds(weft.process.pid) - before
        rss = weft.rss_kib()
        weft.stop()
    return sent, got, used, rss


def bench_jaeger(rate=60_000, requests=300_000):
    """Jaeger UDP compact, 10 spans of about 400 B a datagram → OTLP/gRPC."""
    figures, lost = [], []
    for _ in range(REPEATS):
        sent, got, used, _ = weft_run(["--protocol", "jaeger_compact", "--spans", 10, "--span-bytes", 400, "--requests",
                                       requests, "--rate", rate], "compact")
        figures.append(got["spans"] / 10 / used)
        lost.append(1 - got["spans"] / sent["spans"])
    report("jaeger_udp", {"datagrams_per_cpu_second": spread(figures), "sent_per_second": rate,
                          "share_lost": spread(lost)})


# Aims: spans (otlp_grpc_1: requests) per CPU-second of weft, and the ratio to the Collector.
AIMS = {"otlp_grpc_512": (3_000_000, 12), "otlp_grpc_50": (1_800_000, None), "otlp_grpc_1": (200_000, None),
        "otlp_http_512": (2_500_000, 14), "otlp_grpc_gzip": (450_000, 4), "otlp_grpc_zstd": (1_200_000, 6),
        "otlp_http_zstd": (1_200_000, 6), "jaeger_udp_60k": (1_800_000, 13)}


def receivers_table(rows):
    """The rows of a comparison as the table of bench/README.md."""
    lines = ["| load | Collector | weft | ratio | aim | ack p99 ms | RSS MiB | lost, duplicated |",
             "|---|---|---|---|---|---|---|---|"]

    def cell(row):
        if not row or not row["spans_per_cpu_second"]["median"]:
            return "–"
        figures = row["spans_per_cpu_second"]
        valid = "" if row["valid"] == row["runs"] else f", {row['valid']}/{row['runs']} valid"
        return f"{figures['median']:,.0f} [{figures['min']:,.0f} – {figures['max']:,.0f}]{valid}"

    for (load, name), row in rows.items():
        if name == "otelcol":
            continue
        aim, factor = AIMS.get(load, (None, None)) if name == "weft" else (None, None)
        other = rows.get((load, "otelcol"))
        mine = row["spans_per_cpu_second"]["median"]
        theirs = other["spans_per_cpu_second"]["median"] if other else 0
        met = aim and mine >= aim and (not factor or (theirs and mine / theirs >= factor))
        wanted = "" if not aim else f"{aim:,}" + (f", {factor} ×" if factor else "") + ("" if met else " **missed**")
        lines.append(f"| {load}{'' if name == 'weft' else ' ' + name.removeprefix('weft ')} | {cell(other)} | {cell(row)} | "
                     f"{f'{mine / theirs:.1f}' if theirs else '–'} | {wanted} | {row['ack_p99_us']['median'] / 1000:.1f} | "
                     f"{row['peak_rss_mib']['median']:.0f} | {row['lost']:,}, {row['duplicated']:,} |")
    memory, durable = rows.get(("otlp_grpc_512", "weft")), rows.get(("otlp_grpc_512", "weft durable"))
    if memory and durable and memory["spans_per_cpu_second"]["median"]:
        share = durable["spans_per_cpu_second"]["median"] / memory["spans_per_cpu_second"]["median"]
        lines.append(f"\n`durable` does {100 * share:.0f} % of the same path without (aim: 70 %).")
    return "\n".join(lines) + "\n"


def bench_receivers():
    """Every protocol through the OpenTelemetry Collector, weft and weft with durable acknowledgement, interleaved:
    bench/compare/receivers.yaml."""
    file = SOURCE / "bench" / "compare" / "receivers.yaml"
    OUT.mkdir(parents=True, exist_ok=True)
    out, plot = OUT / "receivers.json", OUT / "receivers.svg"
    collector_path = pathlib.Path(COLLECTOR or SOURCE / "build" / "peers" / "otelcol").resolve()
    if not collector_path.exists():
        print(f"no Collector to compare with: {collector_path} is missing (tests/interop/prepare builds it, OTELCOL names one)")
    subprocess.run([str(BUILD / "weft-bench"), "compare", str(file), "--json", str(out), "--plot", str(plot),
                    "--repeats", str(REPEATS), "--var", f"weft={(BUILD / 'weft').resolve()}",
                    "--var", f"otelcol={collector_path}"], check=False)
    result = json.loads(out.read_text())
    version = "none"
    if collector_path.exists():
        version = subprocess.run([str(collector_path), "--version"], capture_output=True, text=True).stdout.strip()
    rows = {(r["load"], r["receiver"]): r for r in result["rows"]}

    def ratio(load, over, under):
        a, b = (rows[load, name]["spans_per_cpu_second"]["median"] for name in (over, under))
        return round(a / b, 2) if b else None

    ratios = {"weft_to_collector": {load: ratio(load, "weft", "otelcol") for load, name in rows
                                    if name == "weft" and (load, "otelcol") in rows},
              "durable_to_memory": {load: ratio(load, "weft durable", "weft") for load, name in rows
                                    if name == "weft durable"}}
    out.write_text(json.dumps({"name": "receivers", "machine": machine(), "collector": version, **ratios, **result},
                              indent=1) + "\n")
    (OUT / "receivers.md").write_text(receivers_table(rows))
    print(f"\n{receivers_table(rows)}")


def bench_generator():
    """weft-bench against its own sink: what the generator itself costs."""
    result = {}
    for name, load in (("otlp_grpc_512", ["--spans", 512]), ("otlp_grpc_50", ["--spans", 50]),
                       ("otlp_http_512", ["--protocol", "otlp_http", "--spans", 512])):
        figures = []
        for _ in range(REPEATS):
            with sink() as (port, _):
                sent = bench_command("load", "--endpoint", f"127.0.0.1:{port}", "--duration", 2, *load)
            figures.append(sent["spans_per_own_cpu_second"])
        result[f"{name}_spans_per_own_cpu_second"] = spread(figures)
    report("generator", result)


def bench_memory():
    """RSS with the store off: idle, and at 100,000 spans/s."""
    with sink() as (port, _), forwarder(port) as weft:
        time.sleep(2)
        idle = weft.rss_kib() / 1024
        peak = 0.0
        load = subprocess.Popen([str(BUILD / "weft-bench"), "load", "--endpoint", f"127.0.0.1:{weft.ports['grpc']}",
                                 "--spans", "100", "--rate", "1000", "--duration", "15", "--json"],
                                stdout=subprocess.PIPE)
        while load.poll() is None:
            peak = max(peak, weft.rss_kib() / 1024)
            time.sleep(0.2)
        rate = json.loads(load.stdout.read())["spans_per_second"]
        weft.stop()
    report("memory", {"idle_rss_mib": round(idle, 1), "rss_mib_under_load": round(peak, 1),
                      "spans_per_second": round(rate)})
