#include "net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "net/udp.h"

namespace weft::net {
namespace {

using std::chrono::milliseconds;

TEST(EventLoop, TimersRunInOrderAndCancelledOnesDoNot) {
  EventLoop loop;
  std::vector<int> ran;
  loop.RunAfter(milliseconds(6), [&] { ran.push_back(2); });
  loop.RunAfter(milliseconds(1), [&] { ran.push_back(1); });
  auto cancelled = loop.RunAfter(milliseconds(3), [&] { ran.push_back(9); });
  loop.Cancel(cancelled);
  loop.RunAfter(milliseconds(10), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
}

TEST(EventLoop, PeriodicTimerMayCancelItself) {
  EventLoop loop;
  int ran = 0;
  EventLoop::TimerId id = 0;
  id = loop.RunEvery(milliseconds(1), [&] {
    if (++ran == 3) {
      loop.Cancel(id);
      loop.RunAfter(milliseconds(5), [&] { loop.Stop(); });
    }
  });
  loop.Run();
  EXPECT_EQ(ran, 3);
}

TEST(EventLoop, StopBeforeRunEndsThatRun) {
  EventLoop loop;
  loop.Stop();
  loop.Run();
  bool ran = false;
  loop.Post([&] {
    ran = true;
    loop.Stop();
  });
  loop.Run();
  EXPECT_TRUE(ran);
}

TEST(EventLoop, WatchIsLevelTriggeredAndLeavesTheDescriptorToItsOwner) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  ASSERT_EQ(write(pair[1], "abc", 3), 3);
  EventLoop loop;
  std::string got;
  loop.WatchReadable(pair[0], [&] {
    char c;
    ASSERT_EQ(read(pair[0], &c, 1), 1);  // one byte a call: the rest must wake us again
    got.push_back(c);
    if (got.size() == 3) {
      loop.Unwatch(pair[0]);
      loop.Stop();
    }
  });
  loop.Run();
  EXPECT_EQ(got, "abc");
  ASSERT_EQ(write(pair[1], "d", 1), 1);
  loop.RunAfter(milliseconds(3), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(got, "abc");
  EXPECT_EQ(close(pair[0]), 0) << "the loop closed a descriptor that is not its own";
  close(pair[1]);
}

TEST(BindUdp, GivesANonBlockingSocketOnAFreePort) {
  uint16_t port = 0;
  auto fd = BindUdp("127.0.0.1:0", 1 << 20, &port);
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_NE(port, 0);
  char c;
  EXPECT_EQ(recv(*fd, &c, 1, 0), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_FALSE(BindUdp("127.0.0.1:" + std::to_string(port), 0, nullptr).ok());
  close(*fd);
}

}  // namespace
}  // namespace weft::net
