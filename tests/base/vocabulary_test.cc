// The small pieces of base: ids, clocks, credit, queue, log limiter, UTF-8.
#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"
#include "base/coding/utf8.h"
#include "base/credit.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/result.h"

namespace weft::base {
namespace {

TEST(Id, HexRoundTripsInEitherCase) {
  SpanId id;
  ASSERT_TRUE(SpanId::FromHex("00f067AA0ba902b7", &id));
  EXPECT_EQ(id.Hex(), "00f067aa0ba902b7");
  SpanId same = id;
  EXPECT_FALSE(SpanId::FromHex("00f067aa0ba902b", &id));
  EXPECT_FALSE(SpanId::FromHex("00f067aa0ba902bg", &id));
  EXPECT_EQ(id, same);
}

TEST(Id, BytesOfAnotherLengthGiveTheZeroId) {
  EXPECT_TRUE(SpanId::FromBytes(AsBytes("1234567")).IsZero());
  EXPECT_FALSE(SpanId::FromBytes(AsBytes("12345678")).IsZero());
}

TEST(Id, NewIdsAreNotZeroAndDiffer) {
  TraceId a = NewTraceId(), b = NewTraceId();
  EXPECT_FALSE(a.IsZero());
  EXPECT_NE(a, b);
}

TEST(Clock, FakeClockMovesOnlyWhenTold) {
  FakeClock clock;
  uint64_t before = clock.UnixNs();
  EXPECT_EQ(clock.UnixNs(), before);
  clock.Advance(5);
  EXPECT_EQ(clock.UnixNs(), before + 5);
}

TEST(Clock, SystemClockAgreesWithTheWallClock) {
  SystemClock clock;
  int64_t wall = std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
  EXPECT_NEAR(static_cast<double>(clock.UnixNs()), static_cast<double>(wall), 1e9);
}

TEST(ByteCredit, RefusesBeyondTheLimitAndChangesNothing) {
  ByteCredit credit(100);
  EXPECT_TRUE(credit.Take(60));
  EXPECT_FALSE(credit.Take(41));
  EXPECT_EQ(credit.used(), 60u);
  EXPECT_TRUE(credit.Take(40));
  credit.Return(100);
  EXPECT_EQ(credit.used(), 0u);
}

TEST(BoundedQueue, ItemsAndBytesAreExactLimits) {
  BoundedQueue<std::unique_ptr<int>> queue(2, 10);
  auto item = [] { return std::make_unique<int>(1); };
  EXPECT_TRUE(queue.TryPush(item(), 4));
  auto refused = item();
  EXPECT_FALSE(queue.TryPush(std::move(refused), 7));
  EXPECT_NE(refused, nullptr);  // NOLINT(bugprone-use-after-move): untouched when refused
  EXPECT_TRUE(queue.TryPush(item(), 6));
  EXPECT_FALSE(queue.TryPush(item(), 0));
  std::unique_ptr<int> out;
  EXPECT_TRUE(queue.Pop(&out, std::chrono::milliseconds(0)));
  EXPECT_EQ(queue.items(), 1u);
  EXPECT_EQ(queue.bytes(), 6u);
  EXPECT_TRUE(queue.Pop(&out, std::chrono::milliseconds(0)));
  EXPECT_FALSE(queue.Pop(&out, std::chrono::milliseconds(0)));
}

TEST(BoundedQueue, HandsEverythingOverBetweenThreads) {
  BoundedQueue<int> queue(8, 1000);
  int64_t sum = 0;
  std::thread consumer([&] {
    int value = 0;
    for (int n = 0; n < 1000;) {
      if (!queue.Pop(&value, std::chrono::milliseconds(100))) continue;
      sum += value;
      ++n;
    }
  });
  for (int i = 0; i < 1000;) {
    int value = i;
    if (queue.TryPush(std::move(value), 1)) ++i;
  }
  consumer.join();
  EXPECT_EQ(sum, 999 * 1000 / 2);
  EXPECT_EQ(queue.items(), 0u);
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(LogLimiter, LetsOneCallThroughPerPeriod) {
  LogLimiter limiter(100);
  EXPECT_TRUE(limiter.Allow(1000));
  EXPECT_FALSE(limiter.Allow(1099));
  EXPECT_TRUE(limiter.Allow(1100));
}

TEST(Log, LineHasUtcTimeAndLevel) {
  testing::internal::CaptureStderr();
  InitLog(LogLevel::info);
  spdlog::debug("hidden");
  spdlog::info("attached {} probes", 3);
  std::string line = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(line.ends_with("Z info attached 3 probes\n")) << line;
  EXPECT_EQ(line.find("hidden"), std::string::npos);
}

TEST(Result, ContextIsPutInFront) {
  EXPECT_EQ(Context("attach probe", Error("ENOENT")).message(), "attach probe: ENOENT");
  EXPECT_TRUE(Ok().ok());
}

TEST(Utf8, AcceptsWellFormedTextOfEveryLength) {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(IsUtf8(text)) << i;
    EXPECT_TRUE(IsUtf8(text + "ü€😀")) << i;
    text += static_cast<char>('a' + i % 26);
  }
}

TEST(Utf8, FindsABadByteAtEveryPosition) {
  for (size_t size = 1; size < 40; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = '\xff';
      EXPECT_FALSE(IsUtf8(text)) << size << " " << at;
      EXPECT_EQ(RepairUtf8(text.data(), text.size()), 1u);
      EXPECT_EQ(text[at], '?');
      EXPECT_TRUE(IsUtf8(text));
    }
  }
}

TEST(Utf8, RefusesOverlongFormsSurrogatesAndBeyondUnicode) {
  for (std::string_view bad :
       {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xe2\x82", "a\xe2\x82", "\xf0\x9f\x98"}) {
    EXPECT_FALSE(IsUtf8(bad));
    std::string text(bad);
    RepairUtf8(text.data(), text.size());
    EXPECT_TRUE(IsUtf8(text));
  }
  EXPECT_TRUE(IsUtf8("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"));
}

}  // namespace
}  // namespace weft::base
