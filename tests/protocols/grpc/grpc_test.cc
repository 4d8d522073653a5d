#include "protocols/grpc/grpc.h"

#include <gtest/gtest.h>

namespace weft::protocols::grpc {
namespace {

using namespace std::string_view_literals;

TEST(Grpc, KindIsTheWholeTypeNotItsBeginning) {  // T58
  EXPECT_EQ(KindOf("application/grpc"), Kind::kGrpc);
  EXPECT_EQ(KindOf("application/grpc+proto; charset=utf-8"), Kind::kGrpc);
  EXPECT_EQ(KindOf("Application/GRPC;x"), Kind::kGrpc);
  EXPECT_EQ(KindOf("application/grpc-web+proto"), Kind::kWeb);
  EXPECT_EQ(KindOf("application/grpc-web-text"), Kind::kWebText);
  EXPECT_EQ(KindOf("application/grpcfoo"), Kind::kNone);
  EXPECT_EQ(KindOf("application/grpc-web-texts"), Kind::kNone);
  EXPECT_EQ(KindOf("application/json"), Kind::kNone);
  EXPECT_EQ(KindOf(""), Kind::kNone);
}

TEST(Grpc, PathNamesServiceAndMethod) {
  Method method;
  ASSERT_TRUE(ParsePath("/shop.v1.Cart/Add", &method));
  EXPECT_EQ(method.service, "shop.v1.Cart");
  EXPECT_EQ(method.method, "Add");
  EXPECT_EQ(method.full, "shop.v1.Cart/Add");
  for (std::string_view bad : {"", "/", "/a", "/a/", "//", "//b", "a/b", "/a/b?c", "/a b/c"}) {
    EXPECT_FALSE(ParsePath(bad, &method)) << bad;
  }
}

TEST(Grpc, StatusHasANameAndKnowsItsOwner) {
  EXPECT_EQ(ParseStatus("0"), 0u);
  EXPECT_EQ(ParseStatus(" 16 "), 16u);
  EXPECT_EQ(ParseStatus("99"), 99u);
  for (std::string_view bad : {"", "-1", "1a", "4294967296", "OK"}) {
    EXPECT_EQ(ParseStatus(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(StatusName(0), "OK");
  EXPECT_EQ(StatusName(1), "CANCELLED");
  EXPECT_EQ(StatusName(4), "DEADLINE_EXCEEDED");
  EXPECT_EQ(StatusName(16), "UNAUTHENTICATED");
  EXPECT_EQ(StatusName(17), "");
  for (uint32_t status = 0; status <= kMaxStatus; ++status) {
    const bool is_error = status == 2 || status == 4 || status == 12 || status >= 13;
    EXPECT_EQ(IsServerError(status), is_error && status != 16) << status;
  }
}

TEST(Grpc, WithoutAStatusTheTransportTells) {  // T58
  EXPECT_EQ(StatusName(StatusFromHttp(503)), "UNAVAILABLE");
  EXPECT_EQ(StatusName(StatusFromHttp(404)), "UNIMPLEMENTED");
  EXPECT_EQ(StatusName(StatusFromHttp(200)), "UNKNOWN");
  EXPECT_EQ(StatusName(StatusFromReset(8)), "CANCELLED");
  EXPECT_EQ(StatusName(StatusFromReset(7)), "UNAVAILABLE");
  EXPECT_EQ(StatusName(StatusFromReset(2)), "INTERNAL");
  EXPECT_EQ(StatusName(StatusFromReset(0xb)), "RESOURCE_EXHAUSTED");
}

TEST(Grpc, MessageIsPercentDecodedAndBounded) {  // T58
  EXPECT_EQ(DecodeMessage("no%20such%C3%A9"), "no such\xc3\xa9");
  EXPECT_EQ(DecodeMessage("100%"), "100%");
  EXPECT_EQ(DecodeMessage("%zz%4"), "%zz%4");
  EXPECT_EQ(DecodeMessage("%41%42%43", 2), "AB");
}

TEST(Grpc, TimeoutsHaveUnits) {
  EXPECT_EQ(ParseTimeout("5S"), 5'000'000'000u);
  EXPECT_EQ(ParseTimeout("100m"), 100'000'000u);
  EXPECT_EQ(ParseTimeout("7u"), 7'000u);
  EXPECT_GT(ParseTimeout("99999999H"), 1'000'000ull * 3600 * 1'000'000'000);  // no overflow
  for (std::string_view bad : {"", "5", "S", "5s", "-5S", "999999999S"}) {
    EXPECT_EQ(ParseTimeout(bad), std::nullopt) << bad;
  }
}

TEST(Grpc, WebTrailersAreTheLastFrameOfTheBody) {  // gRPC-Web over HTTP/1.1
  const std::string text = "grpc-status: 5\r\nGrpc-Message:not%20here\r\n";
  const std::string body = std::string("\0\0\0\0\3abc", 8) + std::string("\x80\0\0\0", 4) +
                           static_cast<char>(text.size()) + text;
  WebTrailers trailers;
  ASSERT_TRUE(FindWebTrailers(base::AsBytes(body), &trailers));
  EXPECT_EQ(trailers.status, "5");
  EXPECT_EQ(trailers.message, "not%20here");
  for (size_t size = 0; size < body.size(); ++size) {
    EXPECT_FALSE(FindWebTrailers(base::AsBytes(std::string_view(body).substr(0, size)), &trailers));
  }
}

}  // namespace
}  // namespace weft::protocols::grpc
