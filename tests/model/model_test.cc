// The vocabulary: endpoints, receipts, attribute lists.
#include <gtest/gtest.h>

#include "base/credit.h"
#include "model/endpoint.h"
#include "model/lookup.h"
#include "model/otlp_batch.h"
#include "model/parser.h"
#include "model/receipt.h"
#include "model/segment.h"
#include "model/sink.h"
#include "model/span.h"

namespace weft::model {
namespace {

// T16: both ends of a dual-stack connection compare equal.
TEST(Endpoint, MappedIpv6IsIpv4) {
  const uint8_t v4[4] = {10, 1, 2, 3};
  const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
  EXPECT_EQ(Endpoint::V4(v4, 80), Endpoint::V6(mapped, 80));
  EXPECT_EQ(EndpointHash()(Endpoint::V4(v4, 80)), EndpointHash()(Endpoint::V6(mapped, 80)));
  EXPECT_EQ(Endpoint::V6(mapped, 80).AddressText(), "10.1.2.3");
}

TEST(Endpoint, KnowsLoopback) {
  const uint8_t v4[4] = {127, 0, 0, 2}, other[4] = {10, 0, 0, 1};
  const uint8_t v6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_TRUE(Endpoint::V4(v4, 1).IsLoopback());
  EXPECT_FALSE(Endpoint::V4(other, 1).IsLoopback());
  EXPECT_TRUE(Endpoint::V6(v6, 1).IsLoopback());
  EXPECT_EQ(Endpoint::V6(v6, 1).AddressText(), "::1");
  EXPECT_FALSE(Endpoint().known());
  EXPECT_EQ(Endpoint().AddressText(), "");
}

TEST(Receipt, LastHolderReturnsTheCredit) {
  base::ByteCredit credit(100);
  ASSERT_TRUE(credit.Take(30));
  auto receipt = std::make_shared<Receipt>(&credit, 30);
  OtlpBatch first, second;
  first.receipt = second.receipt = receipt;
  receipt.reset();
  first.receipt->Reach(ReceiptLevel::kDelivered);
  EXPECT_EQ(second.receipt->level(), ReceiptLevel::kDelivered);
  first = OtlpBatch();
  EXPECT_EQ(credit.used(), 30u);
  second = OtlpBatch();
  EXPECT_EQ(credit.used(), 0u);
}

TEST(AttributeList, KeepsOrderAndKinds) {
  AttributeList list;
  list.Add("url.path", std::string_view("/a"));
  list.Add("http.response.status_code", int64_t{200});
  list.AddBool("weft.partial", true);
  list.Add("empty", std::string_view(""));
  list.Add("server.address", std::string_view("localhost"));
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(std::get<std::string_view>(list.value(0)), "/a");
  EXPECT_EQ(std::get<int64_t>(list.value(1)), 200);
  EXPECT_EQ(std::get<bool>(list.value(2)), true);
  EXPECT_EQ(std::get<std::string_view>(list.value(3)), "");
  EXPECT_EQ(list.key(4), "server.address");
  EXPECT_EQ(std::get<std::string_view>(list.value(4)), "localhost");
  EXPECT_GE(list.bytes(), 11u);
}

// F46: a pid that is used again is another process.
TEST(ProcessKey, StartTimeTellsReusedPidsApart) {
  ProcessKey a{7, 100}, b{7, 200};
  EXPECT_NE(a, b);
  EXPECT_NE(ProcessKeyHash()(a), ProcessKeyHash()(b));
}

}  // namespace
}  // namespace weft::model
