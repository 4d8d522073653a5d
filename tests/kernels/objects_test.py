#!/usr/bin/env python3
"""Boots a kernel of another architecture in qemu (software emulation) and loads every program of the objects built for it.

    objects_test.py NAME OBJECT…      NAME: a key of kernels.REFUSED_PROGRAMS

That is what can be shown without the whole of weft built for that architecture: its verifier takes the programs, all but
those that kernels.py lists. The loader is tests/bpf/load_objects.c, made with clang and Debian's packages for the architecture.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import guest
import kernels

SKIPPED = 77
LOADER = pathlib.Path(__file__).parents[1] / "bpf" / "load_objects.c"


def build_loader(root, triple, into):
    folder = root / "usr" / "lib" / triple
    program = into / "load_objects"
    subprocess.run(["clang", f"--target={triple}", f"--sysroot={root}", "-fuse-ld=lld", "-static", "-O1", "-Wall", "-Wextra", "-Werror",
                    LOADER, "-o", program, folder / "libbpf.a", folder / "libelf.a", folder / "libz.a"], check=True)
    return program


def judge(output, expected):
    came_up = guest.kernel_in(output)
    loaded = set(re.findall(r"^loaded (\S+)$", output, re.M))
    refused = set(re.findall(r"^refused (\S+):", output, re.M))
    good = came_up and "guest: end" in output and refused == expected and len(loaded) > len(refused)
    print(f"  {'' if good else 'NOT GOOD, '}{len(loaded)} programs loaded, {len(refused)} refused")
    for name in sorted(refused - expected):
        print(f"    refused, and should not be: {name}")
    for name in sorted(expected - refused):
        print(f"    loads, though kernels.py says that it cannot: {name}")
    return good


def main():
    name, objects = sys.argv[1], [pathlib.Path(o) for o in sys.argv[2:]]
    architecture = kernels.KERNELS[name][2]
    triple = {"arm64": "aarch64-linux-gnu"}[architecture]
    try:
        guest.must_have(guest.MACHINES[architecture][0], "cpio", "llvm-strip", "clang", "ld.lld")
        kernel = kernels.fetch(name)
        root = kernels.sysroot(architecture)
    except kernels.Missing as why:
        print(f"SKIPPED: {name} cannot be had here: {why}")
        return SKIPPED
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        into = pathlib.Path(scratch)
        parts = "/bin/load_objects " + " ".join("/" + o.name for o in objects)
        loader = build_loader(root, triple, into)
        files = {o.name: o for o in objects}
        initramfs = guest.make_initramfs(root / "bin" / "busybox", [loader], files, parts, into)
        output = guest.boot(architecture, kernel, initramfs, 550)
    good = judge(output, kernels.REFUSED_PROGRAMS[name])
    print(f"  {time.monotonic() - began:.0f} s in all")
    if not good:
        print(output[-20000:])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
