#include "sources/ebpf/tls/families.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace weft::sources::ebpf::tls {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/weft_elf_XXXXXX";
    close(mkstemp(name));
    path_ = name;
  }
  ~Scratch() { std::filesystem::remove(path_); }
  const std::string& Write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return path_;
  }

 private:
  std::string path_;
};

std::string Library(const std::string& name) {
  for (const char* folder : {"/usr/lib/x86_64-linux-gnu/", "/lib/x86_64-linux-gnu/",
                             "/usr/lib/aarch64-linux-gnu/", "/usr/lib64/"}) {
    if (std::filesystem::exists(folder + name)) return folder + name;
  }
  return "";
}

TEST(ElfFile, OtherFilesAreRefused) {
  EXPECT_FALSE(ElfFile::Open("/proc/self/maps").ok());
  EXPECT_FALSE(ElfFile::Open("/dev/zero").ok());
  EXPECT_FALSE(ElfFile::Open("/nonexistent").ok());
  EXPECT_FALSE(ElfFile::Open("/usr").ok());
  Scratch file;
  EXPECT_FALSE(ElfFile::Open(file.Write("")).ok());
  EXPECT_FALSE(ElfFile::Open(file.Write("\177ELF")).ok());
}

TEST(ElfFile, AnExecutableWithoutTlsHasNoPlan) {
  auto file = ElfFile::Open("/proc/self/exe");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_NE(file->machine(), Machine::kOther);
  EXPECT_THAT(PlanProbes(*file), IsEmpty());
  EXPECT_THAT(file->Find({"main"}), SizeIs(1));
}

// A file whose symbol table is named a hundred times, each time with a function `secret`.
std::string ManyTables(size_t tables, uint32_t type) {
  const uint64_t strings_at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), strings = 8;
  const uint64_t symbols_at = strings_at + strings, sections_at = symbols_at + sizeof(Elf64_Sym);
  Elf64_Ehdr h = {};
  std::memcpy(h.e_ident, ELFMAG, SELFMAG);
  h.e_ident[EI_CLASS] = ELFCLASS64;
  h.e_ident[EI_DATA] = ELFDATA2LSB;
  h.e_machine = EM_X86_64;
  h.e_phentsize = sizeof(Elf64_Phdr);
  h.e_phnum = 1;
  h.e_phoff = sizeof h;
  h.e_shentsize = sizeof(Elf64_Shdr);
  h.e_shoff = sections_at;
  h.e_shnum = static_cast<uint16_t>(tables + 1);
  Elf64_Phdr code = {};
  code.p_type = PT_LOAD;
  code.p_flags = PF_X;
  code.p_filesz = 4096;
  Elf64_Sym symbol = {};
  symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
  symbol.st_shndx = 1;
  symbol.st_name = 1;
  std::string out(reinterpret_cast<const char*>(&h), sizeof h);
  out.append(reinterpret_cast<const char*>(&code), sizeof code);
  out.append("\0secret\0", strings);
  out.append(reinterpret_cast<const char*>(&symbol), sizeof symbol);
  Elf64_Shdr s = {};
  s.sh_type = SHT_STRTAB;
  s.sh_offset = strings_at;
  s.sh_size = strings;
  out.append(reinterpret_cast<const char*>(&s), sizeof s);
  for (size_t i = 0; i < tables; ++i) {
    s.sh_type = type;
    s.sh_link = 0;
    s.sh_entsize = sizeof(Elf64_Sym);
    // Only the last one is where a symbol is.
    s.sh_offset = i + 1 == tables ? symbols_at : 0;
    s.sh_size = i + 1 == tables ? sizeof(Elf64_Sym) : 0;
    out.append(reinterpret_cast<const char*>(&s), sizeof s);
  }
  return out.append(4096, '\0');
}

TEST(ElfFile, OneSymbolTableOfEachKindIsRead) {
  for (const uint32_t type : {SHT_DYNSYM, SHT_SYMTAB}) {
    Scratch file;
    auto one = ElfFile::Open(file.Write(ManyTables(1, type)));
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_THAT(one->Find({"secret"}), SizeIs(1));
    auto many = ElfFile::Open(file.Write(ManyTables(100, type)));
    ASSERT_TRUE(many.ok()) << many.status();
    EXPECT_THAT(many->Find({"secret"}), IsEmpty());
  }
}

// Sparse on disk, and read for 160 MiB at most: asked again, its table is not read again.
TEST(ElfFile, TablesOfOneFileAreReadUpToABound) {
  Scratch file;
  std::string bytes = ManyTables(1, SHT_SYMTAB);
  constexpr uint64_t kSymbols = 3 << 20;  // 72 MiB
  const uint64_t size = kSymbols * sizeof(Elf64_Sym);
  const size_t section =
      sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) + 8 + sizeof(Elf64_Sym) + sizeof(Elf64_Shdr);
  std::memcpy(bytes.data() + section + offsetof(Elf64_Shdr, sh_size), &size, sizeof size);
  const std::string path = file.Write(bytes);
  std::filesystem::resize_file(path, size + bytes.size());
  auto elf = ElfFile::Open(path);
  ASSERT_TRUE(elf.ok());
  EXPECT_THAT(elf->Find({"secret"}), SizeIs(1));
  EXPECT_THAT(elf->Find({"secret"}), SizeIs(1));
  EXPECT_THAT(elf->Find({"secret"}), IsEmpty());
}

// A hostile file costs nothing but time: cut anywhere, or with its tables turned to noise.
TEST(ElfFile, DamagedFilesAreSurvived) {
  const std::string library = Library("libssl.so.3");
  if (library.empty()) GTEST_SKIP() << "no libssl.so.3 here";
  const std::string whole = Bytes(library);
  Scratch file;
  for (size_t part = 0; part <= 16; ++part) {
    auto cut = ElfFile::Open(file.Write(whole.substr(0, whole.size() * part / 17)));
    if (cut.ok()) PlanProbes(*cut);
  }
  Elf64_Ehdr header;
  std::memcpy(&header, whole.data(), sizeof header);
  uint32_t seed = 7;
  for (int round = 0; round < 60; ++round) {
    std::string noisy = whole;
    for (int n = 0; n < 200; ++n) {
      seed = seed * 1664525 + 1013904223;
      // Half of the noise goes where it hurts: the headers.
      const size_t at = round % 2 ? seed % noisy.size()
                                  : header.e_shoff + seed % (header.e_shnum * sizeof(Elf64_Shdr));
      noisy[at] = static_cast<char>(seed >> 24);
    }
    auto damaged = ElfFile::Open(file.Write(noisy));
    if (damaged.ok()) PlanProbes(*damaged);
  }
}

TEST(PlanProbes, SslReadAndItsExtendedFormShareTheirCheapInnerFunction) {
  const std::string library = Library("libssl.so.3");
  if (library.empty()) GTEST_SKIP() << "no libssl.so.3 here";
  auto file = ElfFile::Open(library);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto plans = PlanProbes(*file);
  ASSERT_THAT(plans, SizeIs(1));
  EXPECT_EQ(plans[0].family, "openssl");
  size_t stepped = 0, reads = 0, writes = 0, leaves = 0;
  for (const Probe& p : plans[0].probes) {
    stepped += p.price == Price::kStepped;
    reads += p.program == Program::kEnterRead || p.program == Program::kEnterReadEx;
    writes += p.program == Program::kEnterWrite || p.program == Program::kEnterWriteEx;
    leaves += p.program == Program::kLeave || p.program == Program::kLeaveEx;
  }
  EXPECT_GE(reads, 1u);
  EXPECT_GE(writes, 1u);
  EXPECT_GE(leaves, reads + writes);
  const auto found = file->Find({"SSL_write"});
  const FunctionCode code{file->machine(), found.at("SSL_write").address, {}};
  const auto bytes = file->Read(found.at("SSL_write").offset, found.at("SSL_write").size);
  FunctionCode write = code;
  write.bytes = bytes;
  if (FindEntrySite(write, 3).offset != 22) {
    GTEST_SKIP() << "another build than Debian 12's: the sites below are not known";
  }
  EXPECT_EQ(stepped, 0u);
  EXPECT_EQ(reads, 1u);
  EXPECT_EQ(writes, 1u);
}

TEST(PlanProbes, GnuTlsSendsThroughItsSecondSend) {
  const std::string library = Library("libgnutls.so.30");
  if (library.empty()) GTEST_SKIP() << "no libgnutls.so.30 here";
  auto file = ElfFile::Open(library);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto plans = PlanProbes(*file);
  ASSERT_THAT(plans, SizeIs(1));
  EXPECT_EQ(plans[0].family, "gnutls");
  size_t writes = 0;
  for (const Probe& p : plans[0].probes) {
    writes += p.program == Program::kEnterWrite;
    if (p.program == Program::kEnterRead || p.program == Program::kEnterWrite) {
      EXPECT_EQ(p.price, Price::kEmulated);
    }
  }
  EXPECT_EQ(writes, 1u);
}

TEST(PlanProbes, NodeExportsItsOwnOpenSsl) {
  if (!std::filesystem::exists("/usr/bin/node")) GTEST_SKIP() << "no node here";
  auto file = ElfFile::Open("/usr/bin/node");
  if (!file.ok()) GTEST_SKIP() << "node is a script here";
  const auto plans = PlanProbes(*file);
  if (plans.empty()) GTEST_SKIP() << "this node uses the shared library";
  EXPECT_EQ(plans[0].family, "openssl");
  for (const Probe& p : plans[0].probes) EXPECT_EQ(p.price, Price::kEmulated);
}

}  // namespace
}  // namespace weft::sources::ebpf::tls
