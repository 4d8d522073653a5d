#include "sources/ebpf/tls/families.h"

#include <algorithm>
#include <set>
#include <string>

namespace weft::sources::ebpf::tls {
namespace {

constexpr uint64_t kMaxFunctionBytes = 8192;
constexpr uint64_t kUnknownFunctionBytes = 64;  // enough for its first instructions

const std::vector<Family>& Families() {
  static const std::vector<Family> families = {OpenSsl(), GnuTls()};
  return families;
}

struct LoadedFunction {
  ElfFunction where;
  std::vector<uint8_t> bytes;
  FunctionCode Code(Machine machine) const { return {machine, where.address, bytes}; }
};

// The functions of one file, read once.
class Functions {
 public:
  explicit Functions(const ElfFile& file) : file_(file) {}

  void Add(const std::string& name, const ElfFunction& where) {
    const uint64_t size = where.size == 0 ? kUnknownFunctionBytes : where.size;
    loaded_[name] = {where, file_.Read(where.offset, std::min(size, kMaxFunctionBytes))};
  }
  bool AddLocal(const std::string& name, uint64_t address) {
    ElfFunction where{address, 0, 0};
    if (!file_.OffsetOf(address, &where.offset)) return false;
    Add(name, where);
    return true;
  }
  bool Has(std::string_view name) const { return loaded_.contains(std::string(name)); }
  FunctionCode Code(std::string_view name) const {
    return loaded_.at(std::string(name)).Code(file_.machine());
  }
  uint64_t Offset(std::string_view name) const {
    return loaded_.at(std::string(name)).where.offset;
  }

 private:
  const ElfFile& file_;
  std::map<std::string, LoadedFunction> loaded_;
};

void PlanFunction(const Functions& functions, const FamilyFunction& f, std::string_view symbol,
                  std::vector<Probe>* probes) {
  const FunctionCode code = functions.Code(symbol);
  const uint64_t start = functions.Offset(symbol);
  const ProbeSite entry = FindEntrySite(code, f.arguments);
  const ProbeSite back = FindReturnProbeSite(code);
  probes->push_back({f.enter, start + entry.offset, false, entry.price});
  if (!f.leave) return;
  if (auto exits = FindExitSites(code); exits && back.price == Price::kStepped) {
    for (uint64_t exit : *exits) {
      probes->push_back({*f.leave, start + exit, false, Price::kEmulated});
    }
    return;
  }
  // Both at one place cost one trap.
  probes->push_back({*f.leave, start + back.offset, true, back.price});
}

// SSL_read and SSL_read_ex may be two faces of one inner function whose first instruction is cheap:
// then that one is probed, as SSL_read_ex, and serves both. Returns what needs no probes of its
// own.
std::set<std::string_view> PlanInner(Functions* functions, const Family& family,
                                     std::vector<Probe>* probes) {
  std::set<std::string_view> done;
  for (const FamilyFunction& f : family.functions) {
    if (f.wrapper.empty() || !functions->Has(f.symbol) || !functions->Has(f.wrapper)) continue;
    auto wrapper = std::find_if(family.functions.begin(), family.functions.end(),
                                [&](const auto& other) { return other.symbol == f.wrapper; });
    if (wrapper == family.functions.end()) continue;
    auto inner = FindForwarded(functions->Code(f.wrapper), wrapper->arguments);
    if (!inner || !CallsDirectly(functions->Code(f.symbol), *inner)) continue;
    if (std::any_of(f.strangers.begin(), f.strangers.end(), [&](std::string_view stranger) {
          return functions->Has(stranger) && CallsDirectly(functions->Code(stranger), *inner);
        })) {
      continue;
    }
    const std::string name = "inside " + std::string(f.wrapper);
    if (!functions->AddLocal(name, *inner)) continue;
    const FunctionCode code = functions->Code(name);
    if (FindEntrySite(code, wrapper->arguments).price != Price::kEmulated ||
        FindReturnProbeSite(code).price != Price::kEmulated) {
      continue;
    }
    PlanFunction(*functions, *wrapper, name, probes);
    done.insert({f.symbol, f.wrapper});
  }
  return done;
}

}  // namespace

std::string_view NameOf(Program program) {
  switch (program) {
    case Program::kEnterRead:
      return "enter_read";
    case Program::kEnterWrite:
      return "enter_write";
    case Program::kEnterReadEx:
      return "enter_read_ex";
    case Program::kEnterWriteEx:
      return "enter_write_ex";
    case Program::kEnterHandshake:
      return "enter_handshake";
    case Program::kLeave:
      return "leave";
    case Program::kLeaveEx:
      return "leave_ex";
    case Program::kForget:
      return "forget";
  }
  return "";
}

std::vector<std::string_view> FamilyNames() {
  std::vector<std::string_view> names;
  for (const Family& family : Families()) names.push_back(family.name);
  return names;
}

std::vector<ProbePlan> PlanProbes(const ElfFile& file) {
  std::vector<ProbePlan> plans;
  if (file.machine() == Machine::kOther) return plans;
  std::vector<std::string_view> names;
  for (const Family& family : Families()) {
    for (const FamilyFunction& f : family.functions) {
      names.push_back(f.symbol);
      names.insert(names.end(), f.strangers.begin(), f.strangers.end());
    }
  }
  Functions functions(file);
  for (const auto& [name, where] : file.Find(names)) functions.Add(name, where);
  for (const Family& family : Families()) {
    if (!functions.Has(family.mark)) continue;
    ProbePlan plan{family.name, {}};
    const std::set<std::string_view> done = PlanInner(&functions, family, &plan.probes);
    for (const FamilyFunction& f : family.functions) {
      if (!functions.Has(f.symbol) || done.contains(f.symbol)) continue;
      if (!f.unless.empty() && functions.Has(f.unless)) continue;
      PlanFunction(functions, f, f.symbol, &plan.probes);
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace weft::sources::ebpf::tls
