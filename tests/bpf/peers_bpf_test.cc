#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {
namespace {

model::Endpoint Loopback(uint16_t port) {
  const uint8_t address[4] = {127, 0, 0, 1};
  return model::Endpoint::V4(address, port);
}

uint16_t LocalPort(int fd) {
  sockaddr_in a = {};
  socklen_t size = sizeof a;
  getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size);
  return ntohs(a.sin_port);
}

// A client of any protocol is known by its address while it lives; here weft is the server, as for
// a receiver.
TEST_F(CaptureTest, ATcpClientIsFoundByItsAddress) {
  START_CAPTURE();
  for (std::string_view text : {"PRI * HTTP/2.0\r\n\r\n", "POST /v1/traces HTTP/1.1\r\n"}) {
    int hold[2];
    ASSERT_EQ(pipe(hold), 0);
    pid_t child = fork();
    if (child == 0) {
      int fd = Connect();
      Write(fd, text);
      char byte;
      close(hold[1]);
      Must(read(hold[0], &byte, 1) == 0, "wait");
      _exit(0);
    }
    sockaddr_in from = {};
    socklen_t size = sizeof from;
    int server = accept(listener_, reinterpret_cast<sockaddr*>(&from), &size);
    char buffer[100];
    ASSERT_GT(read(server, buffer, sizeof buffer), 0);
    // On loopback the bytes are here before the sender's call has come to its hook.
    model::ProcessRef peer;
    for (int i = 0; i < 500 && !peer; ++i) {
      usleep(i ? 10'000 : 0);
      capture_->Drain();
      peer = capture_->TcpPeer(Loopback(ntohs(from.sin_port)));
    }
    ASSERT_NE(peer, nullptr) << text;
    EXPECT_EQ(peer->key.pid, static_cast<uint32_t>(child));
    close(hold[1]);
    waitpid(child, nullptr, 0);
    close(server);
  }
  EXPECT_EQ(capture_->TcpPeer(Loopback(1)), nullptr);
}

TEST_F(CaptureTest, AUdpSenderIsFoundByItsPort) {
  START_CAPTURE();
  int receiver = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(receiver, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  at.sin_port = htons(LocalPort(receiver));
  for (bool connected : {true, false}) {
    pid_t child = fork();
    if (child == 0) {
      int fd = socket(AF_INET, SOCK_DGRAM, 0);
      if (connected) Must(connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0, "connect");
      for (int i = 0; i < 3; ++i) {
        Must(sendto(fd, "span", 4, 0, reinterpret_cast<sockaddr*>(&at), sizeof at) == 4, "sendto");
      }
      _exit(0);
    }
    waitpid(child, nullptr, 0);
    capture_->Drain();
    sockaddr_in from = {};
    socklen_t size = sizeof from;
    char buffer[100];
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(
          recvfrom(receiver, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size),
          4);
    }
    model::ProcessRef peer = capture_->UdpPeer(Loopback(ntohs(from.sin_port)));
    ASSERT_NE(peer, nullptr);
    EXPECT_EQ(peer->key.pid, static_cast<uint32_t>(child));
  }
  close(receiver);
}

}  // namespace
}  // namespace weft::sources::ebpf
