// The exporter on the real client, against a server that is not ours.
#include "exporters/collector/grpc_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "exporters/collector/counting_server.h"
#include "net/event_loop.h"

namespace weft::exporters::collector {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Agent {
  explicit Agent(Options options) {
    auto opened = Open(loop, std::move(options), {row, metrics, clock});
    EXPECT_TRUE(opened.ok()) << opened.status();
    if (opened.ok()) exporter = *std::move(opened);
  }
  // Runs the loop until everything that was pushed is settled; false when it takes too long.
  bool Settle() {
    bool settled = false;
    auto poll = loop.RunEvery(milliseconds(5), [&] {
      if (!exporter->idle()) return;
      settled = true;
      loop.Stop();
    });
    auto limit = loop.RunAfter(seconds(20), [&] { loop.Stop(); });
    loop.Run();
    loop.Cancel(poll);
    loop.Cancel(limit);
    return settled;
  }

  net::EventLoop loop;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  base::SystemClock clock;
  std::unique_ptr<Collector> exporter;
};

std::string Address(const CountingServer& server) {
  return "127.0.0.1:" + std::to_string(server.port());
}

std::vector<uint64_t> Sorted(std::vector<uint64_t> ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<uint64_t> UpTo(uint64_t last) {
  std::vector<uint64_t> ids(last);
  std::iota(ids.begin(), ids.end(), 1);
  return ids;
}

TEST(CollectorOverGrpc, AGrpcServerGetsEverySpanOnce) {
  for (const char* compression : {"none", "gzip"}) {
    CountingServer server;
    Agent agent({.endpoint = Address(server),
                 .compression = compression,
                 .flush_milliseconds = 10,
                 .headers = {"X-Tenant: blue"}});
    for (uint64_t i = 0; i < 20; ++i)
      ASSERT_EQ(agent.exporter->Push(MakeSpans(1 + 500 * i, 500, 400)), model::PushResult::kTaken);
    ASSERT_TRUE(agent.Settle());
    EXPECT_EQ(Sorted(server.ids()), UpTo(10'000));
    EXPECT_EQ(server.methods()[0], "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    EXPECT_EQ(server.header(), "blue");
    EXPECT_EQ(agent.row.out(), 10'000u);
  }
}

TEST(CollectorOverGrpc, F6_UnavailableIsRepeatedUntilTaken) {
  CountingServer server;
  server.unavailable = 3;
  Agent agent({.endpoint = Address(server), .flush_milliseconds = 10});
  (void)agent.exporter->Push(MakeSpans(1, 50));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(server.ids(), UpTo(50));
}

TEST(CollectorOverGrpc, F12_TheLimitOfARealServerIsFoundByHalving) {
  CountingServer server;
  Agent agent({.endpoint = Address(server), .max_batch_bytes = 32 << 20, .flush_milliseconds = 10});
  (void)agent.exporter->Push(MakeSpans(1, 9000, 1000));
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(Sorted(server.ids()), UpTo(9000));
  EXPECT_EQ(agent.row.lost_total(), 0u);
}

TEST(CollectorOverGrpc, F1_ACollectorThatComesLateGetsWhatWaited) {
  int port = CountingServer().port();  // free again
  Agent agent({.endpoint = "127.0.0.1:" + std::to_string(port), .flush_milliseconds = 10});
  (void)agent.exporter->Push(MakeSpans(1, 30));
  agent.loop.RunAfter(milliseconds(300), [&] { agent.loop.Stop(); });
  agent.loop.Run();
  EXPECT_EQ(agent.row.held(), 30);
  CountingServer server(port);
  ASSERT_EQ(server.port(), port);
  ASSERT_TRUE(agent.Settle());
  EXPECT_EQ(server.ids(), UpTo(30));
}

TEST(CollectorOverGrpc, DrainAgainstNobodyEndsAtItsDeadline) {
  Agent agent({.endpoint = "127.0.0.1:1"});
  (void)agent.exporter->Push(MakeSpans(1, 30));
  bool done = false;
  agent.exporter->Drain(milliseconds(400), [&] {
    done = true;
    agent.loop.Stop();
  });
  auto limit = agent.loop.RunAfter(seconds(10), [&] { agent.loop.Stop(); });
  agent.loop.Run();
  agent.loop.Cancel(limit);
  EXPECT_TRUE(done);
  EXPECT_EQ(agent.row.lost_total(), 30u);
  EXPECT_TRUE(agent.row.Balanced());
}

TEST(CollectorOverGrpc, WhatCannotBeReadIsRefusedAtOnce) {
  net::EventLoop loop;
  base::LedgerRow row{"exporter collector", "spans"};
  base::MetricRegistry metrics;
  base::SystemClock clock;
  EXPECT_FALSE(Open(loop, {.endpoint = "nonsense:port:x"}, {row, metrics, clock}).ok());
  EXPECT_FALSE(
      Open(loop, {.endpoint = "127.0.0.1:1", .headers = {"no colon"}}, {row, metrics, clock}).ok());
  EXPECT_FALSE(
      Open(loop, {.endpoint = "127.0.0.1:1", .headers = {"a: b\r\nc: d"}}, {row, metrics, clock})
          .ok());
}

}  // namespace
}  // namespace weft::exporters::collector
