// Code: places in Go functions where a probe is cheap and sees what it needs. Go's compiler leaves
// regular patterns: every function with a frame begins by comparing the stack with the goroutine's
// limit and jumps when it is short of it, all arguments still in their registers; calls of other
// functions are direct. The kernel emulates such jumps and calls under a probe. No place is
// guessed: where the pattern is not found there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace weft::sources::ebpf::go {

struct Code {
  uint64_t address = 0;  // of the first byte, as linked
  std::span<const uint8_t> bytes;
};

// The jump of the stack check. Every call passes it, twice when the stack has to grow.
std::optional<uint64_t> FindStackCheck(const Code& code);

// The direct calls of `target`.
std::vector<uint64_t> FindCalls(const Code& code, uint64_t target);

// The first emulated instruction behind the call at `call`, in straight line, with the type
// of the error that the call may have returned, its second result, still in its register.
std::optional<uint64_t> FindBehindCall(const Code& code, uint64_t call);

// The offset in an object of the only member of eight bytes that is set to -1 in this function.
std::optional<uint64_t> FindMinusOne(const Code& code);

// The offset by which the call's first argument was last formed from another register.
std::optional<uint64_t> FindArgumentOffset(const Code& code, uint64_t call);

// The offset of the running goroutine from the thread's base, as this function reads it.
std::optional<int32_t> FindGoroutineOffset(const Code& code);

// All results are offsets from the function's first byte, but those of the last three.

}  // namespace weft::sources::ebpf::go
