// Socket calls that are not a plain read or write (cases T7, T8, T10, T11, T12, T14) and what
// happens when one thread's hook runs behind another's, against the real kernel.
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <thread>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view kRequest = "GET /hello?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

// Every byte of a direction has its place: segments follow one another from 0 on.
void ExpectTiled(const std::vector<SeenSegment>& segments, uint64_t total) {
  uint64_t position = 0;
  for (const SeenSegment& s : segments) {
    EXPECT_EQ(s.position, position);
    position += s.length;
  }
  EXPECT_EQ(position, total);
}

void Fill(int pipe_end, std::string_view text) {
  Must(write(pipe_end, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "fill");
}

// One io_uring with one call in flight at a time, by bare system calls.
class Ring {
 public:
  Ring() {
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 4, &set_));
    if (fd_ < 0) return;
    rings_ = Map(IORING_OFF_SQ_RING, set_.sq_off.array + set_.sq_entries * sizeof(uint32_t));
    completions_ =
        Map(IORING_OFF_CQ_RING, set_.cq_off.cqes + set_.cq_entries * sizeof(io_uring_cqe));
    entries_ = reinterpret_cast<io_uring_sqe*>(Map(IORING_OFF_SQES, 4 * sizeof(io_uring_sqe)));
  }
  ~Ring() { close(fd_); }
  static bool CanBeHad() { return Ring().fd_ >= 0; }

  // The result of one call; `async`: made by a worker of the kernel.
  int Call(uint8_t operation, int fd, void* bytes, size_t length, bool async = false) {
    auto* tail = Word(rings_, set_.sq_off.tail);
    io_uring_sqe& entry = entries_[*tail & 3];
    entry = {};
    entry.opcode = operation;
    entry.fd = fd;
    entry.addr = reinterpret_cast<uint64_t>(bytes);
    entry.len = static_cast<uint32_t>(length);
    entry.flags = async ? IOSQE_ASYNC : 0;
    *Word(rings_, set_.sq_off.array + (*tail & 3) * sizeof(uint32_t)) = *tail & 3;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    Must(syscall(SYS_io_uring_enter, fd_, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) == 1, "enter");
    auto* head = Word(completions_, set_.cq_off.head);
    const auto* all = reinterpret_cast<io_uring_cqe*>(completions_ + set_.cq_off.cqes);
    const int result = all[*head & (set_.cq_entries - 1)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
  }

 private:
  char* Map(uint64_t offset, size_t length) const {
    void* at = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                    static_cast<off_t>(offset));
    Must(at != MAP_FAILED, "mmap of a ring");
    return static_cast<char*>(at);
  }
  static uint32_t* Word(char* ring, uint32_t offset) {
    return reinterpret_cast<uint32_t*>(ring + offset);
  }

  io_uring_params set_ = {};
  int fd_ = -1;
  char *rings_ = nullptr, *completions_ = nullptr;
  io_uring_sqe* entries_ = nullptr;
};

void PassDescriptor(int unix_socket, int fd) {
  char byte = 'x', room[CMSG_SPACE(sizeof fd)] = {};
  iovec piece = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  cmsghdr* control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(control), &fd, sizeof fd);
  Must(sendmsg(unix_socket, &message, 0) == 1, "pass a descriptor");
}

int TakeDescriptor(int unix_socket) {
  char byte, room[CMSG_SPACE(sizeof(int))] = {};
  iovec piece = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  Must(recvmsg(unix_socket, &message, 0) == 1, "take a descriptor");
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

class CallsTest : public CaptureTest {
 protected:
  // Does the rung in use see calls of io_uring?
  bool SeesRings() const {
    for (const FeatureReport& row : capture_->features()) {
      if (row.name == "capture.hook.syscall_tracepoint") return !row.on;
    }
    return true;
  }
  // What a server does with one request.
  static void Answer(int server) {
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
  }
  // The calling process of every one of `segments`.
  static std::vector<uint32_t> Callers(const std::vector<SeenSegment>& segments) {
    std::vector<uint32_t> pids;
    for (const SeenSegment& s : segments) pids.push_back(s.process ? s.process->key.pid : 0);
    return pids;
  }
  // A script that tells numbers of its run.
  void SetUp() override {
    CaptureTest::SetUp();
    told_ = static_cast<uint32_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(told_, MAP_FAILED);
  }
  void TearDown() override {
    munmap(told_, 4096);
    CaptureTest::TearDown();
  }
  uint32_t Child() const { return static_cast<uint32_t>(child_); }

  uint32_t* told_ = nullptr;
};

TEST_F(CallsTest, T5ARequestLineInTwoPiecesWhereverItIsCut) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    for (size_t cut = 1; cut < kRequest.size(); ++cut) {
      iovec out[] = {{const_cast<char*>(kRequest.data()), cut},
                     {const_cast<char*>(kRequest.data()) + cut, kRequest.size() - cut}};
      Must(writev(client, out, 2) == static_cast<ssize_t>(kRequest.size()), "writev");
      std::string text(kRequest.size(), 0);
      iovec in[] = {{text.data(), kRequest.size() - cut},
                    {text.data() + kRequest.size() - cut, cut}};
      Must(readv(server, in, 2) == static_cast<ssize_t>(kRequest.size()), "readv");
      Write(server, kResponse);
      ReadAll(client, kResponse.size());
    }
  });
  const std::vector<std::string_view> want(kRequest.size() - 1, kRequest);
  EXPECT_THAT(Texts(ClientSends()), ElementsAreArray(want));
  EXPECT_THAT(Texts(ServerReceives()), ElementsAreArray(want));
  ExpectTiled(ClientSends(), want.size() * kRequest.size());
  ExpectTiled(ServerReceives(), want.size() * kRequest.size());
}

// A file's or a pipe's bytes that go into a socket are a length, whatever they look like.
TEST_F(CallsTest, T7BytesSplicedIntoASocketAreALength) {
  START_CAPTURE();
  const std::string body = "HTTP/1.1 200 in a pipe" + std::string(3'000, 'p');
  Exchange([&](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
    int pipes[2];
    Must(pipe(pipes) == 0, "pipe");
    Fill(pipes[1], body);
    Must(splice(pipes[0], nullptr, server, nullptr, body.size(), 0) ==
             static_cast<ssize_t>(body.size()),
         "splice");
    Write(server, kResponse);
    ReadAll(client, body.size() + 2 * kResponse.size());
  });
  ExpectTiled(ServerSends(), body.size() + 2 * kResponse.size());
  EXPECT_EQ(Bytes(ServerSends()), std::string(kResponse) + std::string(kResponse));
  EXPECT_THAT(Callers(ServerSends()), Each(Child()));
}

// What is spliced out of a socket is not seen: a hole in the positions, which shifts nothing.
TEST_F(CallsTest, T7BytesSplicedOutOfASocketAreAHole) {
  START_CAPTURE();
  const std::string body(3'000, 'p');
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 3000\r\n\r\n";
  Exchange([&](int client, int server) {
    Write(client, head);
    ReadAll(server, head.size());
    Write(client, body);
    int pipes[2];
    Must(pipe(pipes) == 0, "pipe");
    for (size_t left = body.size(); left > 0;) {
      ssize_t n = splice(server, nullptr, pipes[1], nullptr, left, 0);
      Must(n > 0, "splice");
      left -= static_cast<size_t>(n);
      ReadAll(pipes[0], static_cast<size_t>(n));
    }
    Write(server, kResponse);
    ReadAll(client, kResponse.size());
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
  });
  const std::vector<SeenSegment> seen = ServerReceives();
  ASSERT_GE(seen.size(), 2u);
  EXPECT_EQ(seen.front().bytes, head);
  EXPECT_EQ(seen.back().bytes, kRequest);
  EXPECT_EQ(seen.back().position, head.size() + body.size());
  EXPECT_EQ(seen.back().sequence, ClientSends().back().sequence);
}

TEST_F(CallsTest, T7ZeroCopySendsAreSeenLikeAnyOther) {
  START_CAPTURE();
  const std::string body(40'000, 'z');
  Exchange([&](int client, int server) {
    int on = 1;
    Must(setsockopt(client, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) == 0, "SO_ZEROCOPY");
    const std::string whole = std::string(kRequest) + body;
    for (size_t at = 0; at < whole.size();) {
      ssize_t n = send(client, whole.data() + at, whole.size() - at, MSG_ZEROCOPY);
      Must(n > 0, "send");
      ReadAll(server, static_cast<size_t>(n));
      at += static_cast<size_t>(n);
    }
  });
  ExpectTiled(ClientSends(), kRequest.size() + body.size());
  ExpectTiled(ServerReceives(), kRequest.size() + body.size());
  EXPECT_EQ(Bytes(ClientSends()).substr(0, kRequest.size()), kRequest);
  EXPECT_EQ(Bytes(ClientSends()).size(), 4096u);
  EXPECT_THAT(Callers(ClientSends()), Each(Child()));
}

// Case T8: a length in the right place where the rung does not see the memory, nothing where it
// does not see the call; what comes by ordinary calls is exact in any case.
TEST_F(CallsTest, T8IoUringCallsAreSeenByTheirLengthAtLeast) {
  if (!Ring::CanBeHad()) GTEST_SKIP() << "io_uring is not to be had: " << std::strerror(errno);
  START_CAPTURE();
  const std::string body = "GET /not/a/head HTTP/1.1 " + std::string(2'000, 'u');
  for (bool async : {false, true}) {
    SCOPED_TRACE(async ? "by a worker" : "by the caller");
    sink_.segments.clear();
    Exchange([&](int client, int server) {
      Ring ring;
      std::string text = body, got(body.size(), 0);
      const int size = static_cast<int>(body.size());
      Write(client, kRequest);
      ReadAll(server, kRequest.size());
      Must(ring.Call(IORING_OP_SEND, client, text.data(), text.size(), async) == size, "send");
      Must(ring.Call(IORING_OP_RECV, server, got.data(), got.size(), async) == size, "receive");
      Must(got == body, "the same bytes");
      Write(server, kResponse);
      ReadAll(client, kResponse.size());
      Write(client, kRequest);
      ReadAll(server, kRequest.size());
    });
    const uint64_t last = kRequest.size() + body.size();
    for (const auto& seen : {ClientSends(), ServerReceives()}) {
      ASSERT_THAT(seen, SizeIs(SeesRings() ? 3 : 2));
      EXPECT_EQ(seen.front().bytes, kRequest);
      EXPECT_EQ(seen.back().bytes, kRequest);
      EXPECT_EQ(seen.back().position, last);
      EXPECT_EQ(Callers(seen).front(), Child());
      EXPECT_EQ(Callers(seen).back(), Child());
      if (!SeesRings()) continue;
      if (!async) {
        EXPECT_EQ(Callers(seen)[1], Child());
      }  // older kernels' workers are their own
      EXPECT_EQ(seen[1].position, kRequest.size());
      EXPECT_EQ(seen[1].length, body.size());
      EXPECT_EQ(seen[1].bytes, body.substr(0, seen[1].bytes.size()));
    }
  }
}

// Where the memory of such calls is out of sight, a connection that begins with them is not known
// for HTTP: nothing is recorded of it, and nothing wrong.
TEST_F(CallsTest, T8AConnectionThatIoUringBeginsIsExactOrUnseen) {
  if (!Ring::CanBeHad()) GTEST_SKIP() << "io_uring is not to be had: " << std::strerror(errno);
  START_CAPTURE();
  Exchange([&](int client, int server) {
    Ring ring;
    std::string request(kRequest), response(kResponse), room(500, 0);
    for (int i = 0; i < 3; ++i) {
      const int asked = static_cast<int>(request.size()), told = static_cast<int>(response.size());
      Must(ring.Call(IORING_OP_SEND, client, request.data(), request.size()) == asked, "send");
      Must(ring.Call(IORING_OP_RECV, server, room.data(), room.size()) == asked, "receive");
      Must(ring.Call(IORING_OP_SEND, server, response.data(), response.size()) == told, "send");
      Must(ring.Call(IORING_OP_RECV, client, room.data(), room.size()) == told, "receive");
    }
  });
  for (const auto& seen : {ClientSends(), ServerReceives()}) {
    if (seen.empty()) continue;
    EXPECT_THAT(Texts(seen), ElementsAre(kRequest, kRequest, kRequest));
  }
  for (const auto& seen : {ServerSends(), ClientReceives()}) {
    if (seen.empty()) continue;
    EXPECT_THAT(Texts(seen), ElementsAre(kResponse, kResponse, kResponse));
  }
}

TEST_F(CallsTest, T10AForkedWorkerServesWhatItsParentHasAccepted) {
  START_CAPTURE();
  Exchange([&](int client, int server) {
    pid_t worker = fork();
    if (worker == 0) {
      Answer(server);
      _exit(0);
    }
    told_[0] = static_cast<uint32_t>(worker);
    close(server);
    Write(client, kRequest);
    ReadAll(client, kResponse.size());
    waitpid(worker, nullptr, 0);
  });
  EXPECT_THAT(Texts(ServerReceives()), ElementsAre(kRequest));
  EXPECT_THAT(Texts(ServerSends()), ElementsAre(kResponse));
  EXPECT_THAT(Callers(ServerReceives()), ElementsAre(told_[0]));
  EXPECT_THAT(Callers(ServerSends()), ElementsAre(told_[0]));
  EXPECT_THAT(Callers(ClientSends()), ElementsAre(Child()));
  EXPECT_EQ(ServerReceives().at(0).position, 0u);
}

TEST_F(CallsTest, T10ASocketPassedToAnotherProcessStaysOneStream) {
  START_CAPTURE();
  Exchange([&](int client, int server) {
    int door[2];
    Must(socketpair(AF_UNIX, SOCK_STREAM, 0, door) == 0, "socketpair");
    pid_t worker = fork();
    if (worker == 0) {
      close(server);
      const int taken = TakeDescriptor(door[1]);
      Answer(taken);
      Answer(taken);
      _exit(0);
    }
    told_[0] = static_cast<uint32_t>(worker);
    Write(client, kRequest);
    Answer(server);  // the one that accepted it, then hands it on
    ReadAll(client, kResponse.size());
    PassDescriptor(door[0], server);
    for (int i = 0; i < 2; ++i) {
      Write(client, kRequest);
      ReadAll(client, kResponse.size());
    }
    waitpid(worker, nullptr, 0);
  });
  EXPECT_THAT(Texts(ServerReceives()), ElementsAre(kRequest, kRequest, kRequest));
  EXPECT_THAT(Texts(ServerSends()), ElementsAre(kResponse, kResponse, kResponse));
  EXPECT_THAT(Callers(ServerReceives()), ElementsAre(Child(), told_[0], told_[0]));
  EXPECT_THAT(Callers(ServerSends()), ElementsAre(Child(), told_[0], told_[0]));
  ExpectTiled(ServerReceives(), 3 * kRequest.size());
  ExpectTiled(ServerSends(), 3 * kResponse.size());
  EXPECT_EQ(ServerReceives().front().connection, ServerReceives().back().connection);
}

TEST_F(CallsTest, T10DuplicatesOfADescriptorAreOneStream) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    const int copies[] = {dup(client), fcntl(client, F_DUPFD, 100), dup3(client, 200, O_CLOEXEC)};
    Write(copies[0], kRequest.substr(0, 7));
    close(copies[0]);
    Write(copies[1], kRequest.substr(7, 7));
    Write(copies[2], kRequest.substr(14));
    const int other = dup(server);
    ReadAll(other, 20);
    ReadAll(server, kRequest.size() - 20);
    close(other);
    Write(server, kResponse);
    ReadAll(copies[1], kResponse.size());
  });
  EXPECT_EQ(Bytes(ClientSends()), kRequest);
  EXPECT_EQ(Bytes(ServerReceives()), kRequest);
  EXPECT_THAT(Texts(ClientReceives()), ElementsAre(kResponse));
  ExpectTiled(ClientSends(), kRequest.size());
  ExpectTiled(ServerReceives(), kRequest.size());
}

// Case T11: what one thread sends another one's answer may overtake before its hook has run, the
// first time, too.
TEST_F(CallsTest, T11OneThreadSendsAndAnotherReceives) {
  START_CAPTURE();
  constexpr int kConnections = 20, kRequests = 10;
  for (int i = 0; i < kConnections; ++i) {
    Exchange([](int client, int server) {
      std::thread answers([&] {
        for (int n = 0; n < kRequests; ++n) Answer(server);
      });
      std::thread reader([&] { ReadAll(client, kRequests * kResponse.size()); });
      for (int n = 0; n < kRequests; ++n) Write(client, kRequest);
      answers.join();
      reader.join();
    });
  }
  const auto total = [](std::string_view text) { return kConnections * kRequests * text.size(); };
  EXPECT_EQ(Bytes(ClientSends()).size(), total(kRequest));
  EXPECT_EQ(Bytes(ServerReceives()).size(), total(kRequest));
  EXPECT_EQ(Bytes(ServerSends()).size(), total(kResponse));
  EXPECT_EQ(Bytes(ClientReceives()).size(), total(kResponse));
}

TEST_F(CallsTest, T12ADescriptorUsedAgainIsAnotherConnection) {
  START_CAPTURE();
  Exchange([&](int client, int server) {
    for (uint32_t i = 0; i < 3; ++i) {
      Write(client, kRequest.substr(0, 9));
      Write(client, kRequest.substr(9));
      Answer(server);
      ReadAll(client, kResponse.size());
      const int was[] = {client, server};
      close(client);
      close(server);
      client = Connect();
      server = accept(listener_, nullptr, nullptr);
      told_[i] = client == was[0] && server == was[1];
    }
    Write(client, kRequest);
    Answer(server);
    ReadAll(client, kResponse.size());
  });
  EXPECT_TRUE(told_[0] && told_[1] && told_[2]) << "the numbers were not used again";
  const std::vector<SeenSegment> sent = ClientSends();
  ASSERT_THAT(sent, SizeIs(7));
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(sent[i].position, i % 2 == 0 ? 0u : 9u) << i;
    if (i >= 2) {
      EXPECT_NE(sent[i].connection, sent[i - 2].connection) << i;
    }
  }
  EXPECT_EQ(Bytes(sent), std::string(kRequest) + std::string(kRequest) + std::string(kRequest) +
                             std::string(kRequest));
  EXPECT_THAT(Texts(ServerSends()), ElementsAre(kResponse, kResponse, kResponse, kResponse));
  EXPECT_THAT(Seen(true, model::Direction::kSend, model::SegmentKind::kClosed), SizeIs(4));
}

// Case T14: calls that never return leave nothing that a later one could be mistaken for.
TEST_F(CallsTest, T14AProcessKilledInACallLeavesNothingBehind) {
  START_CAPTURE();
  Exchange([&](int client, int server) {
    for (int i = 0; i < 5; ++i) {
      pid_t waiting = fork();
      if (waiting == 0) {
        std::string mine(500, 'm');
        Must(read(server, mine.data(), mine.size()) < 0, "read");
      }
      usleep(5'000);  // until it waits
      kill(waiting, SIGKILL);
      waitpid(waiting, nullptr, 0);
      Write(client, kRequest);
      Answer(server);
      ReadAll(client, kResponse.size());
    }
  });
  EXPECT_THAT(ServerReceives(), SizeIs(5));
  EXPECT_THAT(Texts(ServerReceives()), Each(kRequest));
  EXPECT_THAT(Callers(ServerReceives()), Each(Child()));
  EXPECT_THAT(Texts(ServerSends()), Each(kResponse));
  ExpectTiled(ServerReceives(), 5 * kRequest.size());
}

}  // namespace
}  // namespace weft::sources::ebpf
