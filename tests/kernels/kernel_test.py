#!/usr/bin/env python3
"""Boots one kernel in qemu with a test program as its only user space and reports what it said.

    kernel_test.py [--all] NAME PROGRAM [HOOK…]      NAME: a key of kernels.KERNELS

The program runs once for each rung of the hook ladder that the kernel must have, or for the HOOKs: the cases that
depend on the hook, with --all the whole suite. The guest is an initramfs: a static
busybox, the program and the libraries it needs. Emulated time means nothing; what counts is that the programs load,
attach and see what they should. A failed test fails this one, and so does a rung whose tests are all skipped.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import kernels

SKIPPED = 77
BOOT_SECONDS = 3600 if "--all" in sys.argv else 840
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /tmp /dev /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox mount -t cgroup2 cgroup /sys/fs/cgroup
/bin/busybox mount -t bpf bpf /sys/fs/bpf
/bin/busybox mount -t debugfs debug /sys/kernel/debug
/bin/busybox mount -t tracefs trace /sys/kernel/tracing
/bin/busybox ip link set lo up
echo "guest: $(/bin/busybox uname -r)"
export LD_LIBRARY_PATH=/lib
@RUNS@
/bin/busybox poweroff -f
"""


# What depends on the hook and the kernel. Each of them loads the programs anew, which takes seconds here.
HOOK_CASES = ["*ExactBytes", "*EndsAndClose*", "*T1Peeked*", "*T2Trunc*", "*T5Gathers*", "*T6*", "*T7*", "*T15AConn*", "*T16IPv6*",
              "*T24*", "*UdpSender*", "Http2Test.GatheredCalls"]


def runs_of(hooks, everything):
    """The lines of init that run the program, hook by hook."""
    lines = []
    for hook in hooks:
        chosen = "*" if everything else ":".join(HOOK_CASES)
        lines.append(f"echo 'guest: hook {hook}'")
        lines.append(f"WEFT_DATA_HOOK={hook} /tests/* --gtest_color=no '--gtest_filter={chosen}'")
        lines.append('echo "guest: exit $?"')
    return "\n".join(lines)


def libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def make_initramfs(program, runs, into):
    root = into / "root"
    for sub in ("bin", "lib", "lib64", "tests"):
        (root / sub).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    (root / "init").write_text(INIT.replace("@RUNS@", runs))
    (root / "init").chmod(0o755)
    shutil.copy(program, root / "tests" / pathlib.Path(program).name)
    for library in libraries(program):
        folder = "lib64" if "ld-linux" in library else "lib"
        shutil.copy(os.path.realpath(library), root / folder / pathlib.Path(library).name)
    subprocess.run(["strip", "--strip-debug", *root.glob("tests/*"), *root.glob("lib/*")], check=True)
    image = into / "initramfs.gz"
    subprocess.run(f"find . | cpio -o -H newc --quiet | gzip -1 > {image}", shell=True, check=True, cwd=root)
    return image


def boot(kernel, initramfs):
    # Without five-level page tables, under which qemu 7.2 loses 6.12 to a fault every few minutes, at the boot already.
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max,la57=off", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot",
               "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=BOOT_SECONDS, stdin=subprocess.DEVNULL)
        return done.stdout.decode(errors="replace").replace("\r", "")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "\nguest: no end within the time\n"


def judge(output, hooks):
    version = re.search(r"guest: (\d\S*)", output)
    print(f"kernel {version.group(1) if version else 'did not come up'}")
    good = version is not None
    parts = re.split(r"^guest: hook (\w+)$", output, flags=re.M)
    told = dict(zip(parts[1::2], parts[2::2]))
    for hook in hooks:
        said = told.get(hook, "")
        passed = len(re.findall(r"^\[       OK \]", said, re.M))
        skipped = sorted(set(re.findall(r"^\[  SKIPPED \] (\w+\.\w+) ", said, re.M)))
        failed = sorted(set(re.findall(r"^\[  FAILED  \] (\w+\.\w+)", said, re.M)))
        ran = re.search(r"^guest: exit 0$", said, re.M) is not None and passed > len(skipped)
        good = good and ran
        print(f"  {hook}: {'' if ran else 'NOT GOOD, '}{passed} tests passed, {len(failed)} failed, {len(skipped)} skipped")
        for name in failed:
            print(f"    failed: {name}")
        for reason in sorted(set(re.findall(r": Skipped\n(.*)\n", said))):
            print(f"    skipped because: {reason}")
    return good


def main():
    arguments = [a for a in sys.argv[1:] if a != "--all"]
    name, program, hooks = arguments[0], arguments[1], arguments[2:]
    for tool in ("qemu-system-x86_64", "busybox", "cpio"):
        if shutil.which(tool) is None:
            print(f"SKIPPED: {tool} is not installed")
            return SKIPPED
    if os.uname().machine != "x86_64":
        print("SKIPPED: the programs are not of the guest's architecture")
        return SKIPPED
    try:
        kernel = kernels.fetch(name)
    except kernels.Missing as why:
        print(f"SKIPPED: {name} cannot be had here: {why}")
        return SKIPPED
    hooks = hooks or kernels.HOOKS[name]
    with tempfile.TemporaryDirectory() as scratch:
        runs = runs_of(hooks, "--all" in sys.argv)
        output = boot(kernel, make_initramfs(program, runs, pathlib.Path(scratch)))
    good = judge(output, hooks)
    if not good:
        print(output[-20000:])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
