#include "bpf/capture_fixture.h"

#include <sys/syscall.h>

namespace weft::sources::ebpf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::string_view kRequest = "GET /hello?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

TEST_F(CaptureTest, AnExchangeIsSeenFromBothEndsWithExactBytes) {
  START_CAPTURE();
  const uint64_t before_ns = clock_.MonotonicNs();
  Exchange([](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
    ReadAll(client, kResponse.size());
  });
  const uint64_t after_ns = clock_.MonotonicNs();
  EXPECT_THAT(Texts(ClientSends()), ElementsAre(kRequest));
  EXPECT_THAT(Texts(ServerReceives()), ElementsAre(kRequest));
  EXPECT_THAT(Texts(ServerSends()), ElementsAre(kResponse));
  EXPECT_THAT(Texts(ClientReceives()), ElementsAre(kResponse));
  ASSERT_THAT(ClientSends(), SizeIs(1));
  ASSERT_THAT(ServerReceives(), SizeIs(1));
  const SeenSegment sent = ClientSends()[0], received = ServerReceives()[0];
  EXPECT_EQ(sent.sequence, received.sequence);  // what joins the two ends
  EXPECT_EQ(sent.position, 0u);
  EXPECT_EQ(received.position, 0u);
  EXPECT_EQ(sent.length, kRequest.size());
  EXPECT_EQ(sent.thread, static_cast<uint32_t>(child_));
  ASSERT_NE(sent.process, nullptr);
  EXPECT_EQ(sent.process->key.pid, static_cast<uint32_t>(child_));
  EXPECT_GT(sent.process->key.start_ns, 0u);
  EXPECT_LE(before_ns, sent.time_ns);
  EXPECT_LE(sent.time_ns, received.time_ns);
  EXPECT_LE(received.time_ns, after_ns);
  EXPECT_EQ(sent.connection->remote.AddressText(), "127.0.0.1");
  EXPECT_EQ(sent.connection->local, received.connection->remote);
  EXPECT_EQ(sent.connection->netns, received.connection->netns);
  EXPECT_FALSE(sent.connection->joined_in_middle);
}

TEST_F(CaptureTest, EndsAndCloseComeOnceBehindTheData) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
    shutdown(server, SHUT_WR);  // the FIN may arrive before the response is read (case T13)
    usleep(20'000);
    ReadAll(client, kResponse.size());
    char byte;
    Must(read(client, &byte, 1) == 0, "end of stream");
  });
  std::vector<SeenSegment> end = Seen(false, model::Direction::kReceive, model::SegmentKind::kEnd);
  ASSERT_THAT(end, SizeIs(1));
  EXPECT_EQ(end[0].position, kResponse.size());
  EXPECT_GE(end[0].time_ns, ClientReceives().at(0).time_ns);
  end = Seen(true, model::Direction::kSend, model::SegmentKind::kEnd);
  ASSERT_THAT(end, SizeIs(1));
  EXPECT_EQ(end[0].position, kResponse.size());
  EXPECT_THAT(Seen(false, model::Direction::kSend, model::SegmentKind::kClosed), SizeIs(1));
  EXPECT_THAT(Seen(true, model::Direction::kSend, model::SegmentKind::kClosed), SizeIs(1));
}

// A FIN that is read together with the last data counts one in the socket's own numbers.
TEST_F(CaptureTest, AFinReadWithTheLastBytesDoesNotShiftThePosition) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
    close(server);
    usleep(20'000);
    ReadAll(client, kResponse.size());
  });
  ASSERT_THAT(ClientReceives(), SizeIs(1));
  EXPECT_EQ(ClientReceives()[0].position, 0u);
  EXPECT_EQ(ClientReceives()[0].sequence, ServerSends().at(0).sequence);
}

TEST_F(CaptureTest, OnlyTheHeadIsCopiedAndLengthsFollow) {
  START_CAPTURE();
  const std::string body(100'000, 'b');
  Exchange([&](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
    for (size_t at = 0; at < body.size(); at += 10'000) {
      Write(server, body.substr(at, 10'000));
      ReadAll(client, at == 0 ? kResponse.size() + 10'000 : 10'000);
    }
    Write(client, kRequest);  // the other side speaks: the budget is new
    ReadAll(server, kRequest.size());
    Write(server, kResponse);
    ReadAll(client, kResponse.size());
  });
  std::vector<SeenSegment> sent = ServerSends();
  ASSERT_THAT(sent, SizeIs(12));
  uint64_t position = 0, captured = 0;
  for (const SeenSegment& s : sent) {
    EXPECT_EQ(s.position, position);
    position += s.length;
    if (&s != &sent.back()) captured += s.bytes.size();
  }
  EXPECT_EQ(captured, 4096u);
  EXPECT_EQ(sent.back().bytes, kResponse);
}

TEST_F(CaptureTest, HeadBytesIsTheBudget) {
  Options options;
  options.head_bytes = 100;
  START_CAPTURE(options);
  std::string request(kRequest.substr(0, kRequest.size() - 2));
  request += "X: " + std::string(20'000, 'x') + "\r\n\r\n";
  Exchange([&](int client, int server) {
    Write(client, request);
    ReadAll(server, request.size());
  });
  EXPECT_EQ(Bytes(ClientSends()), request.substr(0, 100));
  EXPECT_EQ(ClientSends().at(0).length, request.size());
}

TEST_F(CaptureTest, LargeHeadsAreCopiedWhole) {
  Options options;
  options.head_bytes = 16384;
  START_CAPTURE(options);
  std::string request(kRequest.substr(0, kRequest.size() - 2));
  for (int i = 0; request.size() < 16'300; ++i) request += "X: " + std::to_string(i) + "\r\n";
  Exchange([&](int client, int server) {
    Write(client, request);
    ReadAll(server, request.size());
  });
  EXPECT_EQ(Bytes(ClientSends()), request.substr(0, 16384));
  EXPECT_EQ(Bytes(ServerReceives()), request.substr(0, 16384));
}

TEST_F(CaptureTest, AMessageEndToldByTheAgentMakesTheNextHeadVisible) {
  START_CAPTURE();
  const std::string body(20'000, 'b');
  int go[2], done[2];
  ASSERT_EQ(pipe(go), 0);
  ASSERT_EQ(pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    int client = Connect();
    int server = accept(listener_, nullptr, nullptr);
    char byte = 0;
    Write(client, kRequest);
    Write(client, kRequest);  // pipelined
    ReadAll(server, 2 * kRequest.size());
    Write(server, kResponse);
    Write(server, body);
    Must(write(done[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1, "pipe");
    // The end of the first response and the second one in one call.
    Write(server, body + std::string(kResponse));
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(done[0], &byte, 1), 1);
  capture_->Drain();
  std::vector<SeenSegment> sent = ServerSends();
  ASSERT_THAT(sent, SizeIs(2));
  const uint64_t end = kResponse.size() + 2 * body.size();
  capture_->SetMessageEnd(sent[0].connection->id, model::Direction::kSend, end);
  ASSERT_EQ(write(go[1], "x", 1), 1);
  waitpid(child, nullptr, 0);
  capture_->Drain();
  sent = ServerSends();
  ASSERT_THAT(sent, SizeIs(4));
  EXPECT_EQ(sent[2].length, body.size());
  EXPECT_THAT(sent[2].bytes, IsEmpty());
  EXPECT_EQ(sent[3].position, end);
  EXPECT_EQ(sent[3].bytes, kResponse);
  EXPECT_EQ(sent[3].sequence, sent[0].sequence + static_cast<uint32_t>(end));
}

TEST_F(CaptureTest, ABusySinkLosesNothing) {
  START_CAPTURE();
  sink_.busy = true;
  for (int i = 0; i < 3; ++i) {
    Exchange([](int client, int server) {
      Write(client, kRequest);
      ReadAll(server, kRequest.size());
    });
  }
  EXPECT_THAT(ClientSends(), IsEmpty());
  sink_.busy = false;
  capture_->Drain();
  EXPECT_THAT(ClientSends(), SizeIs(3));
  EXPECT_THAT(ServerReceives(), SizeIs(3));
}

// What a long wait has left in the rings is taken in pieces, in order and whole.
TEST_F(CaptureTest, ALongWaitIsMadeUpForInPieces) {
  START_CAPTURE();
  constexpr size_t kCalls = 50'000, kAtOnce = 1'000;
  const std::string head = "POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n";
  sink_.busy = true;
  Exchange([&head](int client, int server) {
    Write(client, head);
    ReadAll(server, head.size());
    for (size_t i = 0; i < kCalls; ++i) {
      Write(client, "x");
      if (i % kAtOnce == kAtOnce - 1) ReadAll(server, kAtOnce);
    }
  });
  sink_.busy = false;
  sink_.largest = 0;
  capture_->Drain();
  uint64_t end = 0, last_ns = 0;
  for (const SeenSegment& s : ClientSends()) {
    ASSERT_EQ(s.position, end);
    ASSERT_GE(s.time_ns, last_ns);
    end += s.length;
    last_ns = s.time_ns;
  }
  EXPECT_EQ(end, head.size() + kCalls);
  EXPECT_LT(sink_.largest, kCalls);
  const auto by_time = [](auto& a, auto& b) { return a.time_ns < b.time_ns; };
  EXPECT_TRUE(std::is_sorted(sink_.segments.begin(), sink_.segments.end(), by_time));
}

TEST_F(CaptureTest, TheTimerDrainsByItself) {
  START_CAPTURE();
  pid_t child = fork();
  if (child == 0) {
    int client = Connect();
    Write(client, kRequest);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  loop_.RunAfter(std::chrono::milliseconds(100), [this] { loop_.Stop(); });
  loop_.Run();
  EXPECT_THAT(Texts(ClientSends()), ElementsAre(kRequest));
}

TEST_F(CaptureTest, AFullRingIsCountedAndTheNextRecordsArrive) {
  Options options;
  options.ring_bytes = 64 << 10;
  START_CAPTURE(options);
  Exchange([](int client, int server) {
    for (int i = 0; i < 2000; ++i) {
      Write(client, kRequest);
      ReadAll(server, kRequest.size());
      Write(server, kResponse);
      ReadAll(client, kResponse.size());
    }
  });
  EXPECT_LT(ClientSends().size(), 2000u);
  sink_.segments.clear();
  Exchange([](int client, int server) {
    Write(client, kRequest);
    ReadAll(server, kRequest.size());
  });
  EXPECT_THAT(Texts(ClientSends()), ElementsAre(kRequest));
  capture_->Stop(std::chrono::steady_clock::now());
  EXPECT_GT(ledger_.rows().back()->lost_total(), 0u);
}

TEST_F(CaptureTest, StopTwiceAndStopWithoutStartAreSafe) {
  Capture never(Options{}, {loop_, clock_, workload_, sink_, ledger_, metrics_});
  never.Stop(std::chrono::steady_clock::now());
  START_CAPTURE();
  EXPECT_TRUE(capture_->running());
  EXPECT_TRUE(capture_->features().at(0).on);
  capture_->Stop(std::chrono::steady_clock::now());
  capture_->Stop(std::chrono::steady_clock::now());
  EXPECT_FALSE(capture_->running());
  EXPECT_FALSE(capture_->features().at(0).on);
}

TEST_F(CaptureTest, ProbeSaysWhatStartWouldDo) {
  Options options;
  options.data_hook = DataHook();
  std::vector<FeatureReport> probed = Probe(options);
  ASSERT_FALSE(probed.empty());
  EXPECT_EQ(probed[0].on, StartCapture());
  for (const FeatureReport& f : probed) EXPECT_NE(f.on, !f.reason.empty()) << f.name;
}

// Without the right to use BPF, Start fails with a reason and leaves nothing.
TEST_F(CaptureTest, WithoutRootStartSaysWhy) {
  if (geteuid() != 0) GTEST_SKIP() << "dropping root needs root";
  pid_t child = fork();
  if (child == 0) {
    Must(setuid(65534) == 0, "setuid");
    bool started = StartCapture();
    bool says_why = skip_reason_.find("root") != std::string::npos;
    bool clean = !capture_->running();
    capture_->Drain();
    _exit(!started && says_why && clean ? 0 : 4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace weft::sources::ebpf
