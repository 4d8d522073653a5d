#include "sources/ebpf/go/code.h"

#include <capstone/capstone.h>

#include <functional>

#include "sources/ebpf/tls/probe_site.h"

namespace weft::sources::ebpf::go {
namespace {

constexpr size_t kPrologueInstructions = 4;
constexpr int64_t kStackLimit = 16;  // offset of stackguard0 in a goroutine

// Visits instructions in a row until the visitor is done or there are bytes that are none.
void Visit(const Code& code, uint64_t from, const std::function<bool(csh, const cs_insn&)>& visit) {
  csh handle;
  if (from > code.bytes.size() || cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK) return;
  cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
  cs_insn* in = cs_malloc(handle);
  const uint8_t* at = code.bytes.data() + from;
  size_t left = code.bytes.size() - from;
  uint64_t address = code.address + from;
  while (left > 0 && cs_disasm_iter(handle, &at, &left, &address, in)) {
    if (!visit(handle, *in)) break;
  }
  cs_free(in, 1);
  cs_close(&handle);
}

bool Is(const cs_insn& in, x86_insn_group group) {
  for (uint8_t i = 0; i < in.detail->groups_count; ++i) {
    if (in.detail->groups[i] == group) return true;
  }
  return false;
}

bool IsEmulated(const cs_insn& in) { return tls::IsEmulated({in.bytes, in.size}); }

bool Writes(csh handle, const cs_insn& in, std::initializer_list<x86_reg> registers) {
  cs_regs read, written;
  uint8_t read_count = 0, written_count = 0;
  if (cs_regs_access(handle, &in, read, &read_count, written, &written_count) != CS_ERR_OK) {
    return true;
  }
  for (uint8_t i = 0; i < written_count; ++i) {
    for (x86_reg r : registers) {
      if (written[i] == r) return true;
    }
  }
  return false;
}

bool ComparesStackLimit(const cs_insn& in) {
  if (in.id != X86_INS_CMP || in.detail->x86.op_count != 2) return false;
  const cs_x86_op& limit = in.detail->x86.operands[1];
  return limit.type == X86_OP_MEM && limit.mem.base == X86_REG_R14 &&
         limit.mem.index == X86_REG_INVALID && limit.mem.disp == kStackLimit;
}

}  // namespace

std::optional<uint64_t> FindStackCheck(const Code& code) {
  std::optional<uint64_t> found;
  bool compared = false;
  size_t n = 0;
  Visit(code, 0, [&](csh handle, const cs_insn& in) {
    if (compared) {
      if ((in.id == X86_INS_JBE || in.id == X86_INS_JB) && IsEmulated(in)) {
        found = in.address - code.address;
      }
      return false;
    }
    compared = ComparesStackLimit(in);
    if (Writes(handle, in,
               {X86_REG_RAX, X86_REG_EAX, X86_REG_RBX, X86_REG_EBX, X86_REG_RCX, X86_REG_ECX,
                X86_REG_RDI, X86_REG_EDI, X86_REG_R14})) {
      return false;
    }
    return ++n < kPrologueInstructions;
  });
  return found;
}

std::vector<uint64_t> FindCalls(const Code& code, uint64_t target) {
  std::vector<uint64_t> calls;
  Visit(code, 0, [&](csh, const cs_insn& in) {
    const cs_x86& x86 = in.detail->x86;
    if (in.id == X86_INS_CALL && x86.op_count == 1 && x86.operands[0].type == X86_OP_IMM &&
        static_cast<uint64_t>(x86.operands[0].imm) == target && IsEmulated(in)) {
      calls.push_back(in.address - code.address);
    }
    return true;
  });
  return calls;
}

std::optional<uint64_t> FindBehindCall(const Code& code, uint64_t call) {
  std::optional<uint64_t> found;
  bool is_call = true;
  Visit(code, call, [&](csh handle, const cs_insn& in) {
    if (is_call) {
      is_call = false;
      return true;
    }
    if (IsEmulated(in)) {
      found = in.address - code.address;
      return false;
    }
    return !Is(in, X86_GRP_JUMP) && !Is(in, X86_GRP_CALL) && !Is(in, X86_GRP_RET) &&
           !Writes(handle, in, {X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL});
  });
  return found;
}

std::optional<uint64_t> FindMinusOne(const Code& code) {
  std::optional<uint64_t> found;
  bool several = false;
  Visit(code, 0, [&](csh, const cs_insn& in) {
    const cs_x86& x86 = in.detail->x86;
    if (in.id != X86_INS_MOV || x86.op_count != 2 || x86.operands[1].type != X86_OP_IMM ||
        x86.operands[1].imm != -1) {
      return true;
    }
    const cs_x86_op& to = x86.operands[0];
    if (to.type != X86_OP_MEM || to.size != 8 || to.mem.base == X86_REG_RSP || to.mem.disp <= 0) {
      return true;
    }
    const auto offset = static_cast<uint64_t>(to.mem.disp);
    several |= found && *found != offset;
    found = offset;
    return true;
  });
  return several ? std::nullopt : found;
}

std::optional<uint64_t> FindArgumentOffset(const Code& code, uint64_t call) {
  std::optional<uint64_t> offset;
  Visit(code, 0, [&](csh handle, const cs_insn& in) {
    if (in.address - code.address >= call) return false;
    const cs_x86& x86 = in.detail->x86;
    if (x86.op_count == 2 && x86.operands[0].type == X86_OP_REG &&
        x86.operands[0].reg == X86_REG_RAX && x86.operands[1].type == X86_OP_MEM &&
        in.id == X86_INS_LEA) {
      const x86_op_mem& mem = x86.operands[1].mem;
      const bool is_plain = mem.index == X86_REG_INVALID && mem.base != X86_REG_RSP &&
                            mem.base != X86_REG_RIP && mem.disp > 0;
      offset = is_plain ? std::optional(static_cast<uint64_t>(mem.disp)) : std::nullopt;
    } else if (x86.op_count == 2 && x86.operands[0].type == X86_OP_REG &&
               x86.operands[0].reg == X86_REG_RAX && in.id == X86_INS_ADD &&
               x86.operands[1].type == X86_OP_IMM && x86.operands[1].imm > 0) {
      offset = static_cast<uint64_t>(x86.operands[1].imm);
    } else if (Is(in, X86_GRP_CALL) || Writes(handle, in, {X86_REG_RAX, X86_REG_EAX, X86_REG_AL})) {
      offset.reset();
    }
    return true;
  });
  return offset;
}

std::optional<int32_t> FindGoroutineOffset(const Code& code) {
  std::optional<int32_t> found;
  int64_t constant = 0;
  unsigned holds = X86_REG_INVALID;
  Visit(code, 0, [&](csh, const cs_insn& in) {
    const cs_x86& x86 = in.detail->x86;
    if ((in.id != X86_INS_MOV && in.id != X86_INS_MOVABS) || x86.op_count != 2) return true;
    const cs_x86_op& from = x86.operands[1];
    if (from.type == X86_OP_IMM && x86.operands[0].type == X86_OP_REG) {
      constant = from.imm;
      holds = x86.operands[0].reg;
      return true;
    }
    if (from.type != X86_OP_MEM || from.mem.segment != X86_REG_FS) return true;
    const bool by_register = from.mem.base != X86_REG_INVALID;
    if (by_register && from.mem.base != static_cast<x86_reg>(holds)) return false;
    found = static_cast<int32_t>(by_register ? constant + from.mem.disp : from.mem.disp);
    return false;
  });
  return found;
}

}  // namespace weft::sources::ebpf::go
