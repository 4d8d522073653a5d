#include "sources/ebpf/go/binary.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

#include "sources/ebpf/go/code.h"
#include "sources/ebpf/go/pclntab.h"

namespace weft::sources::ebpf::go {
namespace {

constexpr uint64_t kMaxFunctionBytes = 16384;
constexpr int32_t kUsualOffset = -8;  // of the running goroutine from the thread's base
constexpr std::string_view kInfoMagic("\xff Go buildinf:", 14);
constexpr uint64_t kInfoHeaderBytes = 32;

constexpr std::string_view kMain = "runtime.main", kRead = "crypto/tls.(*Conn).Read",
                           kWrite = "crypto/tls.(*Conn).Write",
                           kWriteRecord = "crypto/tls.(*Conn).writeRecordLocked",
                           kMemmove = "runtime.memmove", kReaderRead = "bytes.(*Reader).Read",
                           kAsmCgoCall = "runtime.asmcgocall.abi0",
                           kAsmCgoCallBare = "runtime.asmcgocall";

// A function that is probed at its stack check.
struct Simple {
  std::string_view name;
  Program program;
};
constexpr Simple kHandshakes[] = {
    {"crypto/tls.(*Conn).clientHandshake", Program::kEnterHandshake},
    {"crypto/tls.(*Conn).serverHandshake", Program::kEnterHandshake},
};
// Pairs: who hands a request over, and who takes it.
constexpr Simple kErrands[][2] = {
    {{"net/http.(*persistConn).roundTrip", Program::kHandOver1},
     {"net/http.persistConnWriter.Write", Program::kTakeOver1}},
    {{"net/http.(*http2ClientConn).roundTrip", Program::kHandOver2},
     {"net/http.(*http2clientStream).doRequest", Program::kTakeOver2}},
    {{"golang.org/x/net/http2.(*ClientConn).roundTrip", Program::kHandOver2},
     {"golang.org/x/net/http2.(*clientStream).doRequest", Program::kTakeOver2}},
};

// Offsets of goid and parentGoid in a goroutine.
struct Row {
  unsigned first_minor, last_minor;
  uint16_t id, parent;
};
constexpr Row kGoroutineTable[] = {
    {17, 20, 152, 0},   {21, 22, 152, 272}, {23, 24, 160, 280},
    {25, 25, 152, 272}, {26, 26, 152, 280},
};

std::vector<std::string_view> AllNames() {
  std::vector<std::string_view> names = {kMain,    kRead,       kWrite,      kWriteRecord,
                                         kMemmove, kReaderRead, kAsmCgoCall, kAsmCgoCallBare};
  for (const Simple& s : kHandshakes) names.push_back(s.name);
  for (const auto& pair : kErrands) {
    for (const Simple& s : pair) names.push_back(s.name);
  }
  return names;
}

// The text of the version, or "" when the file is not Go.
std::string ReadVersion(const tls::ElfFile& file) {
  const auto part = file.SectionNamed(".go.buildinfo");
  if (!part) return "";
  const std::vector<uint8_t> info =
      file.Read(part->offset, std::min<uint64_t>(part->bytes, kInfoHeaderBytes + 64));
  if (info.size() < kInfoHeaderBytes ||
      std::memcmp(info.data(), kInfoMagic.data(), kInfoMagic.size()) != 0) {
    return "";
  }
  const uint8_t flags = info[15];
  if ((flags & 2) == 0) return "unknown";  // pointers to strings, until Go 1.17
  if (info.size() <= kInfoHeaderBytes) return "unknown";
  const size_t length = info[kInfoHeaderBytes];  // a varint; no version is as long as 128
  if (length > 127 || length > info.size() - kInfoHeaderBytes - 1) return "unknown";
  return {reinterpret_cast<const char*>(info.data()) + kInfoHeaderBytes + 1, length};
}

class Planner {
 public:
  Planner(const tls::ElfFile& file, Binary* out) : file_(file), out_(*out) {
    const std::vector<std::string_view> names = AllNames();
    functions_ = FindInPclntab(file, names);
    // The symbols, where the table is of a kind that is not known.
    if (!Has(kMain)) functions_ = file.Find(names);
  }

  bool Has(std::string_view name) const { return functions_.contains(std::string(name)); }

  // A pointer's place in the storage of the thread: the usual one, unless there is other storage.
  std::optional<int32_t> RunningOffset() {
    const uint64_t bytes = file_.thread_local_bytes();
    if (bytes == 0 || bytes == sizeof(uint64_t)) return kUsualOffset;
    for (std::string_view name : {kAsmCgoCall, kAsmCgoCallBare}) {
      if (!Has(name)) continue;
      if (auto offset = FindGoroutineOffset(Load(name))) return offset;
    }
    return std::nullopt;
  }

  bool AtStackCheck(std::string_view name, Program program, uint64_t cookie = 0) {
    if (!Has(name)) return false;
    const auto site = FindStackCheck(Load(name));
    if (!site) return false;
    Add(name, program, *site, cookie);
    return true;
  }

  // "" or why not.
  std::string PlanTls() {
    if (!Has(kRead) || !Has(kWrite)) return "";
    const size_t before = out_.probes.size();
    std::string reason = PlanWrite();
    if (reason.empty()) reason = PlanRead();
    for (const Simple& s : kHandshakes) {
      if (reason.empty() && Has(s.name) && !AtStackCheck(s.name, s.program)) {
        reason = "the handshake begins in an unknown way";
      }
    }
    if (!reason.empty()) out_.probes.resize(before);
    out_.has_tls = reason.empty();
    return reason;
  }

  std::string PlanErrands() {
    std::string reason;
    for (const auto& pair : kErrands) {
      if (!Has(pair[0].name) || !Has(pair[1].name)) continue;
      const size_t before = out_.probes.size();
      if (AtStackCheck(pair[0].name, pair[0].program) &&
          AtStackCheck(pair[1].name, pair[1].program)) {
        out_.has_http = true;
        continue;
      }
      out_.probes.resize(before);
      reason = std::string(pair[0].name) + " begins in an unknown way";
    }
    return reason;
  }

 private:
  Code Load(std::string_view name) {
    const tls::ElfFunction& f = functions_.at(std::string(name));
    auto [it, is_new] = bytes_.try_emplace(std::string(name));
    if (is_new) it->second = file_.Read(f.offset, std::min(f.size, kMaxFunctionBytes));
    return {f.address, it->second};
  }
  void Add(std::string_view name, Program program, uint64_t site, uint64_t cookie) {
    out_.probes.push_back({program, functions_.at(std::string(name)).offset + site, cookie});
  }
  uint64_t AddressOf(std::string_view name) const {
    return functions_.at(std::string(name)).address;
  }

  std::string PlanWrite() {
    if (!Has(kWriteRecord)) return "writeRecordLocked is not found";
    const Code code = Load(kWrite);
    const std::vector<uint64_t> calls = FindCalls(code, AddressOf(kWriteRecord));
    if (calls.empty()) return "Write does not call writeRecordLocked";
    for (uint64_t call : calls) {
      const auto behind = FindBehindCall(code, call);
      if (!behind) return "no place behind writeRecordLocked";
      Add(kWrite, Program::kEnterWrite, call, 0);
      Add(kWrite, Program::kLeaveWrite, *behind, 0);
    }
    return "";
  }

  std::string PlanRead() {
    const Code code = Load(kRead);
    // Where the Reader's method has become a part of Read, it sets prevRune to -1 there.
    if (Has(kReaderRead)) {
      const std::vector<uint64_t> calls = FindCalls(code, AddressOf(kReaderRead));
      const auto input = ReaderOffset();
      if (calls.size() == 1 && input)
        return FinishRead(Program::kLeaveReadReader, calls[0], *input);
    }
    const auto prev_rune = FindMinusOne(code);
    if (!Has(kMemmove) || !prev_rune || *prev_rune < kReaderBytes + kBufferBytes) {
      return "Read hands plaintext over in an unknown way";
    }
    const std::vector<uint64_t> copies = FindCalls(code, AddressOf(kMemmove));
    if (copies.size() != 1) return "Read hands plaintext over in an unknown way";
    return FinishRead(Program::kLeaveReadCopy, copies[0], *prev_rune - kReaderBytes);
  }

  std::string FinishRead(Program program, uint64_t site, uint64_t input) {
    if (!AtStackCheck(kRead, Program::kEnterRead)) return "Read begins in an unknown way";
    Add(kRead, program, site, input - kBufferBytes);
    return "";
  }

  // The offset of `input` in a tls.Conn, from the call of its method: its address is the argument.
  std::optional<uint64_t> ReaderOffset() {
    const Code code = Load(kRead);
    const std::vector<uint64_t> calls = FindCalls(code, AddressOf(kReaderRead));
    if (calls.size() != 1) return std::nullopt;
    return FindArgumentOffset(code, calls[0]);
  }

  static constexpr uint64_t kReaderBytes = 32;  // of bytes.Reader in front of prevRune
  static constexpr uint64_t kBufferBytes = 40;  // bytes.Buffer, in front of the Reader

  const tls::ElfFile& file_;
  Binary& out_;
  std::map<std::string, tls::ElfFunction> functions_;
  std::map<std::string, std::vector<uint8_t>> bytes_;
};

}  // namespace

std::string_view NameOf(Program program) {
  switch (program) {
    case Program::kStart:
      return "go_start";
    case Program::kEnterWrite:
      return "go_enter_write";
    case Program::kLeaveWrite:
      return "go_leave_write";
    case Program::kEnterRead:
      return "go_enter_read";
    case Program::kLeaveReadCopy:
      return "go_leave_read_copy";
    case Program::kLeaveReadReader:
      return "go_leave_read_reader";
    case Program::kEnterHandshake:
      return "go_enter_handshake";
    case Program::kHandOver1:
      return "go_hand_over_1";
    case Program::kHandOver2:
      return "go_hand_over_2";
    case Program::kTakeOver1:
      return "go_take_over_1";
    case Program::kTakeOver2:
      return "go_take_over_2";
  }
  return "";
}

uint64_t CookieOf(const Facts& facts) {
  return static_cast<uint32_t>(facts.running_offset) |
         static_cast<uint64_t>(facts.id_offset) << 32 |
         static_cast<uint64_t>(facts.parent_offset) << 48;
}

std::optional<Version> ParseVersion(std::string_view text) {
  if (!text.starts_with("go")) return std::nullopt;
  Version v;
  const char* end = text.data() + text.size();
  auto major = std::from_chars(text.data() + 2, end, v.major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  auto minor = std::from_chars(major.ptr + 1, end, v.minor);
  if (minor.ec != std::errc()) return std::nullopt;
  return v;
}

std::optional<Binary> Study(const tls::ElfFile& file, std::string* reason) {
  const std::string text = ReadVersion(file);
  if (text.empty()) return std::nullopt;
  if (file.machine() != tls::Machine::kX86_64) {
    *reason = "Go programs are seen on x86-64 only";
    return std::nullopt;
  }
  const auto version = ParseVersion(text);
  if (!version || version->major != 1 || version->minor < 17) {
    *reason = "built with Go of version " + text + "; 1.17 or later can be seen";
    return std::nullopt;
  }
  Binary out;
  out.version = *version;
  Planner planner(file, &out);
  const auto running = planner.RunningOffset();
  if (!running) {
    *reason = "where the running goroutine is kept cannot be told";
    return std::nullopt;
  }
  out.facts.running_offset = *running;
  for (const Row& row : kGoroutineTable) {
    if (version->minor < row.first_minor || version->minor > row.last_minor) continue;
    out.facts.id_offset = row.id;
    out.facts.parent_offset = row.parent;
  }
  planner.AtStackCheck(kMain, Program::kStart, CookieOf(out.facts));
  out.tls_reason = planner.PlanTls();
  out.http_reason = out.facts.id_offset != 0
                        ? planner.PlanErrands()
                        : "goroutines of Go of version " + text + " are unknown";
  return out;
}

}  // namespace weft::sources::ebpf::go
