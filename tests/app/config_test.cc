#include "app/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace weft::app {
namespace {

using ::testing::HasSubstr;

struct Options {
  bool enabled = true;
  int64_t head_bytes = 4096;
  std::string endpoint = "127.0.0.1:4317";
  std::string token = "";
  std::string protocol = "grpc";
  std::vector<std::string> names;

  std::vector<base::ConfigBlock> Describe() {
    return {{"capture",
             {{"enabled", &enabled, "see requests"},
              {"head_bytes", &head_bytes, "bytes; copied per message", 64, 16384}}},
            {"exporters.collector",
             {{.key = "endpoint", .value = &endpoint, .doc = "host:port"},
              {.key = "token", .value = &token, .doc = "bearer", .secret = true},
              {.key = "protocol", .value = &protocol, .doc = "how", .choices = {"grpc", "http"}},
              {.key = "names", .value = &names, .doc = "a list"}}}};
  }
};

TEST(Config, FileValuesReplaceDefaultsAndSetReplacesThem) {
  Options o;
  Config config(o.Describe());
  config.LoadText(
      "capture:\n  head_bytes: 1024\nexporters:\n  collector: {endpoint: \"a:1\", names: [x, y]}\n",
      "f");
  config.Set("exporters.collector.endpoint=b:2");
  EXPECT_EQ(config.MistakesText(), "");
  EXPECT_EQ(o.head_bytes, 1024);
  EXPECT_EQ(o.endpoint, "b:2");
  EXPECT_EQ(o.names, (std::vector<std::string>{"x", "y"}));
}

// F64: an unknown key is an error that names line, key and the nearest valid key.
TEST(Config, UnknownKeyNamesLineKeyAndNearestKey) {
  Options o;
  Config config(o.Describe());
  config.LoadText("capture:\n  enabled: true\n  head_byte: 12\n", "weft.yaml");
  EXPECT_EQ(config.MistakesText(),
            "weft.yaml:3: capture.head_byte: unknown key; did you mean capture.head_bytes?\n");
}

TEST(Config, UnknownBlockIsComparedWithBlocks) {
  Options o;
  Config config(o.Describe());
  config.LoadText("exporter:\n  collector: {}\n", "f");
  EXPECT_THAT(config.MistakesText(), HasSubstr("f:1: exporter: unknown key; did you mean"));
}

TEST(Config, EveryMistakeIsReported) {
  Options o;
  Config config(o.Describe());
  config.LoadText(
      "capture:\n  enabled: maybe\n  head_bytes: 5\nexporters:\n  collector: {protocol: udp}\n",
      "f");
  EXPECT_EQ(config.MistakesText(),
            "f:2: capture.enabled: \"maybe\" is not true or false\n"
            "f:3: capture.head_bytes: 5 is out of range: from 64 to 16384\n"
            "f:5: exporters.collector.protocol: \"udp\" is not one of: grpc, http\n");
}

TEST(Config, WrongShapesAreMistakes) {
  Options o;
  Config config(o.Describe());
  config.LoadText("capture: 5\n", "f");
  config.LoadText("capture: {head_bytes: [1]}\n", "g");
  config.LoadText("exporters: {collector: {names: one}}\n", "h");
  config.LoadText("a: [1\n", "broken");
  config.Set("nonsense");
  EXPECT_EQ(config.mistakes().size(), 5u) << config.MistakesText();
  EXPECT_THAT(config.MistakesText(), HasSubstr("broken:"));
}

TEST(Config, EnvironmentReferencesAreExpanded) {
  setenv("WEFT_TEST_HOST", "collector", 1);
  unsetenv("WEFT_TEST_NONE");
  Options o;
  Config config(o.Describe());
  config.LoadText(
      "exporters:\n  collector:\n    endpoint: "
      "\"${env:WEFT_TEST_HOST}:${env:WEFT_TEST_NONE:-4317}\"\n"
      "    token: \"$${env:X}\"\n",
      "f");
  EXPECT_EQ(config.MistakesText(), "");
  EXPECT_EQ(o.endpoint, "collector:4317");
  EXPECT_EQ(o.token, "${env:X}");
}

TEST(Config, UnsetEnvironmentWithoutDefaultIsAMistake) {
  unsetenv("WEFT_TEST_NONE");
  Options o;
  Config config(o.Describe());
  config.LoadText("exporters: {collector: {endpoint: \"${env:WEFT_TEST_NONE}\"}}\n", "f");
  EXPECT_THAT(config.MistakesText(), HasSubstr("WEFT_TEST_NONE is not set"));
}

// F58: a secret never appears in what weft prints of its settings.
TEST(Config, EffectiveYamlMasksSecretsAndLoadsBack) {
  Options o;
  Config config(o.Describe());
  config.Set("exporters.collector.token=canary");
  std::string yaml = config.EffectiveYaml();
  EXPECT_THAT(yaml, ::testing::Not(HasSubstr("canary")));
  EXPECT_THAT(yaml, HasSubstr("token: \"***\""));
  Options again;
  Config second(again.Describe());
  second.LoadText(yaml, "effective");
  EXPECT_EQ(second.MistakesText(), "");
}

TEST(Config, EmptyDocumentAndEmptyBlocksAreFine) {
  Options o;
  Config config(o.Describe());
  config.LoadText("", "f");
  config.LoadText("capture:\n", "f");
  EXPECT_EQ(config.MistakesText(), "");
}

}  // namespace
}  // namespace weft::app
