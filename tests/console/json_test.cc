#include "console/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace weft::console {
namespace {

std::string Escaped(std::string_view text) {
  std::string out;
  AppendJsonEscaped(text, &out);
  return out;
}

TEST(JsonWriter, PutsCommasBetweenValuesAndNowhereElse) {
  std::string out = "before ";
  JsonWriter json(&out);
  json.Open('{').Key("a").Open('[').Int(-1).Uint(2).Null().Bool(true).Close(']');
  json.Key("b").Open('{').Close('}').Key("c").String("").Key("d").Open('[').Close(']').Close('}');
  EXPECT_EQ(out, R"(before {"a":[-1,2,null,true],"b":{},"c":"","d":[]})");
}

TEST(JsonWriter, StringsThatEndLikeBracketsStillGetCommas) {
  std::string out;
  JsonWriter(&out).Open('[').String("x[").String("{").String(":").Close(']');
  EXPECT_EQ(out, R"(["x[","{",":"])");
}

TEST(JsonWriter, WritesDoublesShortestAndNonNumbersAsStrings) {
  std::string out;
  JsonWriter(&out)
      .Open('[')
      .Double(0.1)
      .Double(std::numeric_limits<double>::infinity())
      .Double(std::numeric_limits<double>::quiet_NaN())
      .Close(']');
  EXPECT_EQ(out, R"([0.1,"+Inf","NaN"])");
}

TEST(JsonEscape, EscapesControlsQuotesAndBackslashes) {
  EXPECT_EQ(Escaped(std::string_view("a\"b\\c\n\t\r\x00\x1f\x7f", 11)),
            R"(a\"b\\c\n\t\r\u0000\u001f\u007f)");
}

TEST(JsonEscape, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_EQ(Escaped("größe 日本 🙂"), "größe 日本 🙂");
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(Escaped("\xFF"), bad);
  EXPECT_EQ(Escaped("\xC0\xAF"), bad + bad);                      // overlong
  EXPECT_EQ(Escaped("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(Escaped("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // beyond U+10FFFF
  EXPECT_EQ(Escaped("x\xE2\x82"), "x" + bad + bad);               // cut off
}

}  // namespace
}  // namespace weft::console
