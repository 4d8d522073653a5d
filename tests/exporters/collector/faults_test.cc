// Faults that belong to one request or to one destination, and what the others must not notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "exporters/collector/scripted_peer.h"

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Faults, EveryCompressedRequestInFlightIsSentPlainToAPeerWithoutTheCompression) {
  Bench bench({.compression = "zstd", .max_batch_bytes = 4096});
  for (uint64_t i = 0; i < 8; ++i) (void)bench.Push(MakeSpans(1 + 20 * i, 20, 160));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 8u);
  for (const OpenCall& call : bench.peer.calls) ASSERT_EQ(call.encoding, "zstd");
  for (int i = 0; i < 8; ++i) bench.peer.Fail(12, "unknown grpc-encoding");
  for (int i = 0; i < 20; ++i) {
    for (const OpenCall& call : bench.peer.calls) EXPECT_EQ(call.encoding, "");
    while (!bench.peer.calls.empty()) bench.peer.Succeed();
    bench.peer.Advance(milliseconds(100));
  }
  EXPECT_EQ(bench.row.out(), 160u);
  EXPECT_EQ(bench.row.lost_total(), 0u);
}

TEST(Faults, ADrainToAPeerWithoutOurCompressionLosesNothing) {
  Bench bench({.compression = "gzip"});
  (void)bench.Push(MakeSpans(1, 10));
  bench.exporter->Drain(seconds(5), [] {});
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Fail(12, "unknown grpc-encoding");
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].encoding, "");
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 10u);
}

TEST(Faults, APlainRequestThatIsNotUnderstoodIsFinal) {
  Bench bench({.compression = "zstd"});
  (void)bench.Push(MakeSpans(1, 10));
  bench.peer.Advance(seconds(1));
  bench.peer.Fail(12);
  bench.peer.Fail(12);
  EXPECT_TRUE(bench.peer.calls.empty());
  EXPECT_EQ(bench.Lost("unimplemented"), 10u);
}

}  // namespace
}  // namespace weft::exporters::collector
