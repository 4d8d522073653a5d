#!/usr/bin/env python3
"""The DaemonSet's manifest against weft and against its README: manifest_test.py WEFT FOLDER [CHECK...].

Reads the YAML by its indentation (no YAML library is needed), so it understands only the plain
style that weft.yaml is written in; what it does not find is an error, never an empty answer.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap


class Mistake(Exception):
    pass


def document(manifest, kind):
    found = [d for d in re.split(r"^---\s*$", manifest, flags=re.M) if re.search(rf"^kind: {kind}$", d, re.M)]
    if len(found) != 1:
        raise Mistake(f"weft.yaml has {len(found)} documents of kind {kind}, expected 1")
    return found[0]


def without_comments(text):
    return "\n".join(l for l in text.splitlines() if not l.lstrip().startswith("#"))


def blocks(text, key):
    """What is indented below every `key:` of the text; items of a list may stand at the key's own column."""
    lines, result = text.splitlines(), []
    for i, line in enumerate(lines):
        match = re.match(rf"(\s*(?:- )?){re.escape(key)}:\s*(\|?)\s*$", line)
        if not match:
            continue
        column, taken = len(match.group(1)), []
        for below in lines[i + 1:]:
            depth = len(below) - len(below.lstrip())
            is_item = depth == column and below.lstrip().startswith("- ") and not match.group(2)
            if below.strip() and depth <= column and not is_item:
                break
            taken.append(below)
        result.append(textwrap.dedent("\n".join(taken)).strip("\n"))
    return result


def block(text, key):
    found = blocks(text, key)
    if len(found) != 1:
        raise Mistake(f"weft.yaml has {len(found)} blocks `{key}:` where one is expected")
    return found[0]


def items(text):
    """The entries of a list of flat maps; deeper lines count as keys of the entry, its own come first."""
    result = []
    for line in text.splitlines():
        if line.startswith("- "):
            result.append({})
            line = line[2:]
        match = re.match(r"\s*([\w.-]+):\s*(.*?)\s*$", line)
        if match and result:
            result[-1].setdefault(match.group(1), match.group(2).strip("\"'"))
    return result


def flow_list(text, key):
    match = re.search(rf"^\s*{key}: \[(.*)\]\s*$", text, re.M)
    if not match:
        raise Mistake(f"weft.yaml has no `{key}: [...]` in one line")
    return [word.strip().strip("\"'") for word in match.group(1).split(",") if word.strip()]


def table(readme, heading):
    """The first column of the table below a heading, and each row's other cells."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", readme, re.M | re.S)
    if not section:
        raise Mistake(f"README.md has no heading `## {heading}`")
    rows = [[c.strip().strip("`") for c in line.strip().strip("|").split("|")]
            for line in section.group(1).splitlines() if line.startswith("|")][2:]
    if not rows:
        raise Mistake(f"README.md has no table below `## {heading}`")
    for row in rows:
        if not row[-1]:
            raise Mistake(f"README.md gives no reason for {row[0]}")
    return rows


def same(what, manifest, readme):
    for name, values in (("weft.yaml", manifest), ("README.md", readme)):
        if len(values) != len(set(values)):
            raise Mistake(f"{name} lists one of the {what} twice: {sorted(values)}")
    only_manifest, only_readme = set(manifest) - set(readme), set(readme) - set(manifest)
    if only_manifest or only_readme:
        raise Mistake(f"{what} differ: only in weft.yaml {sorted(only_manifest)}, "
                      f"only in README.md {sorted(only_readme)}")


def check_config(weft, manifest, _):
    config = block(document(manifest, "ConfigMap"), "weft.yaml") + "\n"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WEFT_")}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "weft.yaml")
        path.write_text(config)
        run = subprocess.run([weft, "config", "--config", str(path)], capture_output=True, text=True,
                             timeout=30, env=environment)
    if run.returncode != 0:
        raise Mistake(f"weft config refuses the ConfigMap ({run.returncode}):\n{run.stdout}{run.stderr}")
    # The addresses that weft will use are those that the pod declares and no others.
    listening = set(re.findall(r'endpoint: "0\.0\.0\.0:(\d+)"', run.stdout))
    if 'endpoint: "127.0.0.1:16686"' not in run.stdout:
        raise Mistake("the page, which asks for no login, is not on loopback")
    for feature in ("tls", "go"):
        if "enabled: false" not in blocks(block(config, "capture"), feature)[0]:
            raise Mistake(f"capture.{feature}, which reads what is encrypted, is not off by default")
    spool = re.search(r"^ *directory: \"?(/[^\"\s]+)", run.stdout, re.M)
    mounts = items(block(without_comments(document(manifest, "DaemonSet")), "volumeMounts"))
    if not spool or not any(spool.group(1).startswith(m["mountPath"] + "/") and m.get("readOnly") != "true" for m in mounts):
        raise Mistake(f"the spool is in no volume that can be written: {spool and spool.group(1)}")
    declared = {p["containerPort"] for p in items(block(without_comments(document(manifest, "DaemonSet")), "ports"))}
    if listening != declared:
        raise Mistake(f"weft listens on {sorted(listening)}, the pod declares {sorted(declared)}")
    if 'endpoint: "otel-collector.observability:4317"' not in run.stdout:
        raise Mistake(f"without WEFT_COLLECTOR the collector is not the default one:\n{run.stdout}")


def check_tables(_, manifest, readme):
    pod = without_comments(document(manifest, "DaemonSet"))
    service = without_comments(document(manifest, "Service"))
    if flow_list(block(pod, "capabilities"), "drop") != ["ALL"]:
        raise Mistake("the container does not drop ALL capabilities")
    same("capabilities", flow_list(block(pod, "capabilities"), "add"), [r[0] for r in table(readme, "Capabilities")])

    kinds = {}
    for volume in items(block(pod, "volumes")):
        kind = [k for k in volume if k in ("hostPath", "configMap", "emptyDir", "secret", "projected")]
        if len(kind) != 1:
            raise Mistake(f"volume {volume.get('name')} is of no kind that this test knows")
        kinds[volume["name"]] = f"hostPath {volume.get('path', '?')}" if kind[0] == "hostPath" else kind[0]
    mounts = items(block(pod, "volumeMounts"))
    if {m["name"] for m in mounts} != set(kinds):
        raise Mistake("the volumes and the mounts of the pod are not the same")
    same("mounts (path, volume, read-only)",
         [(m["mountPath"], kinds[m["name"]], "yes" if m.get("readOnly") == "true" else "no") for m in mounts],
         [tuple(r[:3]) for r in table(readme, "Mounts")])

    reachable = {(p["port"], p["protocol"]) for p in items(block(service, "ports"))}
    targets = {(p["targetPort"], p["protocol"]) for p in items(block(service, "ports"))}
    ports = items(block(pod, "ports"))
    if reachable != targets or not targets <= {(p["containerPort"], p["protocol"]) for p in ports}:
        raise Mistake("the Service forwards to ports that the pod does not declare, or renumbers them")
    same("ports (number, protocol, in the Service, on the node)",
         [(p["containerPort"], p["protocol"], "yes" if (p["containerPort"], p["protocol"]) in reachable else "no",
           "yes" if "hostPort" in p else "no") for p in ports],
         [tuple(r[:4]) for r in table(readme, "Ports")])
    if any(p.get("hostPort", p["containerPort"]) != p["containerPort"] for p in ports):
        raise Mistake("a port has another number on the node")

    # Doors to the node that no table has: each would need a row and a reason first.
    for word in ("hostNetwork: true", "hostIPC: true", "privileged: true"):
        if word in pod:
            raise Mistake(f"the pod has `{word}`")


def check_image(weft, folder):
    """The image installs what this weft is linked with; what only another library needs comes with that one."""
    if not shutil.which("dpkg-query"):
        raise Mistake("no dpkg-query here to ask")
    dockerfile = (folder / "Dockerfile").read_text()
    installed = set(re.search(r"--no-install-recommends(.*?)&&", dockerfile, re.S).group(1).replace("\\", " ").split())
    linked = subprocess.run(["ldd", weft], capture_output=True, text=True, check=True).stdout
    needed = set()
    names = {pathlib.Path(library).name for library in re.findall(r"=> (/\S+)", linked)}
    owners = subprocess.run(["dpkg-query", "-S", *("*/" + name for name in names)], capture_output=True, text=True).stdout
    for line in owners.splitlines():
        package, path = line.split(": ", 1)
        if pathlib.Path(path).name in names and not re.search(r"i386|32|x32", package):
            needed.add(package.split(":")[0])
            names.discard(pathlib.Path(path).name)
    if names:
        raise Mistake(f"no package has {sorted(names)}")
    dependencies = subprocess.run(["dpkg-query", "-W", "-f", "${Depends}\n", *(installed & needed)],
                                  capture_output=True, text=True, check=True).stdout
    indirect = {re.split(r"[\s:(]", word.strip())[0] for word in re.split(r"[,|\n]", dependencies)}
    missing, spare = needed - installed - indirect, installed - needed - {"ca-certificates"}
    if missing or spare:
        raise Mistake(f"the Dockerfile lacks {sorted(missing)} and installs without need {sorted(spare)}")


CHECKS = {"config": check_config, "tables": check_tables}


def main():
    weft, folder, names = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:] or [*CHECKS, "image"]
    manifest, readme = (folder / "weft.yaml").read_text(), (folder / "README.md").read_text()
    failed = False
    for name in names:
        try:
            if name == "image":
                check_image(weft, folder)
            else:
                CHECKS[name](weft, manifest, readme)
            print(f"{name}: ok")
        except Mistake as mistake:
            failed = True
            print(f"{name}: {mistake}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
