"""A machine without a disk in qemu, by software emulation: a kernel, and an initramfs with busybox and some programs."""
import pathlib
import re
import shutil
import subprocess

import kernels

# Without five-level page tables, under which qemu 7.2 loses 6.12 to a fault every few minutes, at the boot already; and
# without pointer authentication, whose emulation takes most of the time.
MACHINES = {
    "amd64": ["qemu-system-x86_64", "-cpu", "max,la57=off"],
    "arm64": ["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth=off"],
}
CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
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
export LD_LIBRARY_PATH=/lib
echo "guest: kernel $(/bin/busybox uname -r)"
@PARTS@
echo "guest: end"
/bin/busybox poweroff -f
"""


def must_have(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise kernels.Missing(f"{tool} is not installed")


def libraries(program):
    """What a program of this machine needs; nothing when it is static or of another machine."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def make_initramfs(busybox, programs, files, parts, into):
    """`programs` and their libraries, stripped; `files`: from their place in the guest to those here; `parts`: lines of init."""
    root = into / "root"
    for sub in ("bin", "lib", "lib64"):
        (root / sub).mkdir(parents=True)
    (root / "init").write_text(INIT.replace("@PARTS@", parts))
    (root / "init").chmod(0o755)
    for program in programs:
        shutil.copy(program, root / "bin")
        for library in libraries(program):
            folder = "lib64" if "ld-linux" in library else "lib"
            shutil.copy(pathlib.Path(library).resolve(), root / folder / pathlib.Path(library).name)
    subprocess.run(["llvm-strip", "--strip-debug", *root.glob("bin/*"), *root.glob("lib/*")], check=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    (root / "bin" / "sh").symlink_to("busybox")
    for there, here in files.items():
        (root / there).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pathlib.Path(here).resolve(), root / there)
    # Not compressed: the emulated machine would need longer to unpack it.
    image = into / "initramfs"
    subprocess.run(f"find . | cpio -o -H newc --quiet > {image}", shell=True, check=True, cwd=root)
    return image


def boot(architecture, kernel, initramfs, seconds):
    """What the guest wrote until it was off, or the time was up."""
    command = [*MACHINES[architecture], "-accel", "tcg", "-smp", "2", "-m", "1024", "-nographic", "-nic", "none", "-no-reboot",
               "-kernel", kernel, "-initrd", initramfs,
               "-append", f"console={CONSOLES[architecture]} quiet panic=-1 mitigations=off"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL)
        out, problem = done.stdout, done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        out, problem = late.stdout or b"", f"no end within {seconds} seconds\n"
    return out.decode(errors="replace").replace("\r", "") + problem


def kernel_in(output):
    version = re.search(r"guest: kernel (\S+)", output)
    print(f"kernel {version.group(1) if version else 'did not come up'}")
    return version is not None


def parts_in(output):
    """What was written behind each line `guest: part NAME`."""
    parts = re.split(r"^guest: part (\w+)$", output, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))
