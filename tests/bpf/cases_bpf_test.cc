// The socket-layer cases T1–T24 against the real kernel.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view kRequest = "GET /hello?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

iovec Piece(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

void SetPiece(mmsghdr* message, iovec* piece) {
  message->msg_hdr.msg_iov = piece;
  message->msg_hdr.msg_iovlen = 1;
}

TEST_F(CaptureTest, T1PeekedBytesAreSeenOnce) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    char buffer[500];
    Write(client, kRequest);
    Must(recv(server, buffer, sizeof buffer, MSG_PEEK) > 0, "peek");
    Must(recv(server, buffer, 10, MSG_PEEK) == 10, "peek");
    ReadAll(server, kRequest.size());
  });
  EXPECT_THAT(Texts(ServerReceives()), ElementsAre(kRequest));
}

TEST_F(CaptureTest, T2TruncatedAndEmptyReadsTakeNoBytesFromTheBuffer) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    char buffer[500] = "not what was received";
    Write(client, kRequest);
    Must(read(server, buffer, 0) == 0, "empty read");
    Must(recv(server, buffer, 10, 0) == 10, "recv");
    Must(recv(server, buffer, 6, MSG_TRUNC) == 6, "discard");
    ReadAll(server, kRequest.size() - 16);
  });
  std::vector<SeenSegment> seen = ServerReceives();
  ASSERT_THAT(seen, SizeIs(3));
  EXPECT_EQ(seen[0].bytes, kRequest.substr(0, 10));
  EXPECT_EQ(seen[1].length, 6u);
  EXPECT_THAT(seen[1].bytes, IsEmpty());
  EXPECT_EQ(seen[2].position, 16u);
  EXPECT_EQ(seen[2].bytes, kRequest.substr(16));
  // The empty read was no end; the client's close was.
  auto end = Seen(true, model::Direction::kReceive, model::SegmentKind::kEnd);
  ASSERT_THAT(end, SizeIs(1));
  EXPECT_EQ(end[0].position, kRequest.size());
  EXPECT_GT(end[0].time_ns, seen[2].time_ns);
}

TEST_F(CaptureTest, T3T4ShortWritesCountByResultAndFailedOnesNot) {
  START_CAPTURE();
  int result[2];
  ASSERT_EQ(pipe(result), 0);
  Exchange([&](int client, int) {
    std::string huge = std::string(kRequest) + std::string(32 << 20, 'b');
    fcntl(client, F_SETFL, O_NONBLOCK);
    ssize_t n = write(client, huge.data(), huge.size());
    Must(n > 0 && n < static_cast<ssize_t>(huge.size()), "short write");
    Must(write(client, huge.data(), huge.size()) == -1, "EAGAIN");
    char byte;
    Must(read(client, &byte, 1) == -1, "EAGAIN");
    Must(write(result[1], &n, sizeof n) == sizeof n, "pipe");
  });
  ssize_t n = 0;
  ASSERT_EQ(read(result[0], &n, sizeof n), static_cast<ssize_t>(sizeof n));
  std::vector<SeenSegment> seen = ClientSends();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].length, static_cast<uint64_t>(n));
  EXPECT_THAT(seen[0].bytes, SizeIs(4096));
}

TEST_F(CaptureTest, T5GathersARequestFromSeveralPieces) {
  START_CAPTURE();
  const std::string body(5'000, 'b');
  Exchange([&](int client, int server) {
    iovec out[] = {Piece(""), Piece("GE"), Piece(""), Piece(kRequest.substr(2)), Piece(body)};
    Must(writev(client, out, 5) == static_cast<ssize_t>(kRequest.size() + body.size()), "writev");
    std::string first(3, 0), second(1000, 0), third(10'000, 0);
    iovec in[] = {{first.data(), 3}, {second.data(), 1000}, {third.data(), 10'000}};
    ssize_t got = readv(server, in, 3);
    Must(got == static_cast<ssize_t>(kRequest.size() + body.size()), "readv");
    msghdr message = {};
    iovec answer[] = {Piece(kResponse.substr(0, 9)), Piece(kResponse.substr(9))};
    message.msg_iov = answer;
    message.msg_iovlen = 2;
    Must(sendmsg(server, &message, 0) == static_cast<ssize_t>(kResponse.size()), "sendmsg");
    iovec to[] = {{first.data(), 3}, {second.data(), 1000}};
    message.msg_iov = to;
    Must(recvmsg(client, &message, 0) == static_cast<ssize_t>(kResponse.size()), "recvmsg");
  });
  const std::string want = (std::string(kRequest) + body).substr(0, 4096);
  EXPECT_EQ(Bytes(ClientSends()), want);
  EXPECT_EQ(Bytes(ServerReceives()), want);
  EXPECT_THAT(Texts(ServerSends()), ElementsAre(kResponse));
  EXPECT_THAT(Texts(ClientReceives()), ElementsAre(kResponse));
}

// A body behind a whole head in a piece of its own is not worth a read, unless it may be a head.
TEST_F(CaptureTest, T5ABodyInItsOwnPieceIsALength) {
  START_CAPTURE();
  const std::string head(kResponse.substr(0, kResponse.size() - 5));
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  Exchange([&](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    iovec answer[] = {Piece(head), Piece("hello")};
    Must(writev(server, answer, 2) == static_cast<ssize_t>(kResponse.size()), "writev");
    ReadAll(client, kResponse.size());
    iovec two[] = {Piece(kRequest), Piece(kRequest)};
    Must(writev(client, two, 2) == static_cast<ssize_t>(2 * kRequest.size()), "writev");
    ReadAll(server, 2 * kRequest.size());
    iovec both[] = {Piece(interim), Piece(head)};
    Must(writev(server, both, 2) == static_cast<ssize_t>(interim.size() + head.size()), "writev");
    ReadAll(client, interim.size() + head.size());
  });
  std::vector<SeenSegment> sent = ServerSends();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(sent[0].bytes, head);
  EXPECT_EQ(sent[0].length, kResponse.size());
  EXPECT_EQ(sent[1].bytes, interim + head);
  EXPECT_EQ(ClientSends().back().bytes, std::string(kRequest) + std::string(kRequest));
}

TEST_F(CaptureTest, T5TheRestOfManyPiecesIsAGap) {
  START_CAPTURE();
  Exchange([&](int client, int server) {
    std::vector<iovec> out(257, Piece("12345678"));
    out[0] = Piece(kRequest);
    size_t total = kRequest.size() + 256 * 8;
    Must(writev(client, out.data(), 257) == static_cast<ssize_t>(total), "writev");
    ReadAll(server, total);
  });
  std::vector<SeenSegment> seen = ClientSends();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].length, kRequest.size() + 256 * 8);
  EXPECT_EQ(seen[0].bytes.substr(0, kRequest.size()), kRequest);
  EXPECT_LT(seen[0].bytes.size(), seen[0].length);
}

TEST_F(CaptureTest, T6EveryMessageOfSendmmsgAndRecvmmsg) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    for (int round = 0; round < 2; ++round) {  // the same arrays again
      iovec pieces[] = {Piece(kRequest), Piece(kRequest.substr(0, 5)), Piece(kRequest.substr(5))};
      mmsghdr messages[3] = {};
      for (int i = 0; i < 3; ++i) SetPiece(&messages[i], &pieces[i]);
      Must(sendmmsg(client, messages, 3, 0) == 3, "sendmmsg");
      std::string one(kRequest.size(), 0), two(kRequest.size(), 0), more(100, 0);
      iovec in[] = {{one.data(), one.size()}, {two.data(), two.size()}, {more.data(), more.size()}};
      mmsghdr to[3] = {};
      for (int i = 0; i < 3; ++i) SetPiece(&to[i], &in[i]);
      // The third finds nothing: the array is over before its end.
      Must(recvmmsg(server, to, 3, MSG_WAITFORONE, nullptr) == 2, "recvmmsg");
    }
  });
  EXPECT_THAT(Texts(ClientSends()),
              ElementsAre(kRequest, kRequest.substr(0, 5), kRequest.substr(5), kRequest,
                          kRequest.substr(0, 5), kRequest.substr(5)));
  EXPECT_THAT(Texts(ServerReceives()), ElementsAre(kRequest, kRequest, kRequest, kRequest));
}

// T9, too: pages of a file, where other tests have one piece or several of the caller's memory.
TEST_F(CaptureTest, T7SendfileCountsByLength) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    int file = memfd_create("body", 0);
    std::string body = "HTTP/1.1 200 in a file" + std::string(50'000, 'f');
    Write(file, body);
    lseek(file, 0, SEEK_SET);
    Write(server, kResponse);
    off_t at = 0;
    Must(sendfile(server, file, &at, body.size()) == static_cast<ssize_t>(body.size()), "sendfile");
    Write(server, kResponse);
    ReadAll(client, body.size() + 2 * kResponse.size());
  });
  uint64_t by_file = 0, position = 0;
  for (const SeenSegment& s : ServerSends()) {
    EXPECT_EQ(s.position, position);
    position += s.length;
    if (s.bytes.empty()) by_file += s.length;
  }
  EXPECT_EQ(by_file, 50'022u);
  EXPECT_EQ(Bytes(ServerSends()), std::string(kResponse) + std::string(kResponse));
}

TEST_F(CaptureTest, T10OneStreamWhoeverHoldsTheSocket) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    int copy = dup(client);
    Write(client, kRequest.substr(0, 10));
    Write(copy, kRequest.substr(10, 10));
    pid_t other = fork();
    if (other == 0) {
      Write(client, kRequest.substr(20));
      _exit(0);
    }
    waitpid(other, nullptr, 0);
    ReadAll(server, kRequest.size());
  });
  std::vector<SeenSegment> seen = ClientSends();
  ASSERT_THAT(seen, SizeIs(3));
  EXPECT_EQ(Bytes(seen), kRequest);
  EXPECT_EQ(seen[0].connection, seen[2].connection);
  EXPECT_NE(seen[0].process->key.pid, seen[2].process->key.pid);
  EXPECT_EQ(seen[2].position, 20u);
}

TEST_F(CaptureTest, T16MappedAddressesAreIPv4) {
  Listen(AF_INET6);
  START_CAPTURE();
  Exchange([](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
  });
  ASSERT_THAT(ServerReceives(), SizeIs(1));
  ASSERT_THAT(ClientSends(), SizeIs(1));
  EXPECT_EQ(ServerReceives()[0].connection->local.family, 4);
  EXPECT_EQ(ServerReceives()[0].connection->remote, ClientSends()[0].connection->local);
  EXPECT_EQ(ServerReceives()[0].connection->local, ClientSends()[0].connection->remote);
}

TEST_F(CaptureTest, T16IPv6IsSeen) {
  Listen(AF_INET6, true);
  START_CAPTURE();
  Run([this] {
    sockaddr_in6 to = {};
    to.sin6_family = AF_INET6;
    to.sin6_addr = in6addr_loopback;
    to.sin6_port = htons(port_);
    int client = socket(AF_INET6, SOCK_STREAM, 0);
    Must(connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0, "connect");
    Write(client, kRequest);
  });
  ASSERT_THAT(Texts(ClientSends()), ElementsAre(kRequest));
  EXPECT_EQ(ClientSends()[0].connection->remote.AddressText(), "::1");
}

TEST_F(CaptureTest, T16T21UnixSocketsAndFilesAreNotTraced) {
  START_CAPTURE();
  Run([] {
    int pair[2];
    Must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    Write(pair[0], kRequest);
    ReadAll(pair[1], kRequest.size());
    int file = memfd_create("file", 0);
    Write(file, kRequest);
    lseek(file, 0, SEEK_SET);
    ReadAll(file, kRequest.size());
  });
  for (const SeenSegment& s : sink_.segments) {
    ASSERT_TRUE(s.process == nullptr || s.process->key.pid != static_cast<uint32_t>(child_));
  }
}

TEST_F(CaptureTest, T17ARefusedConnectionLeavesNothing) {
  START_CAPTURE();
  close(listener_);
  listener_ = -1;
  Run([this] {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port_);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to);
    usleep(10'000);
    Must(write(fd, "GET / HTTP/1.1\r\n", 16) == -1, "write to a refused connection");
  });
  EXPECT_THAT(ClientSends(), IsEmpty());
}

TEST_F(CaptureTest, T22OwnTrafficIsNotTraced) {
  START_CAPTURE();
  int client = Connect();
  int server = accept(listener_, nullptr, nullptr);
  Write(client, kRequest);
  ReadAll(server, kRequest.size());
  Write(server, kResponse);
  ReadAll(client, kResponse.size());
  close(client);
  close(server);
  capture_->Drain();
  EXPECT_THAT(ClientSends(), IsEmpty());
  EXPECT_THAT(ServerSends(), IsEmpty());
  EXPECT_THAT(Seen(true, model::Direction::kSend, model::SegmentKind::kClosed), IsEmpty());
}

TEST_F(CaptureTest, T23ARequestThatComesByteByByte) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    for (char c : kRequest) Write(client, {&c, 1});
    for (size_t i = 0; i < kRequest.size(); ++i) ReadAll(server, 1);
  });
  EXPECT_THAT(ClientSends(), SizeIs(kRequest.size()));
  EXPECT_EQ(Bytes(ClientSends()), kRequest);
  EXPECT_EQ(Bytes(ServerReceives()), kRequest);
}

TEST_F(CaptureTest, T24OtherProtocolsMakeNoSegmentsWhateverTheyCarry) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    Write(client, "SSH-2.0-client\r\n");
    ReadAll(server, 16);
    Write(server, kResponse);
    ReadAll(client, kResponse.size());
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
  });
  EXPECT_THAT(ClientSends(), IsEmpty());
  EXPECT_THAT(ServerSends(), IsEmpty());
}

// T15, T24: weft starts in the middle of an upload whose body looks like requests.
TEST_F(CaptureTest, T15AConnectionOlderThanWeftIsJoinedAtATurn) {
  int go[2], done[2];
  ASSERT_EQ(pipe(go), 0);
  ASSERT_EQ(pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    int client = Connect();
    int server = accept(listener_, nullptr, nullptr);
    char byte;
    Write(client, "POST / HTTP/1.1\r\nContent-Length: 76\r\n\r\n");
    Must(read(go[0], &byte, 1) == 1, "wait");
    Write(client, kRequest);  // body
    Write(client, kRequest);  // body
    Write(server, kResponse);
    ReadAll(client, kResponse.size());
    Write(client, kRequest);
    Must(write(done[1], "x", 1) == 1, "done");
    _exit(0);
  }
  usleep(50'000);
  bool started = StartCapture();
  ASSERT_EQ(write(go[1], "x", 1), 1);
  waitpid(child, nullptr, 0);
  if (!started) GTEST_SKIP() << skip_reason_;
  capture_->Drain();
  EXPECT_THAT(Texts(ClientReceives()), ElementsAre(kResponse));
  EXPECT_THAT(Texts(ClientSends()), ElementsAre(kRequest));
  EXPECT_TRUE(ClientSends().at(0).connection->joined_in_middle);
  EXPECT_EQ(ClientSends().at(0).position, 2 * kRequest.size());
}

// T15: an idle keep-alive connection: not even its first request is missed.
TEST_F(CaptureTest, T15TheFirstRequestOnAnOldIdleConnectionIsSeen) {
  int go[2], done[2];
  ASSERT_EQ(pipe(go), 0);
  ASSERT_EQ(pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    int client = Connect();
    int server = accept(listener_, nullptr, nullptr);
    char byte;
    for (int i = 0; i < 2; ++i) {
      Write(client, kRequest);
      ReadAll(server, kRequest.size());
      Write(server, kResponse);
      ReadAll(client, kResponse.size());
      if (i == 0) Must(write(done[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1, "wait");
    }
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(done[0], &byte, 1), 1);
  bool started = StartCapture();
  ASSERT_EQ(write(go[1], "x", 1), 1);
  waitpid(child, nullptr, 0);
  if (!started) GTEST_SKIP() << skip_reason_;
  capture_->Drain();
  EXPECT_THAT(Texts(ClientSends()), ElementsAre(kRequest));
  EXPECT_THAT(Texts(ServerReceives()), ElementsAre(kRequest));
  EXPECT_THAT(Texts(ServerSends()), ElementsAre(kResponse));
  EXPECT_THAT(Texts(ClientReceives()), ElementsAre(kResponse));
  EXPECT_TRUE(ServerReceives().at(0).connection->joined_in_middle);
}

}  // namespace
}  // namespace weft::sources::ebpf
