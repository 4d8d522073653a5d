#include "app/descriptors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace weft::app {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Descriptors, SoftLimitBecomesTheHardOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(256, before.rlim_max);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const uint64_t expected = std::min<uint64_t>(before.rlim_max, 1 << 20);
  EXPECT_EQ(DescriptorLimit(), expected);
  EXPECT_EQ(RaiseDescriptorLimit(), expected);
  rlimit after{};
  getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(after.rlim_cur, expected);
  EXPECT_EQ(after.rlim_max, before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(Descriptors, ConnectionsLeaveAQuarterToEverythingElse) {
  Settings settings;
  settings.otlp_grpc.legacy_endpoint = "127.0.0.1:55680";
  settings.otlp_http.max_connections = 4096;
  settings.zipkin.enabled = false;
  ASSERT_TRUE(FitConnections(1024, &settings));
  // The shares of 1024 twice, 4096, and three of 1024.
  EXPECT_EQ(settings.otlp_http.max_connections, 768 * 4 / 9);
  EXPECT_EQ(settings.otlp_grpc.max_connections, 768 / 9);
  EXPECT_EQ(settings.jaeger_http.max_connections, 768 / 9);
  EXPECT_EQ(settings.zipkin.max_connections, 1024);
  EXPECT_FALSE(FitConnections(1024, &settings));
}

TEST(Descriptors, EnoughOfThemCutNothing) {
  Settings settings;
  EXPECT_FALSE(FitConnections(1 << 20, &settings));
  EXPECT_EQ(settings.otlp_grpc.max_connections, 1024);
  const Feature feature = DescriptorFeature(1 << 20, settings);
  EXPECT_TRUE(feature.on);
  EXPECT_THAT(feature.how, HasSubstr("1048576, for up to 6144 connections"));
  EXPECT_THAT(feature.how, Not(HasSubstr("instead")));
  EXPECT_THAT(DescriptorFeature(1024, settings).how, HasSubstr("instead of 6144"));
}

TEST(Descriptors, FewOfThemLeaveAFewConnections) {
  Settings settings;
  settings.otlp_grpc.max_connections = 4;
  EXPECT_TRUE(FitConnections(64, &settings));
  EXPECT_EQ(settings.otlp_grpc.max_connections, 4);
  EXPECT_EQ(settings.otlp_http.max_connections, 8);
}

}  // namespace
}  // namespace weft::app
