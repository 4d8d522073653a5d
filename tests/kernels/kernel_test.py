#!/usr/bin/env python3
"""Boots one kernel in qemu with test programs as its only user space and reports what they said.

    kernel_test.py NAME PROGRAM [PROGRAM…]      NAME: a key of kernels.KERNELS

The guest is an initramfs: a static busybox, the programs and the libraries they need. Emulated time means nothing; what
counts is that the programs load, attach and see what they should. Every failed test of a program fails this one.
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
BOOT_SECONDS = 840
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
for program in /tests/*; do
  echo "guest: $program"
  LD_LIBRARY_PATH=/lib $program --gtest_color=no --gtest_brief=0
  echo "guest: exit $?"
done
/bin/busybox poweroff -f
"""


def libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def make_initramfs(programs, into):
    root = into / "root"
    for sub in ("bin", "lib", "lib64", "tests"):
        (root / sub).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    for number, program in enumerate(programs):
        shutil.copy(program, root / "tests" / f"{number}_{pathlib.Path(program).name}")
        for library in libraries(program):
            folder = "lib64" if "ld-linux" in library else "lib"
            shutil.copy(os.path.realpath(library), root / folder / pathlib.Path(library).name)
    subprocess.run(["strip", "--strip-debug", *root.glob("tests/*"), *root.glob("lib/*")], check=True)
    image = into / "initramfs.gz"
    subprocess.run(f"find . | cpio -o -H newc --quiet | gzip -1 > {image}", shell=True, check=True, cwd=root)
    return image


def boot(kernel, initramfs):
    command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot",
               "-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=BOOT_SECONDS, stdin=subprocess.DEVNULL)
        return done.stdout.decode(errors="replace").replace("\r", "")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "\nguest: no end within the time\n"


def judge(output, programs):
    exits = re.findall(r"^guest: exit (\d+)", output, re.M)
    passed = len(re.findall(r"^\[       OK \]", output, re.M))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] (\w+\.\w+) ", output, re.M)))
    version = re.search(r"guest: (\d\S*)", output)
    print(f"kernel {version.group(1) if version else 'did not come up'}: {passed} tests passed, {len(skipped)} skipped")
    for name in skipped:
        print(f"  skipped there: {name}")
    for reason in sorted(set(re.findall(r": Skipped\n(.*)\n", output))):
        print(f"  because: {reason}")
    return version and exits == ["0"] * len(programs) and passed > 0


def main():
    name, programs = sys.argv[1], sys.argv[2:]
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
    with tempfile.TemporaryDirectory() as scratch:
        output = boot(kernel, make_initramfs(programs, pathlib.Path(scratch)))
    good = judge(output, programs)
    if not good:
        print(output[-20000:])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
