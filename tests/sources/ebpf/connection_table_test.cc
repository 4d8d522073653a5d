#include "sources/ebpf/connection_table.h"

#include <gtest/gtest.h>

namespace weft::sources::ebpf {
namespace {

constexpr uint64_t kOurs = 1, kPod = 2, kOtherPod = 3;

model::Endpoint At(uint8_t last, uint16_t port) {
  const uint8_t address[4] = {10, 0, 0, last};
  return model::Endpoint::V4(address, port);
}

Announcement Socket(model::ConnectionId id, const model::Endpoint& local, uint64_t netns,
                    uint32_t pid) {
  Announcement a;
  a.connection.id = id;
  a.connection.netns = netns;
  a.connection.local = local;
  auto process = std::make_shared<model::Process>();
  process->key.pid = pid;
  a.process = process;
  return a;
}

uint32_t Pid(const model::ProcessRef& process) { return process ? process->key.pid : 0; }

TEST(ConnectionTable, FindsUntilSomeSecondsAfterClose) {
  ConnectionTable table(100, kOurs);
  table.Add(Socket(7, At(1, 80), kOurs, 42));
  table.Close(7, 1'000);
  table.Expire(1'000 + ConnectionTable::kLingerNs - 1);
  EXPECT_NE(table.Find(7), nullptr);
  EXPECT_EQ(Pid(table.TcpPeer(At(1, 80))), 42u);
  table.Expire(1'000 + ConnectionTable::kLingerNs);
  EXPECT_EQ(table.Find(7), nullptr);
  EXPECT_EQ(table.TcpPeer(At(1, 80)), nullptr);
}

TEST(ConnectionTable, ForgetsTheOldestWhenFull) {
  ConnectionTable table(3, kOurs);
  for (uint64_t id = 1; id <= 5; ++id) table.Add(Socket(id, At(1, id), kOurs, id));
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(table.evicted(), 2u);
  EXPECT_EQ(table.Find(2), nullptr);
  EXPECT_NE(table.Find(3), nullptr);
}

TEST(ConnectionTable, WhatIsInUseOutlivesWhatIsNot) {
  ConnectionTable table(3, kOurs);
  table.Add(Socket(1, At(1, 1), kOurs, 1));
  for (uint64_t id = 2; id <= 100; ++id) {
    table.Add(Socket(id, At(1, static_cast<uint16_t>(id)), kOurs, static_cast<uint32_t>(id)));
    ASSERT_NE(table.Find(1), nullptr) << id;
  }
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(table.evicted(), 97u);
}

TEST(ConnectionTable, ClosedSocketsMakeRoomFirst) {
  ConnectionTable table(3, kOurs);
  for (uint16_t id = 1; id <= 3; ++id) table.Add(Socket(id, At(1, id), kOurs, id));
  ASSERT_NE(table.Find(3), nullptr);
  table.Close(3, 0);
  table.Add(Socket(4, At(1, 4), kOurs, 4));
  EXPECT_EQ(table.Find(3), nullptr);
  EXPECT_NE(table.Find(1), nullptr);
}

// Nobody says that a UDP socket is gone, and each lookup of a name makes one.
TEST(ConnectionTable, UdpSocketsNeverMakeATcpConnectionGo) {
  ConnectionTable table(8, kOurs);
  table.Add(Socket(1, At(1, 1), kOurs, 1));
  Announcement agent = Socket(2, At(1, 6831), kOurs, 2);
  agent.is_udp = true;
  table.Add(agent);
  for (uint16_t id = 3; id < 1'000; ++id) {
    Announcement resolver = Socket(id, At(2, id), kOurs, id);
    resolver.is_udp = true;
    table.Add(resolver);
    ASSERT_EQ(Pid(table.UdpPeer(At(1, 6831))), 2u) << id;
  }
  EXPECT_NE(table.Find(1), nullptr);
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(table.evicted(), 0u);
}

TEST(ConnectionTable, ASocketAnnouncedAnewAfterItsCloseLives) {
  ConnectionTable table(8, kOurs);
  table.Add(Socket(1, At(1, 1), kOurs, 1));
  table.Close(1, 0);
  table.Add(Socket(1, At(1, 1), kOurs, 1));
  table.Expire(ConnectionTable::kLingerNs);
  EXPECT_NE(table.Find(1), nullptr);
}

TEST(ConnectionTable, AnAddressInSeveralNamespacesMeansOurs) {
  ConnectionTable table(100, kOurs);
  table.Add(Socket(1, At(1, 80), kPod, 10));
  EXPECT_EQ(Pid(table.TcpPeer(At(1, 80))), 10u);
  table.Add(Socket(2, At(1, 80), kOtherPod, 11));
  EXPECT_EQ(table.TcpPeer(At(1, 80)), nullptr);
  table.Add(Socket(3, At(1, 80), kOurs, 12));
  EXPECT_EQ(Pid(table.TcpPeer(At(1, 80))), 12u);
}

TEST(ConnectionTable, AReusedAddressBelongsToTheNewest) {
  ConnectionTable table(100, kOurs);
  table.Add(Socket(1, At(1, 80), kOurs, 10));
  table.Close(1, 0);
  table.Add(Socket(2, At(1, 80), kOurs, 11));
  table.Expire(ConnectionTable::kLingerNs);
  EXPECT_EQ(Pid(table.TcpPeer(At(1, 80))), 11u);
}

TEST(ConnectionTable, AnAcceptedSocketIsNoClient) {
  ConnectionTable table(100, kOurs);
  Announcement server = Socket(1, At(1, 80), kOurs, 10);
  server.is_server_side = true;
  table.Add(server);
  EXPECT_EQ(table.TcpPeer(At(1, 80)), nullptr);
  EXPECT_NE(table.Find(1), nullptr);
}

TEST(ConnectionTable, AUdpSocketBoundToAnyAddressCounts) {
  ConnectionTable table(100, kOurs);
  model::Endpoint any;
  any.family = 6;
  any.port = 5000;
  Announcement sender = Socket(1, any, kOurs, 10);
  sender.is_udp = true;
  table.Add(sender);
  EXPECT_EQ(Pid(table.UdpPeer(At(1, 5000))), 10u);
  EXPECT_EQ(table.UdpPeer(At(1, 5001)), nullptr);
  EXPECT_EQ(table.TcpPeer(At(1, 5000)), nullptr);
}

TEST(ConnectionTable, MarkedEntriesAreReportedWhenTheyGo) {
  ConnectionTable table(100, kOurs);
  std::vector<model::ConnectionId> gone;
  table.OnForget([&](model::ConnectionId id) { gone.push_back(id); });
  table.Add(Socket(1, At(1, 80), kOurs, 10));
  table.Add(Socket(2, At(1, 81), kOurs, 10));
  EXPECT_TRUE(table.MarkMessageEnd(1));
  EXPECT_FALSE(table.MarkMessageEnd(9));
  table.Close(1, 0);
  table.Close(2, 0);
  table.Expire(ConnectionTable::kLingerNs);
  EXPECT_EQ(gone, std::vector<model::ConnectionId>{1});
}

}  // namespace
}  // namespace weft::sources::ebpf
