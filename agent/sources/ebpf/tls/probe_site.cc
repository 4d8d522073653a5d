#include "sources/ebpf/tls/probe_site.h"

#include <capstone/capstone.h>

#include <algorithm>
#include <array>

namespace weft::sources::ebpf::tls {
namespace {

constexpr size_t kMaxInstructions = 4096;

// What the rules ask of an instruction.
struct Instruction {
  uint64_t address = 0;
  uint8_t size = 0;
  bool emulated = false;
  bool is_call = false, is_return = false;
  bool is_jump = false;  // conditional or not
  bool is_conditional = false;
  bool is_nop = false;             // also endbr64
  bool checks_canary = false;      // compares with %fs:0x28
  bool keeps_positive = false;     // a write to rax that leaves a positive value as it is
  std::optional<uint64_t> target;  // of a direct jump or call
  uint32_t writes = 0;             // bits of Register
};

enum Register : uint32_t { kDi = 1, kSi = 2, kDx = 4, kCx = 8, kAx = 16, kSp = 32 };
constexpr std::array<uint32_t, 4> kArguments = {kDi, kSi, kDx, kCx};

uint32_t RegisterBit(unsigned id) {
  switch (id) {
    case X86_REG_RDI:
    case X86_REG_EDI:
    case X86_REG_DI:
    case X86_REG_DIL:
      return kDi;
    case X86_REG_RSI:
    case X86_REG_ESI:
    case X86_REG_SI:
    case X86_REG_SIL:
      return kSi;
    case X86_REG_RDX:
    case X86_REG_EDX:
    case X86_REG_DX:
    case X86_REG_DL:
    case X86_REG_DH:
      return kDx;
    case X86_REG_RCX:
    case X86_REG_ECX:
    case X86_REG_CX:
    case X86_REG_CL:
    case X86_REG_CH:
      return kCx;
    case X86_REG_RAX:
    case X86_REG_EAX:
    case X86_REG_AX:
    case X86_REG_AL:
    case X86_REG_AH:
      return kAx;
    case X86_REG_RSP:
    case X86_REG_ESP:
    case X86_REG_SP:
    case X86_REG_SPL:
      return kSp;
    default:
      return 0;
  }
}

bool KeepsPositive(unsigned id) { return id == X86_INS_CMOVS || id == X86_INS_CMOVL; }

void ReadDetail(csh handle, const cs_insn& in, Instruction* out) {
  cs_regs read, written;
  uint8_t read_count = 0, written_count = 0;
  if (cs_regs_access(handle, &in, read, &read_count, written, &written_count) == CS_ERR_OK) {
    for (uint8_t i = 0; i < written_count; ++i) out->writes |= RegisterBit(written[i]);
  }
  for (uint8_t i = 0; i < in.detail->groups_count; ++i) {
    switch (in.detail->groups[i]) {
      case X86_GRP_CALL:
        out->is_call = true;
        break;
      case X86_GRP_RET:
      case X86_GRP_IRET:
        out->is_return = true;
        break;
      case X86_GRP_JUMP:
        out->is_jump = true;
        break;
      default:
        break;
    }
  }
  if (out->is_call) out->writes |= kAx | kDi | kSi | kDx | kCx;
  out->is_conditional = out->is_jump && in.id != X86_INS_JMP && in.id != X86_INS_LJMP;
  out->is_nop = in.id == X86_INS_NOP || in.id == X86_INS_ENDBR64;
  out->keeps_positive = KeepsPositive(in.id);
  const cs_x86& x86 = in.detail->x86;
  for (uint8_t i = 0; i < x86.op_count; ++i) {
    const cs_x86_op& op = x86.operands[i];
    if (op.type == X86_OP_IMM && (out->is_jump || out->is_call)) {
      out->target = static_cast<uint64_t>(op.imm);
    }
    if (op.type == X86_OP_MEM && op.mem.segment == X86_REG_FS && op.mem.disp == 0x28 &&
        op.mem.base == X86_REG_INVALID &&
        (in.id == X86_INS_SUB || in.id == X86_INS_XOR || in.id == X86_INS_CMP)) {
      out->checks_canary = true;
    }
  }
}

// All instructions in a row. Stops at bytes that are none.
std::vector<Instruction> Disassemble(const FunctionCode& code) {
  std::vector<Instruction> all;
  csh handle;
  if (code.machine != Machine::kX86_64 || cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) {
    return all;
  }
  cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
  cs_insn* in = cs_malloc(handle);
  const uint8_t* at = code.bytes.data();
  size_t left = code.bytes.size();
  uint64_t address = code.address;
  while (left > 0 && all.size() < kMaxInstructions &&
         cs_disasm_iter(handle, &at, &left, &address, in)) {
    Instruction out;
    out.address = in->address;
    out.size = static_cast<uint8_t>(in->size);
    out.emulated = IsEmulated({in->bytes, in->size});
    ReadDetail(handle, *in, &out);
    all.push_back(out);
  }
  cs_free(in, 1);
  cs_close(&handle);
  return all;
}

// Does anything in the function jump into (from, to]?
bool JumpedInto(const std::vector<Instruction>& all, uint64_t from, uint64_t to) {
  return std::any_of(all.begin(), all.end(), [&](const Instruction& i) {
    return i.is_jump && i.target && *i.target > from && *i.target <= to;
  });
}

bool CoversAll(const std::vector<Instruction>& all, const FunctionCode& code) {
  return !all.empty() && all.back().address + all.back().size == code.address + code.bytes.size();
}

// The first emulated instruction in straight line before any of `kept` is written.
ProbeSite FirstEmulated(const FunctionCode& code, uint32_t kept) {
  const std::vector<Instruction> all = Disassemble(code);
  bool only_nops = true;
  for (const Instruction& i : all) {
    if (i.emulated) {
      if (JumpedInto(all, code.address, i.address)) break;  // hit more than once in a call
      if (!only_nops && !CoversAll(all, code)) break;       // cannot tell
      return {i.address - code.address, Price::kEmulated};
    }
    if (i.is_jump || i.is_call || i.is_return || (i.writes & kept) != 0) break;
    only_nops &= i.is_nop;
  }
  return {};
}

}  // namespace

// The list of arch/x86/kernel/uprobes.c, without the long nops that only new kernels emulate.
bool IsEmulated(std::span<const uint8_t> b) {
  const size_t size = b.size();
  if (size == 1 && (b[0] == 0x90 || (b[0] >= 0x50 && b[0] <= 0x57))) return true;  // nop, push
  if (size == 2 && b[0] == 0x41 && b[1] >= 0x50 && b[1] <= 0x57) return true;      // push r8..r15
  if (size == 2 && (b[0] == 0xeb || (b[0] >= 0x70 && b[0] <= 0x7f))) return true;  // short jumps
  if (size == 5 && (b[0] == 0xe9 || b[0] == 0xe8)) return true;                    // jmp, call
  return size == 6 && b[0] == 0x0f && b[1] >= 0x80 && b[1] <= 0x8f;                // jcc
}

ProbeSite FindEntrySite(const FunctionCode& code, int arguments) {
  uint32_t kept = 0;
  for (int i = 0; i < std::min(arguments, 4); ++i) kept |= kArguments[static_cast<size_t>(i)];
  return FirstEmulated(code, kept);
}

ProbeSite FindReturnProbeSite(const FunctionCode& code) { return FirstEmulated(code, kSp); }

std::optional<std::vector<uint64_t>> FindExitSites(const FunctionCode& code) {
  const std::vector<Instruction> all = Disassemble(code);
  if (!CoversAll(all, code)) return std::nullopt;
  std::vector<uint64_t> sites;
  const uint64_t end = code.address + code.bytes.size();
  for (size_t r = 0; r < all.size(); ++r) {
    const Instruction& leaves = all[r];
    if (leaves.is_jump &&
        (!leaves.target || *leaves.target < code.address || *leaves.target >= end)) {
      return std::nullopt;  // leaves by a jump
    }
    if (!leaves.is_return) continue;
    size_t i = r;
    while (i > 0 && !all[i - 1].is_jump && !all[i - 1].is_call && !all[i - 1].is_return) {
      if (all[--i].writes & kAx) return std::nullopt;
    }
    if (i < 2 || !all[i - 1].is_conditional || !all[i - 1].emulated || !all[i - 2].checks_canary) {
      return std::nullopt;
    }
    if (JumpedInto(all, all[i - 1].address, leaves.address)) return std::nullopt;
    sites.push_back(all[i - 1].address - code.address);
  }
  if (sites.empty()) return std::nullopt;
  return sites;
}

std::optional<uint64_t> FindForwarded(const FunctionCode& code, int arguments) {
  const std::vector<Instruction> all = Disassemble(code);
  uint32_t kept = 0;
  for (int i = 0; i < std::min(arguments, 4); ++i) kept |= kArguments[static_cast<size_t>(i)];
  std::optional<uint64_t> target;
  for (const Instruction& i : all) {
    if (!target) {
      if (i.target && (i.is_call || (i.is_jump && !i.is_conditional))) {
        target = i.target;
        if (i.is_jump) return target;
        continue;
      }
      if (i.is_jump || i.is_call || i.is_return || (i.writes & kept) != 0) return std::nullopt;
      continue;
    }
    if (i.is_return) return target;
    if (i.is_jump || i.is_call) return std::nullopt;
    if ((i.writes & kAx) != 0 && !i.keeps_positive) return std::nullopt;
  }
  return std::nullopt;
}

bool CallsDirectly(const FunctionCode& code, uint64_t address) {
  const std::vector<Instruction> all = Disassemble(code);
  return std::any_of(all.begin(), all.end(), [&](const Instruction& i) {
    return (i.is_call || i.is_jump) && i.target == address;
  });
}

}  // namespace weft::sources::ebpf::tls
