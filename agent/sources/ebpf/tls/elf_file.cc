#include "sources/ebpf/tls/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weft::sources::ebpf::tls {
namespace {

constexpr uint64_t kMaxSections = 4096, kMaxSegments = 256;
constexpr uint64_t kMaxTableBytes = 64 << 20;
constexpr uint64_t kMaxSectionNames = 1 << 20;
constexpr uint64_t kMaxSymbols = 4 << 20;
constexpr size_t kSymbolsAtOnce = 4096;

}  // namespace

base::Result<ElfFile> ElfFile::Open(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return base::Error("open " + path + ": " + std::strerror(errno));
  ElfFile file(fd);
  if (base::Status parsed = file.Parse(); !parsed.ok()) return base::Context(path, parsed);
  return file;
}

ElfFile::ElfFile(ElfFile&& other) noexcept : fd_(-1) { *this = std::move(other); }

ElfFile& ElfFile::operator=(ElfFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  file_bytes_ = other.file_bytes_;
  machine_ = other.machine_;
  thread_local_bytes_ = other.thread_local_bytes_;
  code_ = std::move(other.code_);
  sections_ = std::move(other.sections_);
  table_bytes_left_ = other.table_bytes_left_;
  section_names_ = std::move(other.section_names_);
  return *this;
}

ElfFile::~ElfFile() {
  if (fd_ >= 0) close(fd_);
}

bool ElfFile::ReadExactly(uint64_t offset, void* to, uint64_t length) const {
  if (offset > file_bytes_ || length > file_bytes_ - offset) return false;
  auto* p = static_cast<uint8_t*>(to);
  while (length > 0) {
    ssize_t n = pread(fd_, p, length, static_cast<off_t>(offset));
    if (n <= 0) return false;
    p += n;
    offset += static_cast<uint64_t>(n);
    length -= static_cast<uint64_t>(n);
  }
  return true;
}

base::Status ElfFile::Parse() {
  struct stat s;
  if (fstat(fd_, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size < 0) {
    return base::Error("not a regular file");
  }
  file_bytes_ = static_cast<uint64_t>(s.st_size);
  Elf64_Ehdr header;
  if (!ReadExactly(0, &header, sizeof header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return base::Error("not a 64-bit little-endian ELF file");
  }
  if (header.e_machine == EM_X86_64) machine_ = Machine::kX86_64;
  if (header.e_machine == EM_AARCH64) machine_ = Machine::kAarch64;

  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kMaxSegments) {
    return base::Error("program headers make no sense");
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (!ReadExactly(header.e_phoff, segments.data(), segments.size() * sizeof(Elf64_Phdr))) {
    return base::Error("program headers lie outside the file");
  }
  for (const Elf64_Phdr& p : segments) {
    if (p.p_type == PT_TLS) thread_local_bytes_ = p.p_memsz;
    if (p.p_type != PT_LOAD || (p.p_flags & PF_X) == 0) continue;
    if (p.p_offset > file_bytes_ || p.p_vaddr + p.p_filesz < p.p_vaddr) continue;
    code_.push_back({p.p_vaddr, p.p_offset, std::min(p.p_filesz, file_bytes_ - p.p_offset)});
  }

  if (header.e_shnum == 0) return base::Ok();  // no names then
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum > kMaxSections) {
    return base::Error("section headers make no sense");
  }
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!ReadExactly(header.e_shoff, sections.data(), sections.size() * sizeof(Elf64_Shdr))) {
    return base::Error("section headers lie outside the file");
  }
  for (const Elf64_Shdr& h : sections) {
    sections_.push_back(
        {h.sh_type, h.sh_link, h.sh_name, h.sh_addr, h.sh_offset, h.sh_size, h.sh_entsize});
  }
  if (header.e_shstrndx < sections_.size()) {
    const Section& names = sections_[header.e_shstrndx];
    const std::vector<uint8_t> text = Read(names.offset, std::min(names.size, kMaxSectionNames));
    section_names_.assign(text.begin(), text.end());
  }
  return base::Ok();
}

std::optional<ElfPart> ElfFile::SectionNamed(std::string_view name) const {
  for (const Section& s : sections_) {
    if (s.name >= section_names_.size()) continue;
    const std::string_view rest = std::string_view(section_names_).substr(s.name);
    if (rest.substr(0, rest.find('\0')) != name) continue;
    const bool fits = s.type != SHT_NOBITS && s.offset <= file_bytes_;
    return ElfPart{s.address, s.offset, fits ? std::min(s.size, file_bytes_ - s.offset) : 0};
  }
  return std::nullopt;
}

bool ElfFile::OffsetOf(uint64_t address, uint64_t* offset) const {
  for (const Segment& s : code_) {
    if (address >= s.address && address - s.address < s.file_bytes) {
      *offset = s.offset + (address - s.address);
      return true;
    }
  }
  return false;
}

void ElfFile::FindIn(const Section& symbols, const std::vector<std::string_view>& names,
                     std::map<std::string, ElfFunction>* found) const {
  if (symbols.entry_bytes != sizeof(Elf64_Sym) || symbols.link >= sections_.size()) return;
  const Section& strings = sections_[symbols.link];
  if (strings.type != SHT_STRTAB || strings.size > kMaxTableBytes) return;
  if (strings.offset > file_bytes_ || strings.size > file_bytes_ - strings.offset) return;
  uint64_t left = std::min(symbols.size / sizeof(Elf64_Sym), kMaxSymbols);
  const uint64_t cost = strings.size + left * sizeof(Elf64_Sym);
  if (cost > table_bytes_left_) return;
  table_bytes_left_ -= cost;
  std::vector<char> text(strings.size);
  if (!ReadExactly(strings.offset, text.data(), text.size())) return;
  if (text.empty()) return;
  text.back() = '\0';  // ends every name

  std::vector<Elf64_Sym> piece(std::min<uint64_t>(left, kSymbolsAtOnce));
  for (uint64_t at = symbols.offset; left > 0;) {
    const uint64_t n = std::min<uint64_t>(left, kSymbolsAtOnce);
    if (!ReadExactly(at, piece.data(), n * sizeof(Elf64_Sym))) return;
    for (uint64_t i = 0; i < n; ++i) {
      const Elf64_Sym& s = piece[i];
      if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || s.st_shndx == SHN_UNDEF) continue;
      if (s.st_name >= text.size()) continue;
      std::string_view name(text.data() + s.st_name);
      if (std::find(names.begin(), names.end(), name) == names.end()) continue;
      ElfFunction f{s.st_value, 0, s.st_size};
      if (OffsetOf(f.address, &f.offset)) found->try_emplace(std::string(name), f);
    }
    at += n * sizeof(Elf64_Sym);
    left -= n;
  }
}

std::map<std::string, ElfFunction> ElfFile::Find(const std::vector<std::string_view>& names) const {
  std::map<std::string, ElfFunction> found;
  for (uint32_t type : {SHT_DYNSYM, SHT_SYMTAB}) {
    std::vector<std::string_view> missing;
    for (std::string_view name : names) {
      if (!found.contains(std::string(name))) missing.push_back(name);
    }
    // A table of dynamic symbols with some of them has all of them: the library exports its face.
    if (missing.empty() || !found.empty()) break;
    // A file has at most one of each.
    const auto table = std::find_if(sections_.begin(), sections_.end(),
                                    [type](const Section& s) { return s.type == type; });
    if (table != sections_.end()) FindIn(*table, missing, &found);
  }
  return found;
}

std::vector<uint8_t> ElfFile::Read(uint64_t offset, uint64_t length) const {
  if (offset >= file_bytes_) return {};
  std::vector<uint8_t> bytes(std::min(length, file_bytes_ - offset));
  if (!ReadExactly(offset, bytes.data(), bytes.size())) return {};
  return bytes;
}

}  // namespace weft::sources::ebpf::tls
