#include "base/bytes.h"

#include <gtest/gtest.h>

namespace weft::base {
namespace {

TEST(ByteBuffer, GrowsByDoublingAndKeepsItsContent) {
  ByteBuffer b;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    b.Append("abc");
    b.Push('d');
    expected += "abcd";
  }
  EXPECT_EQ(AsText(b.view()), expected);
  EXPECT_LT(b.capacity(), 2 * b.size());
}

TEST(ByteBuffer, MoveLeavesAnEmptyBuffer) {
  ByteBuffer a;
  a.Append("abc");
  ByteBuffer b(std::move(a));
  EXPECT_EQ(AsText(b.view()), "abc");
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move)
  a.Append("x");
  b = std::move(a);
  EXPECT_EQ(AsText(b.view()), "x");
}

TEST(ByteBuffer, AppendOfNothingToNothingIsNothing) {
  ByteBuffer b;
  b.Append(ByteView{});
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(b.data(), nullptr);
}

TEST(Gathered, AddsPiecesAndLeavesOutEmptyOnes) {
  Gathered a, b;
  a.Add(AsBytes("abc"));
  a.Add(ByteView{});
  b.Add(AsBytes("de"));
  b.owners.push_back(std::make_shared<int>(1));
  a.Add(std::move(b));
  EXPECT_EQ(a.pieces.size(), 2u);
  EXPECT_EQ(a.owners.size(), 1u);
  EXPECT_EQ(a.size, 5u);
}

TEST(ByteReader, ReadsNumbersInNetworkOrder) {
  const uint8_t raw[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  ByteReader r(raw);
  EXPECT_EQ(r.U8(), 1);
  EXPECT_EQ(r.BigU16(), 0x0203);
  EXPECT_EQ(r.BigU32(), 0x04050607u);
  EXPECT_EQ(r.BigU64(), 0x08090a0b0c0d0e0full);
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.left(), 0u);
}

TEST(ByteReader, ReadPastTheEndFailsForGood) {
  const uint8_t raw[] = {1, 2, 3};
  ByteReader r(raw);
  EXPECT_EQ(r.BigU32(), 0u);
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.U8(), 0);
  ByteReader q(raw);
  EXPECT_TRUE(q.Take(UINT64_MAX).empty());
  EXPECT_FALSE(q.ok());
}

}  // namespace
}  // namespace weft::base
