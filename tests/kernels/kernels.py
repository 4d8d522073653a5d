"""Kernels of Debian's suites, fetched with apt's own verification into a folder of the build tree.

apt runs with a state of its own, so the machine's package lists and sources stay as they are. The mirror is the one
that the machine uses already.
"""
import fcntl
import os
import pathlib
import re
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# name -> (suite, what the version begins with, architecture)
KERNELS = {
    "debian-5.10": ("bullseye", "5.10.", "amd64"),
    "debian-6.1": ("bookworm", "6.1.", "amd64"),
    "debian-6.12": ("trixie", "6.12.", "amd64"),
    "debian-7": ("sid", "7.", "amd64"),
    "debian-6.1-arm64": ("bookworm", "6.1.", "arm64"),
    "debian-6.12-arm64": ("trixie", "6.12.", "arm64"),
}
# The hooks that each of them must have, best first, and why it refuses the others: words of the reason.
NO_SOCK_LENGTH = {"sock_length": "lacks the tracepoints sock_send_length, sock_recv_length"}
HOOKS = {
    "debian-5.10": ["fentry", "kprobe", "syscall"],
    "debian-6.1": ["fentry", "kprobe", "syscall"],
    "debian-6.12": ["fentry", "sock_length", "kprobe", "syscall"],
    "debian-7": ["fentry", "sock_length", "kprobe", "syscall"],
}
REFUSED = {"debian-5.10": NO_SOCK_LENGTH, "debian-6.1": NO_SOCK_LENGTH}
# What `weft doctor` must say there, beside that all other rungs are off for a reason: True for on, else words of the reason.
BETTER = "a better hook works"
IN_SOCKETS = {
    "capture.hook.fentry": True,
    "capture.hook.fentry_hash": BETTER,
    "capture.hook.sock_tracepoint": BETTER,
    "capture.hook.kprobe": BETTER,
    "capture.hook.syscall_tracepoint": BETTER,
    "capture.tls": True,
    "capture.go": True,
}
IN_HASHES = IN_SOCKETS | {
    "capture.hook.fentry": "lacks bpf_task_pt_regs",
    "capture.hook.fentry_hash": True,
    "capture.tls": "keeps its state in hashes",
    "capture.go": "keeps its state in hashes",
}
DOCTOR = {name: IN_HASHES if name == "debian-5.10" else IN_SOCKETS for name in HOOKS}
# The programs that do not load where only loading is tried: those for kernels of another age, which the agent leaves out.
REFUSED_PROGRAMS = {
    "debian-6.1-arm64": {"sock_io_fentry/on_receive_6", "sock_io_fentry_hash/on_receive_6", "sock_io_tp/on_receive",
                         "sock_io_tp/on_send"},
    "debian-6.12-arm64": {"sock_io_fentry/on_receive_6", "sock_io_fentry_hash/on_receive_6", "sock_io_fentry/on_send_page",
                          "sock_io_fentry_hash/on_send_page"},
}


class Missing(Exception):
    """The kernel cannot be had here."""


def folder():
    default = pathlib.Path(__file__).resolve().parents[2] / "build" / "kernels"
    return pathlib.Path(os.environ.get("WEFT_KERNELS", default))


def run(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as why:
        raise Missing(f"{command[0]} is not installed") from why
    if done.returncode != 0:
        complaints = re.findall(r"^[EW]: *(.*)", done.stderr, re.M) or [done.stderr.strip()[-200:]]
        raise Missing(f"{command[0]} {command[-1]}: {complaints[0]}")
    return done.stdout


def mirror():
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    for line in targets.splitlines():
        uri, release, component = line.split()
        if re.fullmatch("bookworm|bullseye|trixie", release) and component == "main":
            return uri
    raise Missing("the machine's package sources name no Debian mirror")


def apt_options(state, suite, architecture):
    for sub in ("lists/partial", "cache/archives/partial"):
        (state / sub).mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    return ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache",
            "-o", "Acquire::Languages=none", "-o", f"APT::Architecture={architecture}",
            "-o", f"APT::Architectures::={architecture}", "-o", "APT::Sandbox::User=root"]


def version_key(name):
    return [int(n) for n in re.findall(r"\d+", name)]


def newest_package(options, prefix, architecture):
    # Newer suites keep the image in linux-binary-…, and linux-image-… only depends on it.
    for stem in ("linux-binary-", "linux-image-"):
        names = run("apt-cache", *options, "pkgnames", stem + prefix).split()
        cloud = [n for n in names if n.endswith(f"-cloud-{architecture}")]
        if cloud:
            break
    if not cloud:
        raise Missing(f"no cloud kernel {prefix}* in the suite")
    return max(cloud, key=version_key)


def update(options):
    run("apt-get", *options, "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::http::Timeout=30", "update")


def unpack(options, packages, place):
    """Downloads packages and unpacks them into place/unpacked."""
    done = subprocess.run(["apt-get", *options, "download", *packages], cwd=place, capture_output=True, text=True)
    files = list(place.glob("*.deb"))
    if done.returncode != 0 or not files:
        raise Missing(f"download of {' '.join(packages)}: {done.stderr.strip()[-200:]}")
    for file in files:
        run("dpkg-deb", "-x", file, place / "unpacked")
    run("rm", "-rf", *files)
    return place / "unpacked"


def once(place, wanted, make):
    """The path of `wanted`; `make()` leaves it there. Of two tests that ask at one time the second waits and finds it."""
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / wanted).exists():
            make()
    return place / wanted


def fetch(name):
    """The path of a bootable image; downloads it once (about 30 MB)."""
    place = folder() / name

    def download():
        suite, prefix, architecture = KERNELS[name]
        options = apt_options(place / "apt", suite, architecture)
        update(options)
        package = newest_package(options, prefix, architecture)
        unpacked = unpack(options, [package], place)
        found = list((p for p in unpacked.rglob("vmlinuz*") if p.is_file()))
        if not found:
            raise Missing(f"{package} has no image")
        (place / "package").write_text(package + "\n")
        found[0].rename(place / "vmlinuz")
        run("rm", "-rf", unpacked, place / "apt")

    return once(place, "vmlinuz", download)


def sysroot(architecture):
    """A folder with what a static program in C needs, and busybox, of another architecture; downloads it once (about 15 MB)."""
    place = folder() / f"sysroot-{architecture}"

    def download():
        options = apt_options(place / "apt", "bookworm", architecture)
        update(options)
        unpack(options, ["libc6-dev", "libgcc-12-dev", "linux-libc-dev", "libbpf-dev", "libelf-dev", "zlib1g-dev", "busybox-static"],
               place).rename(place / "root")
        run("rm", "-rf", place / "apt")

    return once(place, "root", download)
