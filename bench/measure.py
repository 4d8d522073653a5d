"""What every benchmark needs: CPU seconds, medians with their spread, the machine, one JSON file a benchmark."""

import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SOURCE / "tests" / "e2e"))
import harness  # noqa: E402

BUILD = harness.BUILD
OUT = SOURCE / "build" / "bench"
REPEATS = int(os.environ.get("REPEATS", "5"))
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "repeats": len(values)}


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", SOURCE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release(), "load_before": os.getloadavg()[0], "commit": commit.stdout.strip()}


def write(name, result):
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps({"name": name, "machine": machine(), **result}, indent=1) + "\n")


def report(name, result):
    """Writes the result and prints it."""
    write(name, result)
    print(f"\n{name}")
    for key, value in result.items():
        if isinstance(value, dict) and "median" in value:
            print(f"  {key:34} {value['median']:>14,.1f}   [{value['min']:,.1f} – {value['max']:,.1f}]")
        else:
            print(f"  {key:34} {value}")
