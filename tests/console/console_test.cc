// The whole room over real sockets on free ports.
#include "console/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "console/fake_traces.h"
#include "net/http_client.h"

namespace weft::console {
namespace {

using testing::HasSubstr;
constexpr std::chrono::milliseconds kPatience(10'000);

class ConsoleTest : public testing::Test {
 protected:
  ConsoleTest()
      : console_({.admin_endpoint = "127.0.0.1:0", .query_endpoint = "127.0.0.1:0"},
                 {.clock = clock_,
                  .ledger = ledger_,
                  .metrics = metrics_,
                  .traces = &traces_,
                  .version = "1.2.3",
                  .status = [] { return std::string("{}"); }}) {}
  net::HttpReply Fetch(uint16_t port, const std::string& target) {
    auto reply = net::HttpGet("127.0.0.1:" + std::to_string(port), target, kPatience);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : net::HttpReply{};
  }

  base::SystemClock clock_;
  base::Ledger ledger_;
  base::MetricRegistry metrics_;
  FakeTraces traces_;
  Console console_;
};

TEST_F(ConsoleTest, ServesBothPortsUntilItIsStopped) {
  ASSERT_TRUE(console_.Start().ok());
  const uint16_t admin = console_.admin_port(), query = console_.query_port();
  ASSERT_NE(admin, 0);
  ASSERT_NE(query, 0);
  EXPECT_EQ(Fetch(admin, "/healthz").body, "ok\n");
  EXPECT_THAT(Fetch(admin, "/metrics").body,
              HasSubstr("weft_console_requests_total{port=\"admin\"} 2"));
  EXPECT_THAT(Fetch(admin, "/metrics").body, HasSubstr("weft_build_info{version=\"1.2.3\"} 1\n"));
  EXPECT_EQ(Fetch(query, "/api/services").status, 200);
  EXPECT_THAT(Fetch(query, "/").content_type, HasSubstr("text/html"));
  EXPECT_EQ(Fetch(query, "/metrics").status, 404);
  console_.Stop();
  console_.Stop();
  EXPECT_FALSE(
      net::HttpGet("127.0.0.1:" + std::to_string(admin), "/healthz", std::chrono::milliseconds(500))
          .ok());
}

TEST_F(ConsoleTest, StopWithoutStartAndStartAfterStop) {
  console_.Stop();
  ASSERT_TRUE(console_.Start().ok());
  EXPECT_FALSE(console_.Start().ok());
  console_.Stop();
  ASSERT_TRUE(console_.Start().ok());
  EXPECT_EQ(Fetch(console_.admin_port(), "/healthz").status, 200);
}

TEST_F(ConsoleTest, AnEndpointInUseIsAnErrorThatNamesTheSetting) {
  ASSERT_TRUE(console_.Start().ok());
  Console second({.admin_endpoint = "127.0.0.1:0",
                  .query_endpoint = "127.0.0.1:" + std::to_string(console_.query_port())},
                 {.clock = clock_, .ledger = ledger_, .metrics = metrics_});
  base::Status status = second.Start();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("console.query.endpoint"));
}

TEST_F(ConsoleTest, ManyClientsAtOnceAreAllAnswered) {
  ASSERT_TRUE(console_.Start().ok());
  std::atomic<int> good{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int k = 0; k < 20; ++k) good += Fetch(console_.query_port(), "/page.js").status == 200;
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(good, 160);
}

TEST(ConsoleOptions, DescribeNamesTheTwoEndpoints) {
  Options options;
  base::ConfigBlock block = Describe(options);
  EXPECT_EQ(block.name, "console");
  ASSERT_EQ(block.fields.size(), 2u);
  EXPECT_EQ(block.fields[0].key, "admin.endpoint");
  EXPECT_EQ(*std::get<std::string*>(block.fields[0].value), "127.0.0.1:14271");
  EXPECT_EQ(block.fields[1].key, "query.endpoint");
  EXPECT_EQ(*std::get<std::string*>(block.fields[1].value), "127.0.0.1:16686");
}

}  // namespace
}  // namespace weft::console
