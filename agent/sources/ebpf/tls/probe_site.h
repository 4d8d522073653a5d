// Where in a function a probe is cheap. The kernel emulates a few instructions under a uprobe
// (push, nop, jumps, near calls: about 0.5 µs on the reference VM) and single-steps all others
// (about 10 µs there, 0.9 µs on metal), so the first instruction that happens to stand at the
// symbol decides the price. These functions look at the code and choose: the first emulated
// instruction that every call reaches with its arguments still in their registers, and for results
// the last one before each return. Where nothing qualifies the answer is the function's start.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sources/ebpf/tls/elf_file.h"

namespace weft::sources::ebpf::tls {

enum class Price : uint8_t {
  kEmulated,  // ~0.5 µs per hit on the reference VM, ~0.3 µs on metal; +0.4 µs with a return probe
  kStepped,  // ~10 µs per hit on the reference VM, ~0.9 µs on metal
};

// Does the kernel emulate this instruction of x86-64 under a uprobe?
bool IsEmulated(std::span<const uint8_t> instruction);

struct ProbeSite {
  uint64_t offset = 0;  // from the function's first byte
  Price price = Price::kStepped;
  friend bool operator==(const ProbeSite&, const ProbeSite&) = default;
};

// The code of one function, from its first byte on.
struct FunctionCode {
  Machine machine = Machine::kX86_64;
  uint64_t address = 0;  // of the first byte, as linked
  std::span<const uint8_t> bytes;
};

// Where the first `arguments` integer arguments (1..4) are still where the caller put them.
ProbeSite FindEntrySite(const FunctionCode& code, int arguments);

// Where a return probe may sit: the return address must still lie on top of the stack.
ProbeSite FindReturnProbeSite(const FunctionCode& code);

// Plain probes that together see every return, with the result in its register: at the jump behind
// each check of the stack protector. None when a return has no such place, or the function leaves
// by a jump.
std::optional<std::vector<uint64_t>> FindExitSites(const FunctionCode& code);

// The address of the function that this one hands its `arguments` to, all of them untouched, and
// whose positive result it returns unchanged: probing that one is as good.
std::optional<uint64_t> FindForwarded(const FunctionCode& code, int arguments);

// Does the function call or jump to `address` directly?
bool CallsDirectly(const FunctionCode& code, uint64_t address);

}  // namespace weft::sources::ebpf::tls
