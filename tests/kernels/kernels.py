"""Kernels of Debian's suites, fetched with apt's own verification into a folder of the build tree.

apt runs with a state of its own, so the machine's package lists and sources stay as they are. The mirror is the one
that the machine uses already.
"""
import os
import pathlib
import re
import subprocess

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# name -> (suite, what the version begins with)
KERNELS = {
    "debian-5.10": ("bullseye", "5.10."),
    "debian-6.1": ("bookworm", "6.1."),
    "debian-6.12": ("trixie", "6.12."),
    "debian-7": ("sid", "7."),
}
# The rungs of the hook ladder that each of them must have, best first.
HOOKS = {
    "debian-5.10": ["fentry", "kprobe", "syscall"],
    "debian-6.1": ["fentry", "kprobe", "syscall"],
    "debian-6.12": ["fentry", "sock_length", "kprobe", "syscall"],
    "debian-7": ["fentry", "sock_length", "kprobe", "syscall"],
}


class Missing(Exception):
    """The kernel cannot be had here."""


def folder():
    default = pathlib.Path(__file__).resolve().parents[2] / "build" / "kernels"
    return pathlib.Path(os.environ.get("WEFT_KERNELS", default))


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Missing(f"{' '.join(map(str, command[:3]))} …: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def mirror():
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")
    for line in targets.splitlines():
        uri, release, component = line.split()
        if re.fullmatch("bookworm|bullseye|trixie", release) and component == "main":
            return uri
    raise Missing("the machine's package sources name no Debian mirror")


def apt_options(state, suite):
    for sub in ("lists/partial", "cache/archives/partial"):
        (state / sub).mkdir(parents=True, exist_ok=True)
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    return ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::Cache={state}/cache",
            "-o", "Acquire::Languages=none", "-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User=root"]


def version_key(name):
    return [int(n) for n in re.findall(r"\d+", name)]


def newest_package(options, prefix):
    # Newer suites keep the image in linux-binary-…, and linux-image-… only depends on it.
    for stem in ("linux-binary-", "linux-image-"):
        names = run("apt-cache", *options, "pkgnames", stem + prefix).split()
        cloud = [n for n in names if n.endswith("-cloud-amd64")]
        if cloud:
            break
    if not cloud:
        raise Missing(f"no cloud kernel {prefix}* in the suite")
    return max(cloud, key=version_key)


def fetch(name):
    """The path of a bootable image; downloads it once (about 30 MB)."""
    suite, prefix = KERNELS[name]
    place = folder() / name
    image = place / "vmlinuz"
    if image.exists():
        return image
    state = place / "apt"
    options = apt_options(state, suite)
    run("apt-get", *options, "update")
    package = newest_package(options, prefix)
    unpacked = place / "unpacked"
    done = subprocess.run(["apt-get", *options, "download", package], cwd=place, capture_output=True, text=True)
    files = list(place.glob("linux-*.deb"))
    if done.returncode != 0 or not files:
        raise Missing(f"download of {package}: {done.stderr.strip()[-200:]}")
    run("dpkg-deb", "-x", files[0], unpacked)
    found = list((p for p in unpacked.rglob("vmlinuz*") if p.is_file()))
    if not found:
        raise Missing(f"{package} has no image")
    found[0].rename(image)
    (place / "package").write_text(package + "\n")
    run("rm", "-rf", unpacked, state, *files)
    return image
