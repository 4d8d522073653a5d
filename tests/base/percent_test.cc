#include "base/coding/percent.h"

#include <gtest/gtest.h>

namespace weft::base {
namespace {
using namespace std::string_literals;

TEST(Percent, DecodesEscapesOfBothCasesAndAnyByte) {
  EXPECT_EQ(PercentDecode("a%20b%2Fc%2fd%00%fF"), "a b/c/d\0\xff"s);
  EXPECT_EQ(PercentDecode(""), "");
}

TEST(Percent, LeavesBadAndCutOffEscapesAsTheyAre) {
  for (const char* text : {"%", "%4", "100%", "%zz", "%4g", "%%%", "a%-1"}) {
    EXPECT_EQ(PercentDecode(text), text);
  }
  EXPECT_EQ(PercentDecode("%%41"), "%A");
  // The view ends before the digits that stand behind it.
  EXPECT_EQ(PercentDecode(std::string_view("%41").substr(0, 2)), "%4");
}

TEST(Percent, PlusIsASpaceOnlyInForms) {
  EXPECT_EQ(PercentDecode("a+b%2B"), "a+b+");
  EXPECT_EQ(PercentDecode("a+b%2B", true), "a b+");
}

TEST(Percent, EncodedTextIsPrintableAndSurvivesTheRoundTrip) {
  std::string every;
  for (int c = 0; c < 256; ++c) every.push_back(static_cast<char>(c));
  std::string encoded = PercentEncode(every);
  for (char c : encoded) EXPECT_TRUE(c >= 0x20 && c <= 0x7E);
  EXPECT_EQ(PercentDecode(encoded), every);
  EXPECT_EQ(PercentEncode("50% of é"), "50%25 of %C3%A9");
}

}  // namespace
}  // namespace weft::base
