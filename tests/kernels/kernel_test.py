#!/usr/bin/env python3
"""Boots one kernel in qemu (software emulation) with the capture tests and weft as its only user space, and judges what
they said.

    kernel_test.py [--all] NAME CAPTURE_TESTS TLS_TESTS WEFT [HOOK…]      NAME: a key of kernels.KERNELS

The tests run once for each hook that the kernel must have, or for the HOOKs: those that depend on the hook and the
kernel, with --all the whole suite. A hook that the kernel must refuse has to be refused for the reason in kernels.py,
and `weft doctor` must name the rung in use and why each other one is not. Where TLS is captured, calls into OpenSSL are
tried on the best hook. Emulated time means nothing; what counts is that the programs load, attach and see what they
should. Loading takes seconds there, so the tests share one running capture (WEFT_SHARED_CAPTURE).
"""
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

import guest
import kernels

SKIPPED = 77
OPENSSL_SETTINGS = "/usr/lib/ssl/openssl.cnf"
# What depends on the hook and the kernel, and needs no load of its own.
SAMPLE = ["*ExactBytes", "*EndsAndClose*", "*T1Peeked*", "*T2Trunc*", "*T5Gathers*", "*T6*", "*T7*", "*T16IPv6*", "*T24*",
          "*UdpSender*", "Http2Test.GatheredCalls"]
TLS_SAMPLE = ["TlsCallsTest.PlainCallsAreExact"]


def part(name, command):
    return f"echo 'guest: part {name}'\n{command}\necho \"guest: exit $?\""


def tests_part(name, program, chosen, hook):
    what = f"--gtest_color=no '--gtest_filter={':'.join(chosen)}'"
    return part(name, f"WEFT_SHARED_CAPTURE=1 WEFT_DATA_HOOK={hook} /bin/{program.name} {what}")


def has_tls(name):
    return kernels.DOCTOR[name]["capture.tls"] is True


def parts_of(name, programs, hooks, refused, everything):
    """The lines of init: a part for each hook, one for TLS where it can be had, and one for the doctor."""
    capture, tls, _ = programs
    parts = [tests_part(hook, capture, ["*"] if everything else SAMPLE, hook) for hook in hooks]
    parts += [tests_part(hook, capture, SAMPLE[:1], hook) for hook in refused]
    if has_tls(name):
        parts.append(tests_part("tls", tls, ["TlsCallsTest.*"] if everything else TLS_SAMPLE, "auto"))
    parts.append(part("doctor", "/bin/weft doctor --json"))
    return "\n".join(parts)


def judge_tests(part_name, said):
    passed = len(re.findall(r"^\[       OK \]", said, re.M))
    skipped = sorted(set(re.findall(r"^\[  SKIPPED \] (\w+\.\w+) ", said, re.M)))
    failed = sorted(set(re.findall(r"^\[  FAILED  \] (\w+\.\w+)", said, re.M)))
    took = re.search(r"ran\. \((\d+) ms total\)", said)
    # A test may miss something else, but never the hook: nobody else would tell that it could not be loaded.
    refused = re.search(r": Skipped\n.*no hook carries the data", said) is not None
    good = re.search(r"^guest: exit 0$", said, re.M) is not None and passed > 0 and not failed and not refused
    seconds = f", {int(took.group(1)) / 1000:.0f} s" if took else ""
    counts = f"{passed} tests passed, {len(failed)} failed, {len(skipped)} skipped"
    print(f"  {part_name}: {'' if good else 'NOT GOOD, '}{counts}{seconds}")
    for name in failed:
        print(f"    failed: {name}")
    for reason in sorted(set(re.findall(r": Skipped\n(.*)\n", said))):
        print(f"    skipped because: {reason}")
    return good


def judge_refused(hook, words, said):
    """The kernel cannot have this hook, and that is what the capture says."""
    good = re.search(r": Skipped\n.*" + re.escape(words), said) is not None
    print(f"  {hook}: {'refused as it must be' if good else 'NOT GOOD, should be refused'}: {words}")
    return good


def judge_doctor(expected, said):
    try:
        features = json.loads(said[said.index("{"):said.rindex("}") + 1])["features"]
    except ValueError:
        print("  doctor: NOT GOOD, no report")
        return False
    told = {f["name"]: f for f in features}
    wrong = []
    for name, want in expected.items():
        has = told.get(name, {"on": None, "reason": "not in the report", "rung": ""})
        if has["on"] != (want is True) or (want is not True and want not in has["reason"]):
            wrong.append(f"{name} is {has}, and should be {'on' if want is True else 'off: ' + want}")
    rungs = [f for f in features if f["name"].startswith("capture.hook.")]
    in_use = [f["rung"] for f in rungs if f["on"]]
    if in_use != [told.get("capture", {}).get("rung")]:
        wrong.append(f"capture is {told.get('capture')}, and the rungs in use are {in_use}")
    wrong += [f"{f['name']} is off without a reason" for f in rungs if not f["on"] and not f["reason"]]
    print(f"  doctor: {'NOT GOOD, ' if wrong else ''}in use: {', '.join(in_use) or 'nothing'}")
    for line in wrong:
        print(f"    wrong: {line}")
    return not wrong


def judge(output, name, hooks, refused):
    came_up = guest.kernel_in(output)
    told = guest.parts_in(output)
    tested = [*hooks, "tls"] if has_tls(name) else hooks
    verdicts = [judge_tests(tried, told.get(tried, "")) for tried in tested]
    verdicts += [judge_refused(hook, words, told.get(hook, "")) for hook, words in refused.items()]
    verdicts.append(judge_doctor(kernels.DOCTOR[name], told.get("doctor", "")))
    return came_up and all(verdicts)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--all"]
    everything = "--all" in sys.argv
    name, programs, hooks = arguments[0], [pathlib.Path(a) for a in arguments[1:4]], arguments[4:]
    if os.uname().machine != "x86_64":
        print("SKIPPED: the programs are not of the guest's architecture")
        return SKIPPED
    try:
        guest.must_have("qemu-system-x86_64", "busybox", "cpio", "llvm-strip", "openssl")
        kernel = kernels.fetch(name)
    except kernels.Missing as why:
        print(f"SKIPPED: {name} cannot be had here: {why}")
        return SKIPPED
    refused = {} if hooks else kernels.REFUSED.get(name, {})
    hooks = hooks or kernels.HOOKS[name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        parts = parts_of(name, programs, hooks, refused, everything)
        openssl = shutil.which("openssl")  # makes the certificate that the TLS tests use
        files = {OPENSSL_SETTINGS[1:]: OPENSSL_SETTINGS}
        initramfs = guest.make_initramfs(shutil.which("busybox"), [*programs, openssl], files, parts, pathlib.Path(scratch))
        output = guest.boot("amd64", kernel, initramfs, 1700 if everything else 280)
    good = judge(output, name, hooks, refused)
    print(f"  {time.monotonic() - began:.0f} s in all")
    if not good:
        print(output[-20000:])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
