#include "sources/ebpf/go/pclntab.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>

namespace weft::sources::ebpf::go {
namespace {

constexpr uint64_t kMaxTableBytes = 256 << 20;
constexpr uint64_t kMaxFunctions = 4 << 20;
constexpr uint64_t kPieceBytes = 1 << 20;
constexpr uint32_t kMagic116 = 0xfffffffa, kMagic118 = 0xfffffff0, kMagic120 = 0xfffffff1;
constexpr uint64_t kTextInModuleData = 176;  // offset of the member `text`, since Go 1.26

template <typename T>
T Load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// The section, read a piece at a time.
class Table {
 public:
  // A table in order is read about once; one that sends its reader to and fro is given up.
  Table(const tls::ElfFile& file, const tls::ElfPart& part)
      : file_(file), part_(part), reads_left_(4 * (part.bytes / kPieceBytes + 4)) {}
  uint64_t bytes() const { return part_.bytes; }
  uint64_t address() const { return part_.address; }

  // A view of `length` bytes at `offset`; null when they are not all there.
  const uint8_t* At(uint64_t offset, uint64_t length) {
    if (offset > part_.bytes || length > part_.bytes - offset || length > kPieceBytes) {
      return nullptr;
    }
    if (offset < begin_ || offset + length > begin_ + piece_.size()) {
      if (reads_left_ == 0) return nullptr;
      --reads_left_;
      begin_ = offset;
      piece_ = file_.Read(part_.offset + offset, std::min(kPieceBytes, part_.bytes - offset));
      if (piece_.size() < length) return nullptr;
    }
    return piece_.data() + (offset - begin_);
  }

 private:
  const tls::ElfFile& file_;
  const tls::ElfPart part_;
  uint64_t reads_left_;
  uint64_t begin_ = 0;
  std::vector<uint8_t> piece_;
};

struct Layout {
  bool is_relative = false;  // entries are 32 bits, from the start of the code (since 1.18)
  uint64_t functions = 0;
  uint64_t text = 0;  // of what entries are relative to
  uint64_t names = 0, names_end = 0, table = 0;
};

std::optional<tls::ElfPart> FindTable(const tls::ElfFile& file) {
  for (std::string_view name : {".gopclntab", ".data.rel.ro.gopclntab"}) {
    auto part = file.SectionNamed(name);
    if (part && part->bytes > 0) {
      part->bytes = std::min(part->bytes, kMaxTableBytes);
      return part;
    }
  }
  return std::nullopt;
}

// Where the Go code starts, for a table that does not say: what the runtime's own description of
// the module says, else the start of the code of the file.
uint64_t StartOfCode(const tls::ElfFile& file) {
  if (auto module = file.SectionNamed(".go.module"); module && module->bytes > 0) {
    const std::vector<uint8_t> text = file.Read(module->offset + kTextInModuleData, 8);
    if (text.size() == 8 && Load<uint64_t>(text.data()) != 0) return Load<uint64_t>(text.data());
  }
  const auto code = file.SectionNamed(".text");
  return code ? code->address : 0;
}

std::optional<Layout> ReadLayout(const tls::ElfFile& file, Table* table) {
  const uint8_t* h = table->At(0, 8 + 8 * 8);
  if (h == nullptr || h[4] != 0 || h[5] != 0 || h[7] != 8) return std::nullopt;
  const uint32_t magic = Load<uint32_t>(h);
  auto word = [h](size_t i) { return Load<uint64_t>(h + 8 + 8 * i); };
  Layout out;
  out.functions = word(0);
  if (magic == kMagic120 || magic == kMagic118) {
    out.is_relative = true;
    out.text = word(2) != 0 ? word(2) : StartOfCode(file);
    out.names = word(3);
    out.names_end = word(4);
    out.table = word(7);
  } else if (magic == kMagic116) {
    out.names = word(2);
    out.names_end = word(3);
    out.table = word(6);
  } else {
    return std::nullopt;
  }
  if (out.functions > kMaxFunctions || out.names > out.names_end ||
      out.names_end > table->bytes() || out.table > table->bytes()) {
    return std::nullopt;
  }
  return out;
}

// Where the wanted names stand in the table of names, which is one C string after another.
std::unordered_map<uint32_t, std::string_view> FindNames(
    Table* table, const Layout& layout, const std::vector<std::string_view>& names) {
  std::unordered_map<uint32_t, std::string_view> at;
  uint64_t offset = layout.names;
  while (offset < layout.names_end) {
    const uint64_t n = std::min(kPieceBytes, layout.names_end - offset);
    const uint8_t* text = table->At(offset, n);
    if (text == nullptr) break;
    uint64_t begin = 0;
    while (begin < n) {
      const void* end = std::memchr(text + begin, 0, n - begin);
      if (end == nullptr) break;
      const auto length = static_cast<uint64_t>(static_cast<const uint8_t*>(end) - text) - begin;
      const std::string_view name(reinterpret_cast<const char*>(text + begin), length);
      auto found = std::find(names.begin(), names.end(), name);
      if (found != names.end()) {
        at.emplace(static_cast<uint32_t>(offset - layout.names + begin), *found);
      }
      begin += length + 1;
    }
    // A name that the piece has cut is read again, unless it is absurd.
    offset += begin == 0 ? n : begin;
  }
  return at;
}

}  // namespace

std::map<std::string, tls::ElfFunction> FindInPclntab(const tls::ElfFile& file,
                                                      const std::vector<std::string_view>& names) {
  std::map<std::string, tls::ElfFunction> found;
  const auto part = FindTable(file);
  if (!part) return found;
  Table table(file, *part), functions(file, *part);
  const auto layout = ReadLayout(file, &table);
  if (!layout) return found;
  const auto wanted = FindNames(&table, *layout, names);
  const uint64_t half = layout->is_relative ? 4 : 8;
  auto number = [&](const uint8_t* p) -> uint64_t {
    return half == 4 ? Load<uint32_t>(p) : Load<uint64_t>(p);
  };
  for (uint64_t i = 0; i < layout->functions && found.size() < wanted.size(); ++i) {
    const uint8_t* entry = functions.At(layout->table + i * 2 * half, 3 * half);
    if (entry == nullptr) break;
    const uint64_t start = number(entry), place = number(entry + half);
    const uint64_t next = number(entry + 2 * half);
    if (place > part->bytes) continue;
    const uint8_t* function = table.At(layout->table + place, half + 4);
    if (function == nullptr) continue;
    auto name = wanted.find(Load<uint32_t>(function + half));
    if (name == wanted.end() || next <= start) continue;
    tls::ElfFunction f{layout->text + start, 0, next - start};
    if (file.OffsetOf(f.address, &f.offset)) found.try_emplace(std::string(name->second), f);
  }
  return found;
}

}  // namespace weft::sources::ebpf::go
