#include "base/inflate.h"

#include <gtest/gtest.h>

#include <string>

namespace weft::base {
namespace {

constexpr uint64_t kLimit = 64 << 20;

const Compression kAll[] = {Compression::kGzip, Compression::kDeflate, Compression::kZstd,
                            Compression::kLz4, Compression::kSnappy};

ByteBuffer Compress(Compression compression, std::string_view text) {
  ByteBuffer out;
  EXPECT_TRUE(Deflate(compression, AsBytes(text), &out).ok());
  return out;
}

struct Outcome {
  InflateStatus status;
  std::string text;
  uint64_t charged;
};

Outcome Unpack(Compression compression, ByteView in, uint64_t limit = kLimit,
               uint64_t credit_bytes = 1 << 30) {
  ByteCredit credit(credit_bytes);
  ByteBuffer out;
  Outcome outcome;
  outcome.status = Inflate(compression, in, limit, &credit, &out, &outcome.charged);
  outcome.text = AsText(out.view());
  EXPECT_EQ(credit.used(), outcome.charged);
  return outcome;
}

std::string Sample(size_t size) {
  std::string text;
  uint32_t x = 1;
  while (text.size() < size) {
    x = x * 1664525 + 1013904223;
    text += "span " + std::to_string(x % 1000);
  }
  text.resize(size);
  return text;
}

TEST(Inflate, RoundTripsEverySizeAroundTheSteps) {
  for (Compression compression : kAll) {
    for (size_t size : {0, 1, 100, 65535, 65536, 65537, 1 << 20}) {
      std::string text = Sample(size);
      Outcome got = Unpack(compression, Compress(compression, text).view());
      EXPECT_EQ(got.status, InflateStatus::kDone) << CompressionName(compression) << size;
      EXPECT_EQ(got.text, text);
      EXPECT_GE(got.charged, size);
    }
  }
}

TEST(Inflate, PlainBytesPassWithinTheLimit) {
  EXPECT_EQ(Unpack(Compression::kNone, AsBytes("abc"), 3).text, "abc");
  EXPECT_EQ(Unpack(Compression::kNone, AsBytes("abcd"), 3).status, InflateStatus::kTooLarge);
}

// F31: a bomb is refused with no more memory than the limit.
TEST(Inflate, BombIsRefusedAtTheLimit) {
  std::string zeros(256 << 20, '\0');
  for (Compression compression : kAll) {
    ByteBuffer bomb = Compress(compression, zeros);
    ASSERT_LT(bomb.size(), zeros.size() / 20);
    Outcome got = Unpack(compression, bomb.view(), 1 << 20);
    EXPECT_EQ(got.status, InflateStatus::kTooLarge);
    EXPECT_EQ(got.text, "");
    EXPECT_LE(got.charged, (1u << 20) + 1);
  }
}

TEST(Inflate, ExactlyTheLimitIsAllowedAndOneByteMoreIsNot) {
  std::string text = Sample(200'000);
  for (Compression compression : kAll) {
    ByteBuffer in = Compress(compression, text);
    EXPECT_EQ(Unpack(compression, in.view(), 200'000).status, InflateStatus::kDone);
    EXPECT_EQ(Unpack(compression, in.view(), 199'999).status, InflateStatus::kTooLarge);
  }
}

TEST(Inflate, CreditIsTakenBeforeMemory) {
  std::string text = Sample(10 << 20);
  for (Compression compression : kAll) {
    Outcome got = Unpack(compression, Compress(compression, text).view(), kLimit, 1 << 20);
    EXPECT_EQ(got.status, InflateStatus::kNoCredit);
    EXPECT_LE(got.charged, 1u << 20);
    EXPECT_EQ(got.text, "");
  }
}

TEST(Inflate, RoomThatWasNotNeededIsGivenBack) {
  for (size_t size : {0, 1, 5000, 70'000, 3 << 20}) {
    for (Compression compression : kAll) {
      ByteCredit credit(1 << 30);
      ByteBuffer out, in = Compress(compression, Sample(size));
      // A second member is beyond the short cut, which guesses right.
      if (compression == Compression::kGzip) in.Append(Compress(compression, "").view());
      uint64_t charged = 0;
      ASSERT_EQ(Inflate(compression, in.view(), kLimit, &credit, &out, &charged),
                InflateStatus::kDone);
      EXPECT_EQ(AsText(out.view()), Sample(size));
      EXPECT_EQ(charged, out.capacity());
      EXPECT_EQ(charged, credit.used());
      EXPECT_LE(charged, std::max<uint64_t>(size + 4096, size * 4 / 3 + 1)) << size;
    }
  }
}

// F31: truncated.
TEST(Inflate, EveryTruncationIsBad) {
  std::string text = Sample(3000);
  for (Compression compression : kAll) {
    ByteBuffer in = Compress(compression, text);
    for (size_t cut = 0; cut < in.size(); ++cut) {
      ByteBuffer part;
      part.Append(in.view().first(cut));
      // Snappy's frames have no end: what stops between two chunks is whole.
      if (compression == Compression::kSnappy && cut == 10) continue;
      EXPECT_EQ(Unpack(compression, part.view()).status, InflateStatus::kBad)
          << CompressionName(compression) << " cut at " << cut;
    }
  }
}

// F31: trailing garbage, wrong checksum.
TEST(Inflate, GarbageBehindTheStreamIsBad) {
  for (Compression compression : kAll) {
    ByteBuffer in = Compress(compression, "hello");
    in.Append("garbage");
    EXPECT_EQ(Unpack(compression, in.view()).status, InflateStatus::kBad);
  }
}

TEST(Inflate, WrongChecksumIsBad) {
  for (Compression compression : {Compression::kGzip, Compression::kDeflate}) {
    ByteBuffer in = Compress(compression, Sample(1000));
    in.data()[in.size() - (compression == Compression::kGzip ? 5 : 1)] ^= 1;
    EXPECT_EQ(Unpack(compression, in.view()).status, InflateStatus::kBad);
  }
}

TEST(Inflate, LyingSizeInTheGzipTrailerIsBad) {
  ByteBuffer in = Compress(Compression::kGzip, Sample(1000));
  in.data()[in.size() - 1] = 0x7f;
  EXPECT_EQ(Unpack(Compression::kGzip, in.view()).status, InflateStatus::kBad);
  in.data()[in.size() - 1] = 0;
  in.data()[in.size() - 4] ^= 1;
  EXPECT_EQ(Unpack(Compression::kGzip, in.view()).status, InflateStatus::kBad);
}

// F31: concatenated members.
TEST(Inflate, ConcatenatedMembersAreJoined) {
  for (Compression compression :
       {Compression::kGzip, Compression::kZstd, Compression::kLz4, Compression::kSnappy}) {
    ByteBuffer in = Compress(compression, "hello ");
    in.Append(Compress(compression, "").view());
    in.Append(Compress(compression, "world").view());
    Outcome got = Unpack(compression, in.view());
    EXPECT_EQ(got.status, InflateStatus::kDone);
    EXPECT_EQ(got.text, "hello world");
  }
}

TEST(Inflate, ManyMembersTogetherStayUnderTheLimit) {
  ByteBuffer in;
  for (int i = 0; i < 100; ++i) in.Append(Compress(Compression::kGzip, Sample(10'000)).view());
  EXPECT_EQ(Unpack(Compression::kGzip, in.view(), 1'000'000).status, InflateStatus::kDone);
  EXPECT_EQ(Unpack(Compression::kGzip, in.view(), 999'999).status, InflateStatus::kTooLarge);
}

TEST(Inflate, RawDeflateIsAcceptedAsDeflate) {
  ByteBuffer in = Compress(Compression::kDeflate, Sample(1000));
  ByteView raw = in.view().subspan(2, in.size() - 6);
  EXPECT_EQ(Unpack(Compression::kDeflate, raw).text, Sample(1000));
}

TEST(Inflate, ZstdWindowAboveEightMebibytesIsBad) {
  // Magic, a frame header without content size and a window descriptor of 2^27, an empty last
  // block.
  const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00};
  EXPECT_EQ(Unpack(Compression::kZstd, frame).status, InflateStatus::kBad);
  const uint8_t small[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x01, 0x00, 0x00};
  EXPECT_EQ(Unpack(Compression::kZstd, small).status, InflateStatus::kDone);
}

// "hello" in one raw block: its length, a literal's tag, the bytes.
TEST(Inflate, SnappyMayBeOneRawBlock) {
  const std::string block = std::string("\x05\x10", 2) + "hello";
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(block)).text, "hello");
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(block), 5).status, InflateStatus::kDone);
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(block), 4).status, InflateStatus::kTooLarge);
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(block + "x")).status, InflateStatus::kBad);
}

// F31: a block that claims 4 GiB costs nothing.
TEST(Inflate, SnappyClaimsAreNotBelieved) {
  const std::string claim = std::string("\xff\xff\xff\xff\x0f\x10", 6) + "hello";
  Outcome got = Unpack(Compression::kSnappy, AsBytes(claim));
  EXPECT_EQ(got.status, InflateStatus::kBad);
  EXPECT_EQ(got.charged, 0u);
}

// The frame of "abc" as the format's own description has it: stored, with the masked CRC-32C.
TEST(Inflate, SnappyFramesHaveTheirChecksumsAndMayHavePadding) {
  const std::string magic = std::string("\xff\x06\0\0", 4) + "sNaPpY";
  const std::string padding = std::string("\xfe\x03\0\0", 4) + "???";
  // CRC-32C of "123456789" is e3069283 (RFC 3720); masked: (c >> 15 | c << 17) + a282ead8.
  const uint32_t crc = 0xe3069283u, masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
  std::string chunk("\x01\x0d\0\0", 4);
  for (int i = 0; i < 4; ++i) chunk.push_back(static_cast<char>(masked >> 8 * i));
  chunk += "123456789";
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(magic + padding + chunk + chunk)).text,
            "123456789123456789");
  chunk.back() ^= 1;
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(magic + chunk)).status, InflateStatus::kBad);
  EXPECT_EQ(Unpack(Compression::kSnappy, AsBytes(magic + std::string("\x02\0\0\0", 4))).status,
            InflateStatus::kBad)
      << "a chunk that must be understood";
}

TEST(Inflate, SurvivesEveryFlippedBit) {
  std::string text = Sample(500);
  for (Compression compression : kAll) {
    ByteBuffer in = Compress(compression, text);
    for (size_t i = 0; i < in.size() * 8; ++i) {
      in.data()[i / 8] ^= 1 << i % 8;
      Unpack(compression, in.view(), 1 << 20);
      in.data()[i / 8] ^= 1 << i % 8;
    }
  }
}

TEST(Compression, NamesAreThoseOfHttpAndGrpc) {
  Compression c;
  EXPECT_TRUE(CompressionFromName("", &c) && c == Compression::kNone);
  EXPECT_TRUE(CompressionFromName("identity", &c) && c == Compression::kNone);
  EXPECT_TRUE(CompressionFromName("gzip", &c) && c == Compression::kGzip);
  EXPECT_TRUE(CompressionFromName("deflate", &c) && c == Compression::kDeflate);
  EXPECT_TRUE(CompressionFromName("zstd", &c) && c == Compression::kZstd);
  EXPECT_TRUE(CompressionFromName("snappy", &c) && c == Compression::kSnappy);
  EXPECT_TRUE(CompressionFromName("x-snappy-framed", &c) && c == Compression::kSnappy);
  EXPECT_TRUE(CompressionFromName("lz4", &c) && c == Compression::kLz4);
  EXPECT_FALSE(CompressionFromName("br", &c));
}

}  // namespace
}  // namespace weft::base
