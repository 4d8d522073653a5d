#include "app/about/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::app {
namespace {

TEST(Features, JsonKeepsEveryCharacterOfAReason) {
  std::vector<Feature> features = {{"capture", false, "", "load: \"EPERM\"\\\n(lockdown)"},
                                   {"store", true, "64 MiB", ""}};
  std::vector<Feature> back;
  ASSERT_TRUE(FeaturesFromJson(FeaturesJson(features, "1.0", 2.5, true), &back));
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].reason, features[0].reason);
  EXPECT_FALSE(back[0].on);
  EXPECT_EQ(back[1].how, "64 MiB");
}

TEST(Features, SomethingElseIsNotAList) {
  std::vector<Feature> back;
  EXPECT_FALSE(FeaturesFromJson("<html>", &back));
  EXPECT_FALSE(FeaturesFromJson("{\"features\": 5}", &back));
}

TEST(Features, TextSaysHowOrWhyNot) {
  EXPECT_EQ(FeaturesText({{"capture", false, "", "no BTF"}, {"store", true, "64 MiB", ""}}),
            "  capture  off  no BTF\n  store    on   64 MiB\n");
}

}  // namespace
}  // namespace weft::app
