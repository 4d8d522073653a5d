#include "exporters/collector/flight_window.h"

#include <gtest/gtest.h>

namespace weft::exporters::collector {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(FlightWindow, OneRequestMayAlwaysGo) {
  FlightWindow window(1000, 100);
  EXPECT_TRUE(window.HasRoom(1'000'000));
  window.Sent(1'000'000);
  EXPECT_FALSE(window.HasRoom(1));
}

TEST(FlightWindow, FailureHalvesItDownToOneStep) {
  FlightWindow window(1000, 100);
  for (uint64_t i = 0; i < 10; ++i) {
    window.Sent(100);
    window.Refused(100, i * kMs, (i + 1) * kMs);
  }
  EXPECT_EQ(window.window_bytes(), 100u);
  EXPECT_EQ(window.open_bytes(), 0u);
}

TEST(FlightWindow, RequestsThatAreRefusedTogetherShrinkItOnce) {
  FlightWindow window(1000, 100);
  for (int i = 0; i < 8; ++i) window.Sent(100);
  for (int i = 0; i < 8; ++i) window.Refused(100, 10 * kMs, 15 * kMs);
  EXPECT_EQ(window.window_bytes(), 500u);
  EXPECT_EQ(window.open_bytes(), 0u);
}

TEST(FlightWindow, APeerThatTakesOthersMeanwhileKeepsAFloor) {
  FlightWindow window(1000, 100);
  for (uint64_t round = 1; round < 50; ++round) {
    const uint64_t sent = 10 * round * kMs, now = sent + 5 * kMs;
    window.Sent(1);
    window.Sent(100);
    window.Taken(1, 5 * kMs, now);
    window.Refused(100, sent, now);
  }
  EXPECT_GE(window.window_bytes(), 400u);
  EXPECT_LE(window.window_bytes(), 500u);
}

TEST(FlightWindow, AfterAnOutageItGrowsByAboutAStepARound) {
  FlightWindow window(1000, 100);
  window.Restart();
  EXPECT_EQ(window.window_bytes(), 100u);
  uint64_t now = 0;
  int rounds = 0;
  for (; window.window_bytes() < 1000 && rounds < 100; ++rounds) {
    int sent = 0;
    while (window.HasRoom(100)) window.Sent(100), ++sent;
    now += 10 * kMs;
    for (; sent > 0; --sent) window.Taken(100, 10 * kMs, now);
  }
  EXPECT_GE(rounds, 8);
  EXPECT_LE(rounds, 30);
}

TEST(FlightWindow, AnswersThatBecomeMuchSlowerShrinkItOnceARound) {
  FlightWindow window(1000, 100);
  uint64_t now = 1'000 * kMs;
  window.Sent(100);
  window.Taken(100, 10 * kMs, now);
  for (int i = 0; i < 5; ++i) window.Sent(100);
  now += 500 * kMs;
  for (int i = 0; i < 5; ++i) window.Taken(100, 500 * kMs, now);
  EXPECT_EQ(window.window_bytes(), 875u);
}

TEST(FlightWindow, ShortAnswersAreNeverSlow) {
  FlightWindow window(1000, 100);
  for (uint64_t ms : {1, 50, 99}) {
    window.Sent(100);
    window.Taken(100, ms * kMs, 1'000 * kMs);
  }
  EXPECT_EQ(window.window_bytes(), 1000u);
}

}  // namespace
}  // namespace weft::exporters::collector
