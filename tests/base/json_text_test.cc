#include "base/coding/json_text.h"

#include <gtest/gtest.h>

#include <string>

namespace weft::base {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonText(text, &out);
  return out;
}

TEST(JsonText, EscapesControlsQuotesAndBackslashes) {
  EXPECT_EQ(Quoted(std::string_view("a\"b\\c\n\t\r\x00\x1f\x7f/", 12)),
            R"("a\"b\\c\n\t\r\u0000\u001f\u007f/")");
  EXPECT_EQ(Quoted(""), R"("")");
}

TEST(JsonText, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_EQ(Quoted("größe 日本 🙂"), "\"größe 日本 🙂\"");
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(Quoted("\xFF"), "\"" + bad + "\"");
  EXPECT_EQ(Quoted("\xC0\xAF"), "\"" + bad + bad + "\"");                      // overlong
  EXPECT_EQ(Quoted("\xED\xA0\x80"), "\"" + bad + bad + bad + "\"");            // surrogate
  EXPECT_EQ(Quoted("\xF4\x90\x80\x80"), "\"" + bad + bad + bad + bad + "\"");  // over U+10FFFF
  EXPECT_EQ(Quoted("x\xE2\x82"), "\"x" + bad + bad + "\"");                    // cut off
}

TEST(JsonText, RepairLeavesQuestionMarksAndEscapesAround) {
  EXPECT_EQ(Quoted("?\xFF\"é\n?"), "\"?\xEF\xBF\xBD\\\"é\\n?\"");
}

}  // namespace
}  // namespace weft::base
