#!/usr/bin/env python3
"""The rules of docs/architecture.md that include roots cannot enforce: rules.py RULE SOURCE_DIR BUILD_DIR."""

import concurrent.futures
import pathlib
import re
import subprocess
import sys

# Where the headers of each third-party library may appear (docs/architecture.md, doors).
DOORS = [
    (r"^(bpf/(libbpf|bpf|btf)\.h|.*\.skel\.h)", ["agent/sources/ebpf", "tests/bpf"]),
    (r"^(abi/)?weft_abi\.h|^abi/", ["agent/sources/ebpf", "tests/bpf", "tests/sources/ebpf", "bpf"]),
    (r"^nghttp2/", ["agent/net", "agent/protocols/http2", "bench", "tests/net", "tests/protocols/http2"]),
    (r"^boost/|^openssl/", ["agent/net"]),
    (r"^(grpc|grpcpp|grpc\+\+|google/protobuf)/|\.pb\.h$", ["tests", "bench"]),
    (r"^concurrentqueue/", ["agent/base/queue.h"]),
    (r"^spdlog/", ["agent/base"]),
    (r"^yaml-cpp/|^CLI/", ["agent/app", "bench"]),
    (r"^(zstd|libdeflate|zlib|lz4frame|lz4|snappy)\.h", ["agent/base/inflate.cc", "agent/base/coding/crc.cc", "tests/base"]),
    (r"^capstone/", ["agent/sources/ebpf"]),
    (r"^simdjson", ["agent/protocols/otlp", "agent/protocols/zipkin", "agent/protocols/jaeger"]),
    (r"^prometheus/", ["agent/console"]),
    (r"^librdkafka/", ["agent/exporters/kafka", "tests/exporters/kafka"]),
]
# Plug-ins that may see a sibling (the same sentence as in their CMakeLists.txt).
SIBLINGS = {("protocols/jaeger", "protocols/thrift"), ("protocols/jaeger", "protocols/otlp"),
            ("protocols/grpc", "protocols/http2"), ("protocols/zipkin", "protocols/thrift"),
            ("protocols/zipkin", "protocols/otlp"), ("sources/zipkin", "sources/otlp"),
            ("sources/jaeger_http", "sources/otlp"), ("sources/jaeger_grpc", "sources/otlp"),
            ("sources/sampling", "sources/otlp")}
LEVEL = {"base": 0, "model": 1, "net": 1, "protocols": 2, "app": 4}
STOPS = {".h": 250, ".cc": 800, ".bpf.c": 300}


def sources(root, *folders):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", *folders],
                            capture_output=True, text=True, check=True).stdout.split()
    return [pathlib.Path(root, f) for f in listed if f.endswith((".h", ".cc", ".c")) and pathlib.Path(root, f).exists()]


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1)


def rule_siblings(root, _):
    """A room includes only lower levels; a plug-in no sibling that is not declared."""
    bad = []
    for path in sources(root, "agent"):
        parts = path.relative_to(root).parts[1:]
        room = parts[0]
        own = "/".join(parts[:2]) if room in ("protocols", "sources", "exporters") else room
        for number, name in includes(path):
            top = name.split("/")[0]
            if not (pathlib.Path(root, "agent", name).exists()):
                continue
            other = "/".join(name.split("/")[:2]) if top in ("protocols", "sources", "exporters") else top
            if other == own or LEVEL.get(top, 3) < LEVEL.get(room, 3) or (room == "net" and top == "model"):
                continue
            if (own, other) not in SIBLINGS:
                bad.append(f"{path}:{number}: {own} includes {name}")
    return bad


def rule_doors(root, _):
    bad = []
    for path in sources(root, "agent", "tests", "bench"):
        relative = str(path.relative_to(root))
        for number, name in includes(path):
            for pattern, doors in DOORS:
                if re.search(pattern, name) and not any(relative.startswith(d) for d in doors):
                    bad.append(f"{relative}:{number}: <{name}> belongs to {', '.join(doors)}")
    return bad


def rule_size(root, _):
    bad = []
    for path in sources(root, "agent", "bpf", "bench"):
        suffix = ".bpf.c" if path.name.endswith(".bpf.c") else path.suffix
        lines = len(path.read_text(errors="replace").splitlines())
        if lines > STOPS.get(suffix, 800):
            bad.append(f"{path.relative_to(root)}: {lines} lines, stop is {STOPS.get(suffix, 800)}")
    for room in [p for p in pathlib.Path(root, "agent").rglob("*") if p.is_dir()]:
        count = len([p for p in room.iterdir() if p.suffix in (".h", ".cc")])
        if count > 20:
            bad.append(f"{room.relative_to(root)}: {count} files, stop is 20")
    return bad


def rule_alone(root, build):
    """Every header compiles by itself. What cannot be found by the include roots fails here too."""
    roots = sorted(pathlib.Path(build, "roots").iterdir())
    flags = ["-std=c++20", "-fsyntax-only", "-x", "c++", *[f"-I{r}" for r in roots], f"-I{root}/bpf",
             f"-I{build}/bpf/include", '-DWEFT_VERSION="0"']

    def compile_one(path):
        done = subprocess.run(["g++", *flags, "-include", str(path), "/dev/null"], capture_output=True, text=True)
        return [] if done.returncode == 0 else [f"{path.relative_to(root)}: {done.stderr.splitlines()[0]}"]

    headers = [p for p in sources(root, "agent") if p.suffix == ".h"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [line for lines in pool.map(compile_one, headers) for line in lines]


def rule_readme(root, _):
    """Every room and plug-in tells on one screen what it is."""
    bad = []
    for room in sorted(p.parent for p in pathlib.Path(root, "agent").rglob("CMakeLists.txt")):
        readme = room / "README.md"
        if room == pathlib.Path(root, "agent"):
            continue
        if not readme.exists():
            bad.append(f"{room.relative_to(root)}: no README.md")
        elif len(readme.read_text().splitlines()) > 60:
            bad.append(f"{readme.relative_to(root)}: more than one screen")
    return bad


def rule_format(root, _):
    files = [str(p) for p in sources(root, "agent", "bpf", "tests", "bench")]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "error:" in line]


def rule_marks(root, _):
    """No work left lying in the tree, no path of one machine, no skip without a reason."""
    bad = []
    for path in sources(root, "agent", "bpf", "tests", "bench"):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line) or re.search(r"/(work|root)/[a-z.]", line) \
                    or re.search(r"GTEST_SKIP\(\);", line):
                bad.append(f"{path.relative_to(root)}:{number}: {line.strip()[:100]}")
    return bad


LOSS_CALLS = [r'Loss::k\w+,\s*"(\w+)"', r'\bShed\("(\w+)"', r'\b(?:Reject|ShedOutbox)\([^;"]*"(\w+)"', r'Refuse\(std::move\(\w+\), "(\w+)"',
              r'KeepOrShed\([^;"]*"(\w+)"']


def rule_losses(root, _):
    """docs/loss.md names the reasons under which the code loses data: all of them, and no others."""
    tables = [line.split("|")[2:3] for line in pathlib.Path(root, "docs/loss.md").read_text().splitlines()
              if re.match(r"\|.*\b(shed|rejected|evicted)\b", line)]
    told = {word for cells in tables for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    code = {p: p.read_text(errors="replace") for p in sources(root, "agent") if p.suffix == ".cc"}
    abi = pathlib.Path(root, "bpf/abi/weft_abi.h").read_text()
    drops = re.search(r"#define WEFT_DROP_REASONS\(X\)(.*?)\n\n", abi, re.S).group(1)
    bad = []
    used = {}
    for path, text in code.items():
        for pattern in LOSS_CALLS:
            used.update((reason, path.relative_to(root)) for reason in re.findall(pattern, text))
    used.update((reason, "bpf/abi/weft_abi.h") for reason in re.findall(r'"(\w+)"', drops))
    if len(used) < 20 or len(told) < 20:
        return [f"only {len(used)} reasons found in the code and {len(told)} in docs/loss.md: the rule no longer sees them"]
    bad += [f"{path}: docs/loss.md does not tell of `{reason}`" for reason, path in used.items() if reason not in told]
    literals = {word for text in code.values() for word in re.findall(r'"(\w+)"', text)} | set(used)
    bad += [f"docs/loss.md: nothing in the code is called `{reason}`" for reason in sorted(told - literals)]
    return bad


def rule_metric_names(root, _):
    """Every metric that the code names is in docs/metrics.md, also one that is made only when something happens."""
    told = pathlib.Path(root, "docs/metrics.md").read_text()
    bad = []
    for path in sources(root, "agent"):
        for name in re.findall(r'"((?:weft|otelcol|jaeger_agent|process)_\w+_(?:total|bytes|seconds))"', path.read_text()):
            if f"`{name}`" not in told:
                bad.append(f"{path.relative_to(root)}: {name} is not in docs/metrics.md")
    return bad


def rule_document_keys(root, _):
    """Settings that documents speak of exist; of a table's first cell nothing is said: it may be another program's."""
    keys, block = set(), ""
    for line in pathlib.Path(root, "docs/config.md").read_text().splitlines():
        if heading := re.match(r"## `(.*)`", line):
            block = heading.group(1)
        elif row := re.match(r"\| `([^`]+)` \|", line):
            parts = f"{block}.{row.group(1)}".split(".")
            keys.update(".".join(parts[:n]) for n in range(1, len(parts) + 1))
    roots = {k.split(".")[0] for k in keys}
    documents = [p for p in [pathlib.Path(root, "README.md"), *pathlib.Path(root, "docs").glob("*.md"),
                             *pathlib.Path(root, "deploy").rglob("*.md")] if p.name != "config.md"]
    bad = []
    for document in documents:
        for number, line in enumerate(document.read_text().splitlines(), 1):
            text = line.split("|", 2)[2] if line.startswith("|") else line
            for key in re.findall(r"`([a-z_]+\.[a-z_.]+)(?:: [^`]*)?`", text):
                if key.split(".")[0] in roots and key not in keys:
                    bad.append(f"{document.relative_to(root)}:{number}: there is no setting {key}")
    return bad


def main():
    rule, root, build = sys.argv[1:4]
    if not sources(root, "agent"):
        sys.exit("no sources found: the rule would pass without looking")
    bad = globals()[f"rule_{rule}"](root, build)
    print("\n".join(bad) if bad else f"{rule}: holds")
    sys.exit(1 if bad else 0)


main()
