// Batches whose senders have compressed them as the collector wants them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/inflate.h"
#include "exporters/collector/collector.h"
#include "exporters/collector/scripted_peer.h"

namespace weft::exporters::collector {
namespace {

using model::PushResult;
using std::chrono::seconds;

// 60 KB, with a compressed form that our own compressor would never make: two members or frames.
model::OtlpBatch MakePacked(uint64_t first, size_t spans = 200,
                            base::Compression by = base::Compression::kGzip) {
  model::OtlpBatch batch = MakeSpans(first, spans, 300);
  const base::ByteView bytes = batch.bytes->view();
  base::Packed packed{by, {}};
  EXPECT_TRUE(base::Deflate(by, bytes.first(bytes.size() / 3), &packed.bytes).ok());
  EXPECT_TRUE(base::Deflate(by, bytes.subspan(bytes.size() / 3), &packed.bytes).ok());
  batch.packed = std::make_shared<const base::Packed>(std::move(packed));
  return batch;
}

std::string Text(const base::ByteBuffer& bytes) { return std::string(base::AsText(bytes.view())); }

size_t SpansIn(const OpenCall& call) {
  base::Compression compression;
  EXPECT_TRUE(base::CompressionFromName(call.encoding, &compression));
  base::ByteBuffer out;
  base::ByteCredit credit(16 << 20);
  uint64_t charged = 0;
  EXPECT_EQ(base::Inflate(compression, call.payload.view(), 16 << 20, &credit, &out, &charged),
            base::InflateStatus::kDone);
  return SpanIds(out.view()).size();
}

class Packed : public ::testing::TestWithParam<base::Compression> {
 protected:
  std::string name() const { return std::string(base::CompressionName(GetParam())); }
};

TEST_P(Packed, WhatItsSenderCompressedGoesOnAsItCameAndAtOnce) {
  Bench bench({.compression = name()});
  model::OtlpBatch batch = MakePacked(1, 200, GetParam());
  const std::string came = Text(batch.packed->bytes);
  ASSERT_EQ(bench.Push(std::move(batch)), PushResult::kTaken);
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].encoding, name());
  EXPECT_EQ(Text(bench.peer.calls[0].payload), came);
  EXPECT_EQ(SpansIn(bench.peer.calls[0]), 200u);
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 200u);
  EXPECT_EQ(bench.exporter->held_bytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Both, Packed,
                         ::testing::Values(base::Compression::kGzip, base::Compression::kZstd),
                         [](const auto& p) { return std::string(base::CompressionName(p.param)); });

TEST(PackedBatches, OneOfAnotherCompressionIsCompressedAnew) {
  Bench bench({.compression = "zstd"});
  model::OtlpBatch batch = MakePacked(1);
  const std::string came = Text(batch.packed->bytes);
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].encoding, "zstd");
  EXPECT_EQ(SpansIn(bench.peer.calls[0]), 200u);
}

TEST(PackedBatches, AnEditedOneIsCompressedAnew) {
  Bench bench({.compression = "gzip"});
  model::OtlpBatch batch = MakePacked(1);
  batch.spans[3].dropped = true;
  batch.edited = true;
  (void)bench.Push(std::move(batch));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(SpansIn(bench.peer.calls[0]), 199u);
}

TEST(PackedBatches, SmallOnesTravelTogether) {
  Bench bench({.compression = "gzip"});
  for (uint64_t i = 0; i < 5; ++i) (void)bench.Push(MakePacked(1 + 10 * i, 3));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(SpansIn(bench.peer.calls[0]), 15u);
}

TEST(PackedBatches, OthersWaitForTheirRequestAsBefore) {
  Bench bench({.compression = "gzip"});
  (void)bench.Push(MakeSpans(1, 3));
  (void)bench.Push(MakePacked(1001));
  (void)bench.Push(MakeSpans(2001, 4));
  bench.peer.Advance(seconds(1));
  size_t spans = 0;
  for (const OpenCall& call : bench.peer.calls) spans += SpansIn(call);
  EXPECT_EQ(spans, 207u);
}

// Its sender may have used something that we can read and the collector cannot.
TEST(PackedBatches, OneThatIsRejectedIsCompressedAnewBeforeAnythingIsGivenUp) {
  Bench bench({.compression = "gzip"});
  model::OtlpBatch batch = MakePacked(1);
  const std::string came = Text(batch.packed->bytes);
  (void)bench.Push(std::move(batch));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Fail(3, "cannot decompress");
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_NE(Text(bench.peer.calls[0].payload), came);
  EXPECT_EQ(SpansIn(bench.peer.calls[0]), 200u);
  bench.peer.Succeed();
  EXPECT_EQ(bench.row.out(), 200u);
}

TEST(PackedBatches, OneThatIsTooLargeIsHalved) {
  Bench bench({.compression = "gzip"});
  (void)bench.Push(MakePacked(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  bench.peer.Fail(8, "received message larger than max");
  size_t spans = 0;
  for (const OpenCall& call : bench.peer.calls) {
    EXPECT_LT(SpansIn(call), 200u);
    spans += SpansIn(call);
  }
  EXPECT_EQ(spans, 200u);
}

TEST(PackedBatches, APeerThatWantsNoCompressionGetsNone) {
  Bench bench({.compression = "none"});
  (void)bench.Push(MakePacked(1));
  bench.peer.Advance(seconds(1));
  ASSERT_EQ(bench.peer.calls.size(), 1u);
  EXPECT_EQ(bench.peer.calls[0].encoding, "");
  EXPECT_EQ(SpanIds(bench.peer.calls[0].payload.view()).size(), 200u);
}

TEST(PackedBatches, BothFormsAreCharged) {
  Bench bench({.compression = "gzip"});
  model::OtlpBatch batch = MakePacked(1);
  const uint64_t least = batch.bytes->size() + batch.packed->bytes.size();
  (void)bench.Push(std::move(batch));
  EXPECT_GE(bench.exporter->held_bytes(), least);
}

}  // namespace
}  // namespace weft::exporters::collector
