// What weft may do as root shrinks twice: before the first thread starts to what a start or a later
// step can need, and after the start to what later steps need (attach a probe to a library that
// appears, name a process). A process that was taken over then has little more than its own memory.
#pragma once

#include <cstdint>
#include <string>

#include "app/settings.h"

namespace weft::app {

// A set of capabilities, bit N for CAP_N.
using Capabilities = uint64_t;

// What is needed once everything runs: reading /proc of other users' processes; BPF and PERFMON
// while capturing; SYS_ADMIN and CHECKPOINT_RESTORE for TLS and Go (kernels since July 2025 ask
// SYS_ADMIN for a uprobe); DAC_OVERRIDE where files are written whose folder may be another user's.
Capabilities NeededLater(const Settings& settings);
// The same and what only a start needs: ports below 1024, big UDP buffers, locked memory.
Capabilities NeededToStart(const Settings& settings);

// Gives up what is not in `keep`, for this thread and those that it starts, and forbids for good
// that an exec brings anything back. What was not granted does not come. Call before any thread.
void KeepCapabilities(Capabilities keep);
// The same for the threads that run. Those that block every signal, librdkafka's, keep what they
// have. Returns how many did. Cost: a signal to each thread.
int KeepCapabilitiesEverywhere(Capabilities keep);

// "bpf, perfmon, sys_ptrace": what this thread has now; "none".
std::string CapabilitiesText();

}  // namespace weft::app
