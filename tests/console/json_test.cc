#include "console/json.h"

#include <gtest/gtest.h>

#include <limits>

namespace weft::console {
namespace {

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

}  // namespace
}  // namespace weft::console
