#include "sources/ebpf/tls/probe_site.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weft::sources::ebpf::tls {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

// "48 83 ec 18" to bytes.
std::vector<uint8_t> Hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 3) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

constexpr uint64_t kAddress = 0x1000;

FunctionCode Code(const std::vector<uint8_t>& bytes, Machine machine = Machine::kX86_64) {
  return {machine, kAddress, bytes};
}

struct SiteCase {
  const char* what;
  const char* bytes;
  int arguments;
  ProbeSite want;
};

class EntrySite : public ::testing::TestWithParam<SiteCase> {};

TEST_P(EntrySite, IsTheFirstCheapInstructionWithArgumentsIntact) {
  EXPECT_EQ(FindEntrySite(Code(Hex(GetParam().bytes)), GetParam().arguments), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    All, EntrySite,
    ::testing::Values(
        SiteCase{"push rbp; ret", "55 c3", 3, {0, Price::kEmulated}},
        SiteCase{"push r13; ret", "41 55 c3", 3, {0, Price::kEmulated}},
        SiteCase{"endbr64; push rbp; ret", "f3 0f 1e fa 55 c3", 3, {4, Price::kEmulated}},
        SiteCase{"nop; ret", "90 c3", 3, {0, Price::kEmulated}},
        SiteCase{
            "sub $8,%rsp; call; ret", "48 83 ec 08 e8 00 01 00 00 c3", 4, {4, Price::kEmulated}},
        SiteCase{"mov %rdi,%rax; push; ret: an argument read is no argument lost",
                 "48 89 f8 55 c3",
                 3,
                 {3, Price::kEmulated}},
        SiteCase{"mov %rdi,%rdx; push; ret: the third is lost",
                 "48 89 fa 55 c3",
                 3,
                 {0, Price::kStepped}},
        SiteCase{
            "the same where two arguments are wanted", "48 89 fa 55 c3", 2, {3, Price::kEmulated}},
        SiteCase{"mov %edx,%edx is a write", "89 d2 55 c3", 3, {0, Price::kStepped}},
        SiteCase{"xor %eax,%eax; ret: nothing cheap", "31 c0 c3", 3, {0, Price::kStepped}},
        SiteCase{"jmp *%rax leaves", "ff e0 55 c3", 3, {0, Price::kStepped}},
        SiteCase{"nopl is not cheap on old kernels, and optimised on some",
                 "0f 1f 44 00 00 c3",
                 3,
                 {0, Price::kStepped}},
        SiteCase{"a loop back to the place would hit it again: sub; push; jmp -3",
                 "48 83 ec 08 55 eb fd",
                 3,
                 {0, Price::kStepped}},
        SiteCase{"bytes that are no instruction", "06 06 06", 3, {0, Price::kStepped}},
        SiteCase{"nothing at all", "", 3, {0, Price::kStepped}},
        SiteCase{"cut in the middle of a function", "48 83 ec 08 55 48", 3, {0, Price::kStepped}}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

TEST(ReturnProbeSite, MustFindTheReturnAddressOnTopOfTheStack) {
  EXPECT_EQ(FindReturnProbeSite(Code(Hex("55 c3"))), (ProbeSite{0, Price::kEmulated}));
  EXPECT_EQ(FindReturnProbeSite(Code(Hex("f3 0f 1e fa 55 c3"))), (ProbeSite{4, Price::kEmulated}));
  // sub $8,%rsp; call
  EXPECT_EQ(FindReturnProbeSite(Code(Hex("48 83 ec 08 e8 00 01 00 00 c3"))),
            (ProbeSite{0, Price::kStepped}));
}

// OpenSSL 3.0's SSL_write as Debian 12 builds it.
const char kSslWrite[] =
    "48 83 ec 18 64 48 8b 04 25 28 00 00 00 48 89 44 24 08 31 c0 85 d2 78 2f 48 89 e1 48 63 d2 e8 "
    "fd fb ff ff 85 c0 7e 03 8b 04 24 48 8b 54 24 08 64 48 2b 14 25 28 00 00 00 75 44 48 83 c4 18 "
    "31 d2 31 c9 31 f6 31 ff c3 e8 b4 99 fe ff 48 8d 15 05 cf 04 00 be 46 08 00 00 48 8d 3d f2 c6 "
    "04 00 e8 9c a0 fe ff 31 c0 31 d2 be 0f 01 00 00 bf 14 00 00 00 e8 a9 9e fe ff b8 ff ff ff ff "
    "eb ac e8 9d ab fe ff";

TEST(ProbeSite, OfDebiansSslWriteAreItsJumps) {
  const auto bytes = Hex(kSslWrite);
  EXPECT_EQ(FindEntrySite(Code(bytes), 3), (ProbeSite{22, Price::kEmulated}));
  EXPECT_THAT(FindExitSites(Code(bytes)), Optional(ElementsAre(0x38)));
  EXPECT_EQ(FindReturnProbeSite(Code(bytes)).price, Price::kStepped);
}

TEST(ExitSites, NeedACheckOfTheStackProtectorBeforeEveryReturn) {
  // No check: ret.
  EXPECT_EQ(FindExitSites(Code(Hex("55 5d c3"))), std::nullopt);
  // A jump that is no such check: test; jne +1; nop; ret.
  EXPECT_EQ(FindExitSites(Code(Hex("85 c0 75 01 90 c3"))), std::nullopt);
  // sub %fs:0x28,%rdx; jne; ret; call
  const std::string checked = "64 48 2b 14 25 28 00 00 00 75 01 c3 ";
  EXPECT_THAT(FindExitSites(Code(Hex(checked + "e8 00 00 00 00"))), Optional(ElementsAre(9)));
  // The result is made behind the check: mov $1,%eax.
  EXPECT_EQ(FindExitSites(Code(Hex("64 48 2b 14 25 28 00 00 00 75 06 b8 01 00 00 00 c3"))),
            std::nullopt);
  // A second return without one.
  EXPECT_EQ(FindExitSites(Code(Hex(checked + "c3"))), std::nullopt);
  // Somebody jumps between check and return: jmp +11 (to the ret).
  EXPECT_EQ(FindExitSites(Code(Hex("eb 0b " + checked + "e8 00 00 00 00"))), std::nullopt);
  // Leaves by a jump to another function.
  EXPECT_EQ(FindExitSites(Code(Hex(checked + "e9 00 10 00 00"))), std::nullopt);
}

TEST(Forwarded, IsTheFunctionThatAWrapperOnlyPassesOn) {
  // SSL_read_ex: sub; call +0x100; xor edx; test; cmovs; add; xor…; ret
  EXPECT_EQ(FindForwarded(Code(Hex("48 83 ec 08 e8 f7 00 00 00 31 d2 85 c0 0f 48 c2 48 83 c4 08 "
                                   "31 d2 c3")),
                          4),
            std::optional<uint64_t>(kAddress + 0x100));
  // The result is another: mov $1,%eax.
  EXPECT_EQ(FindForwarded(Code(Hex("48 83 ec 08 e8 f7 00 00 00 b8 01 00 00 00 48 83 c4 08 c3")), 4),
            std::nullopt);
  // An argument is another: xor %ecx,%ecx.
  EXPECT_EQ(FindForwarded(Code(Hex("31 c9 e8 f9 00 00 00 c3")), 4), std::nullopt);
  // A jump is as good.
  EXPECT_EQ(FindForwarded(Code(Hex("e9 fb 00 00 00")), 4),
            std::optional<uint64_t>(kAddress + 0x100));
}

TEST(ProbeSite, OnAarch64IsTheFunctionsStart) {
  const auto bytes = Hex("5f 24 03 d5 fd 7b be a9 c0 03 5f d6");
  EXPECT_EQ(FindEntrySite(Code(bytes, Machine::kAarch64), 3), (ProbeSite{0, Price::kStepped}));
  EXPECT_EQ(FindExitSites(Code(bytes, Machine::kAarch64)), std::nullopt);
}

TEST(ProbeSite, AnyBytesAreSurvived) {
  uint32_t seed = 1;
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes(round % 97);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
    const FunctionCode code = Code(bytes);
    EXPECT_LE(FindEntrySite(code, 4).offset, bytes.size());
    if (auto exits = FindExitSites(code)) {
      for (uint64_t exit : *exits) EXPECT_LT(exit, bytes.size());
    }
    FindReturnProbeSite(code);
    FindForwarded(code, 3);
    CallsDirectly(code, kAddress);
  }
}

}  // namespace
}  // namespace weft::sources::ebpf::tls
