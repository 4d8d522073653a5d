#include "net/http/grpc_framing.h"

#include <gtest/gtest.h>

#include "net/http_client.h"

namespace weft::net {
namespace {

TEST(GrpcFraming, Base64HasNoPaddingAndAcceptsIt) {
  for (std::string text : {"", "f", "fo", "foo", "foob", "\xff\xfe\x00x"}) {
    EXPECT_EQ(Base64Decode(Base64Encode(text)), text);
  }
  EXPECT_EQ(Base64Encode("fo"), "Zm8");
  EXPECT_EQ(Base64Decode("Zm8="), "fo");
  EXPECT_FALSE(Base64Decode("Z m8"));
}

TEST(GrpcFraming, RetryInfoIsFoundInWhatWeEncode) {
  std::string details = RetryInfoDetails(14, "busy", std::chrono::milliseconds(1500));
  EXPECT_EQ(FindRetryDelay(base::AsBytes(details)), std::chrono::milliseconds(1500));
  EXPECT_FALSE(FindRetryDelay(base::AsBytes(std::string_view("\x08\x0e"))));
}

TEST(GrpcFraming, DamagedStatusDetailsGiveNoDelay) {
  std::string details = RetryInfoDetails(14, "busy", std::chrono::seconds(1));
  for (size_t i = 0; i < details.size(); ++i) {
    FindRetryDelay(base::AsBytes(std::string_view(details).substr(0, i)));
    std::string flipped = details;
    flipped[i] = static_cast<char>(~flipped[i]);
    auto delay = FindRetryDelay(base::AsBytes(flipped));
    if (delay) {
      EXPECT_LE(*delay, std::chrono::hours(25));
    }
  }
}

TEST(GrpcFraming, ContentTypeIsGrpcButNotGrpcWeb) {
  EXPECT_TRUE(IsGrpcContentType("application/grpc"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc+proto"));
  EXPECT_TRUE(IsGrpcContentType("application/grpc;x=y"));
  EXPECT_FALSE(IsGrpcContentType("application/grpc-web"));
  EXPECT_FALSE(IsGrpcContentType("application/json"));
}

// One message fed in two parts, cut at `cut`.
Refusal FeedSplit(std::string_view stream, size_t cut, BodyIntake* body) {
  GrpcUnaryReader reader;
  Refusal first = reader.Feed(base::AsBytes(stream.substr(0, cut)), 0, body);
  if (first != Refusal::kNone) return first;
  Refusal second = reader.Feed(base::AsBytes(stream.substr(cut)), 0, body);
  return second != Refusal::kNone ? second : reader.Finish("", body);
}

TEST(GrpcUnaryReader, SplitAtEveryByteGivesTheSameMessage) {
  base::ByteCredit credit(1000);
  std::string stream(
      "\0\0\0\0\x03"
      "abc",
      8);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    BodyIntake body(credit, 100);
    EXPECT_EQ(FeedSplit(stream, cut, &body), Refusal::kNone);
    EXPECT_EQ(base::AsText(body.TakeBytes().view()), "abc");
    BodyIntake two(credit, 100);
    EXPECT_EQ(FeedSplit(stream + stream, cut, &two), Refusal::kManyMessages);
    BodyIntake cut_off(credit, 100);
    EXPECT_EQ(FeedSplit(std::string_view(stream).substr(0, 7), std::min<size_t>(cut, 7), &cut_off),
              Refusal::kTruncated);
  }
  EXPECT_EQ(credit.used(), 0u);
}

TEST(GrpcUnaryReader, RefusesWhatTheLimitsAndTheFlagsForbid) {
  base::ByteCredit credit(8);
  BodyIntake body(credit, 100);
  EXPECT_EQ(FeedSplit(std::string("\0\0\0\0\x65", 5), 2, &body), Refusal::kTooLarge);
  EXPECT_EQ(FeedSplit(std::string("\2\0\0\0\0", 5), 2, &body), Refusal::kBadFraming);
  EXPECT_EQ(FeedSplit(std::string("\1\0\0\0\0", 5), 2, &body), Refusal::kBadFraming);
  EXPECT_EQ(FeedSplit(std::string("\0\0\0\0\x0a 123456789", 15), 2, &body), Refusal::kNoCredit);
}

// An announced length reserves little until bytes have come (no allocation above 4× the input).
TEST(BodyIntake, AnnouncementAloneReservesLittle) {
  base::ByteCredit credit(64 << 20);
  BodyIntake body(credit, 64 << 20);
  EXPECT_EQ(body.Announce(60 << 20, 0), Refusal::kNone);
  EXPECT_LE(body.TakeBytes().capacity(), 16u << 10);
}

// What a connection has delivered before does not let each of its streams reserve that much again.
TEST(BodyIntake, TrustEndsAtOneMebibyteAndIsPaidFor) {
  base::ByteCredit credit(3 << 20);
  BodyIntake first(credit, 64 << 20), second(credit, 64 << 20), third(credit, 64 << 20);
  for (BodyIntake* body : {&first, &second, &third}) {
    EXPECT_EQ(body->Announce(60 << 20, 60 << 20), Refusal::kNone);
  }
  EXPECT_EQ(credit.used(), 3u << 20);
  BodyIntake fourth(credit, 64 << 20);
  EXPECT_EQ(fourth.Announce(60 << 20, 60 << 20), Refusal::kNoCredit);
  EXPECT_EQ(fourth.TakeBytes().capacity(), 0u);
  std::string part(1000, 'x');
  EXPECT_EQ(first.Append(base::AsBytes(part)), Refusal::kNone) << "paid twice";
  EXPECT_EQ(credit.used(), 3u << 20);
  EXPECT_LE(first.TakeBytes().capacity(), 1u << 20);
  second.Drop();
  third.Drop();
  EXPECT_EQ(credit.used(), 0u);
}

TEST(SplitHostPort, ReadsTheUsualForms) {
  using Pair = std::pair<std::string, uint16_t>;
  EXPECT_EQ(*SplitHostPort("127.0.0.1:4317"), Pair("127.0.0.1", 4317));
  EXPECT_EQ(*SplitHostPort("[::1]:4317"), Pair("::1", 4317));
  EXPECT_EQ(*SplitHostPort("http://host:80/x"), Pair("host", 80));
  EXPECT_EQ(*SplitHostPort("grpc://host:1"), Pair("host", 1));
  EXPECT_EQ(*SplitHostPort(":9"), Pair("", 9));
  for (const char* bad :
       {"", "host", "host:", "host:x", "host:65536", "::1:80", "[::1:80", "host:-1"}) {
    EXPECT_FALSE(SplitHostPort(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace weft::net
