#include "sources/jaeger_udp/client_losses.h"

#include <gtest/gtest.h>

#include <limits>

namespace weft::sources::jaeger_udp {
namespace {

constexpr uint64_t kMinuteNs = 60'000'000'000;

class ClientLossesTest : public ::testing::Test {
 protected:
  void Note(std::string_view client, int64_t sequence, int64_t full, int64_t large,
            int64_t failed) {
    losses_.Note({true, client, sequence, full, large, failed}, now_ns_);
  }
  double Value(const std::string& name, const base::Labels& labels = {}) {
    for (const auto& sample : metrics_.Snapshot()) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
    return -1;
  }
  double Dropped(const char* cause) {
    return Value("jaeger_agent_client_stats_spans_dropped_total", {{"cause", cause}});
  }

  base::MetricRegistry metrics_;
  ClientLosses losses_{metrics_};
  uint64_t now_ns_ = kMinuteNs;
};

TEST_F(ClientLossesTest, DifferencesAreCountedAndTheFirstBatchIsTheBaseLine) {
  Note("a", 10, 100, 200, 300);
  EXPECT_EQ(Dropped("full-queue"), 0);
  Note("a", 12, 101, 202, 303);
  EXPECT_EQ(Dropped("full-queue"), 1);
  EXPECT_EQ(Dropped("too-large"), 2);
  EXPECT_EQ(Dropped("send-failure"), 3);
  EXPECT_EQ(Value("jaeger_agent_client_stats_batches_received_total"), 2);
  EXPECT_EQ(Value("jaeger_agent_client_stats_batches_sent_total"), 2);
  EXPECT_EQ(Value("jaeger_agent_client_stats_connected_clients"), 1);
}

TEST_F(ClientLossesTest, BatchesOutOfOrderAreIgnored) {
  Note("a", 10, 5, 0, 0);
  Note("a", 9, 50, 0, 0);
  Note("a", 10, 50, 0, 0);
  EXPECT_EQ(Dropped("full-queue"), 0);
  Note("a", 11, 6, 0, 0);
  EXPECT_EQ(Dropped("full-queue"), 1);
}

TEST_F(ClientLossesTest, ClientsAreKeptApartAndForgottenAfterAnHour) {
  Note("a", 1, 0, 0, 0);
  Note("b", 1, 7, 0, 0);
  EXPECT_EQ(losses_.clients(), 2u);
  now_ns_ += 50 * kMinuteNs;
  Note("b", 2, 8, 0, 0);
  now_ns_ += 20 * kMinuteNs;
  Note("b", 3, 9, 0, 0);
  EXPECT_EQ(losses_.clients(), 1u);
  EXPECT_EQ(Dropped("full-queue"), 2);
}

TEST_F(ClientLossesTest, NonsenseIsBounded) {
  for (int i = 0; i < 3000; ++i) Note("client " + std::to_string(i), 1, 0, 0, 0);
  EXPECT_EQ(losses_.clients(), ClientLosses::kMaxClients);
  Note(std::string(1000, 'x'), 1, 0, 0, 0);
  Note("", 1, 0, 0, 0);
  EXPECT_EQ(losses_.clients(), ClientLosses::kMaxClients);
  Note("client 0", 2, std::numeric_limits<int64_t>::max(), -5, std::numeric_limits<int64_t>::min());
  Note("client 0", 3, 1, 5, 5);
  EXPECT_EQ(Dropped("full-queue"), 0);
  losses_.Note({}, now_ns_);
}

}  // namespace
}  // namespace weft::sources::jaeger_udp
