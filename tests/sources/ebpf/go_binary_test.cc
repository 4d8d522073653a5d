#include "sources/ebpf/go/binary.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "sources/ebpf/go/code.h"
#include "sources/ebpf/go/pclntab.h"

namespace weft::sources::ebpf::go {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/weft_go_XXXXXX";
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

template <typename T>
void Put(std::string* out, size_t at, T value) {
  if (out->size() < at + sizeof value) out->resize(at + sizeof value);
  std::memcpy(out->data() + at, &value, sizeof value);
}

constexpr uint64_t kText = 0x401000, kTextOffset = 0x1000, kTableAddress = 0x500000;

// The table of Go 1.20 and later for functions of 16 bytes each, one after another.
std::string MakeTable(const std::vector<std::string>& names, uint64_t text) {
  std::string name_table, out;
  std::vector<uint32_t> name_offsets;
  for (const std::string& name : names) {
    name_offsets.push_back(static_cast<uint32_t>(name_table.size()));
    name_table += name + '\0';
  }
  Put<uint32_t>(&out, 0, 0xfffffff1);
  Put<uint32_t>(&out, 4, 0x08010000);
  const uint64_t table = 72 + name_table.size();
  const uint64_t words[] = {names.size(), 0, text, 72, table, table, table, table};
  for (size_t i = 0; i < 8; ++i) Put<uint64_t>(&out, 8 + 8 * i, words[i]);
  out += name_table;
  const auto functions = static_cast<uint32_t>(names.size() * 8 + 4);
  for (uint32_t i = 0; i < names.size(); ++i) {
    Put<uint32_t>(&out, table + i * 8, i * 16);
    Put<uint32_t>(&out, table + i * 8 + 4, functions + i * 8);
    Put<uint32_t>(&out, table + functions + i * 8, i * 16);
    Put<uint32_t>(&out, table + functions + i * 8 + 4, name_offsets[i]);
  }
  Put<uint32_t>(&out, table + names.size() * 8, static_cast<uint32_t>(names.size() * 16));
  return out;
}

// A program with code, the table and the version.
std::string MakeProgram(const std::string& table, const std::string& version) {
  std::string info("\xff Go buildinf:", 14);
  info.resize(32);
  info[14] = 8;
  info[15] = 2;
  info += static_cast<char>(version.size()) + version;
  const std::string names("\0.text\0.gopclntab\0.go.buildinfo\0.shstrtab\0", 43);
  std::string out(kTextOffset, '\0');
  const std::string code(0x1000, '\x90');
  struct Part {
    uint32_t name;
    uint64_t address;
    const std::string* bytes;
  };
  const Part parts[] = {
      {1, kText, &code}, {7, kTableAddress, &table}, {18, 0x600000, &info}, {32, 0, &names}};
  std::vector<Elf64_Shdr> sections(1);
  std::memset(sections.data(), 0, sizeof(Elf64_Shdr));
  for (const Part& p : parts) {
    Elf64_Shdr s = {};
    s.sh_name = p.name;
    s.sh_type = SHT_PROGBITS;
    s.sh_addr = p.address;
    s.sh_offset = out.size();
    s.sh_size = p.bytes->size();
    sections.push_back(s);
    out += *p.bytes;
  }
  Elf64_Ehdr h = {};
  std::memcpy(h.e_ident, ELFMAG, SELFMAG);
  h.e_ident[EI_CLASS] = ELFCLASS64;
  h.e_ident[EI_DATA] = ELFDATA2LSB;
  h.e_machine = EM_X86_64;
  h.e_phoff = sizeof h;
  h.e_phentsize = sizeof(Elf64_Phdr);
  h.e_phnum = 1;
  h.e_shoff = out.size();
  h.e_shentsize = sizeof(Elf64_Shdr);
  h.e_shnum = static_cast<uint16_t>(sections.size());
  h.e_shstrndx = 4;
  Elf64_Phdr p = {};
  p.p_type = PT_LOAD;
  p.p_flags = PF_R | PF_X;
  p.p_vaddr = kText;
  p.p_offset = kTextOffset;
  p.p_filesz = 0x1000;
  std::memcpy(out.data(), &h, sizeof h);
  std::memcpy(out.data() + sizeof h, &p, sizeof p);
  for (const Elf64_Shdr& s : sections) out.append(reinterpret_cast<const char*>(&s), sizeof s);
  return out;
}

TEST(GoVersion, IsReadFromItsName) {
  EXPECT_EQ(ParseVersion("go1.26.8")->minor, 26u);
  EXPECT_EQ(ParseVersion("go1.17")->minor, 17u);
  EXPECT_EQ(ParseVersion("go1.22rc1 X:nocoverageredesign")->minor, 22u);
  for (const char* bad : {"", "go", "go1", "go1.", "gox.y", "devel +abc", "1.22"}) {
    EXPECT_FALSE(ParseVersion(bad)) << bad;
  }
}

TEST(Pclntab, FindsFunctionsOfAStrippedProgram) {  // T67
  Scratch scratch;
  for (uint64_t text : {kText, uint64_t{0}}) {  // since Go 1.26 the table does not say
    const std::string table = MakeTable({"runtime.main", "main.main", "main.other"}, text);
    auto file = tls::ElfFile::Open(scratch.Write(MakeProgram(table, "go1.26.1")));
    ASSERT_TRUE(file.ok()) << file.status();
    const auto found = FindInPclntab(*file, {"main.other", "runtime.main", "main.missing"});
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found.at("runtime.main").address, kText);
    EXPECT_EQ(found.at("main.other").address, kText + 32);
    EXPECT_EQ(found.at("main.other").offset, kTextOffset + 32);
    EXPECT_EQ(found.at("main.other").size, 16u);
  }
}

TEST(Pclntab, DamagedTablesYieldLessAndNeverCrash) {
  Scratch scratch;
  const std::string good = MakeTable({"runtime.main", "main.main", "main.other"}, kText);
  std::mt19937 random(7);
  for (size_t cut = 0; cut < good.size(); ++cut) {
    auto file = tls::ElfFile::Open(scratch.Write(MakeProgram(good.substr(0, cut), "go1.26.1")));
    ASSERT_TRUE(file.ok());
    EXPECT_LE(FindInPclntab(*file, {"runtime.main", "main.other"}).size(), 2u);
  }
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    for (int i = 0; i < 4; ++i) bad[random() % bad.size()] = static_cast<char>(random());
    auto file = tls::ElfFile::Open(scratch.Write(MakeProgram(bad, "go1.26.1")));
    ASSERT_TRUE(file.ok());
    for (const auto& [name, f] : FindInPclntab(*file, {"runtime.main", "main.other"})) {
      EXPECT_LT(f.offset, kTextOffset + 0x1000) << name;
    }
  }
}

TEST(GoBinary, OnlyWhatIsKnownIsUsed) {
  Scratch scratch;
  const std::string table = MakeTable({"runtime.main"}, kText);
  struct Case {
    const char* version;
    int id, parent;  // -1: refused
  };
  for (const Case& c :
       {Case{"go1.16.2", -1, 0}, Case{"go1.17.1", 152, 0}, Case{"go1.22.3", 152, 272},
        Case{"go1.24", 160, 280}, Case{"go1.26.8", 152, 280}, Case{"go1.99", 0, 0},
        Case{"devel go1.27-abc", -1, 0}}) {
    SCOPED_TRACE(c.version);
    auto file = tls::ElfFile::Open(scratch.Write(MakeProgram(table, c.version)));
    ASSERT_TRUE(file.ok());
    std::string reason;
    const auto binary = Study(*file, &reason);
    ASSERT_EQ(binary.has_value(), c.id >= 0);
    if (!binary) {
      EXPECT_NE(reason, "");
      continue;
    }
    EXPECT_EQ(binary->facts.running_offset, -8);
    EXPECT_EQ(binary->facts.id_offset, c.id);
    EXPECT_EQ(binary->facts.parent_offset, c.parent);
    EXPECT_THAT(binary->probes, IsEmpty());
    EXPECT_EQ(binary->http_reason.empty(), c.id > 0);
  }
}

TEST(GoBinary, AProgramInAnotherLanguageIsNone) {
  std::string reason;
  auto file = tls::ElfFile::Open("/proc/self/exe");
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(Study(*file, &reason));
  EXPECT_EQ(reason, "");
}

// cmp rsp, [r14+0x10]; jbe +0x10; push rbp; mov rbp, rsp; call +0; test rbx, rbx; je +2; ret
constexpr uint8_t kFunction[] = {0x49, 0x3b, 0x66, 0x10, 0x76, 0x10, 0x55, 0x48, 0x89, 0xe5, 0xe8,
                                 0x00, 0x00, 0x00, 0x00, 0x48, 0x85, 0xdb, 0x74, 0x02, 0xc3};

TEST(GoCode, PlacesAreWhereTheKernelEmulates) {
  const Code code{0x1000, kFunction};
  EXPECT_EQ(FindStackCheck(code), 4u);
  EXPECT_THAT(FindCalls(code, 0x100f), ElementsAre(10));
  EXPECT_THAT(FindCalls(code, 0x2000), IsEmpty());
  EXPECT_EQ(FindBehindCall(code, 10), 18u);
}

TEST(GoCode, WhatDoesNotLookLikeGoHasNoPlace) {
  const uint8_t c[] = {0x55, 0x48, 0x89, 0xe5, 0x76, 0x10, 0xc3};
  EXPECT_EQ(FindStackCheck({0x1000, c}), std::nullopt);
  EXPECT_EQ(FindStackCheck({0x1000, {}}), std::nullopt);
  // mov rax, rbx; cmp rsp, [r14+0x10]; jbe: an argument is gone.
  const uint8_t late[] = {0x48, 0x89, 0xd8, 0x49, 0x3b, 0x66, 0x10, 0x76, 0x10};
  EXPECT_EQ(FindStackCheck({0x1000, late}), std::nullopt);
  // call +0; mov rbx, [rsp]; je: the result is gone.
  const uint8_t lost[] = {0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x1c, 0x24, 0x74, 0x02, 0xc3};
  EXPECT_EQ(FindBehindCall({0x1000, lost}, 0), std::nullopt);
}

TEST(GoCode, TheGoroutineIsFoundInBothForms) {
  // mov r14, fs:[-8]
  const uint8_t direct[] = {0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff};
  EXPECT_EQ(FindGoroutineOffset({0, direct}), -8);
  // mov r14, -16; mov r14, fs:[r14]
  const uint8_t by_register[] = {0x49, 0xc7, 0xc6, 0xf0, 0xff, 0xff, 0xff, 0x64, 0x4d, 0x8b, 0x36};
  EXPECT_EQ(FindGoroutineOffset({0, by_register}), -16);
}

}  // namespace
}  // namespace weft::sources::ebpf::go
