#include "sources/jaeger_udp/jaeger_udp.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <random>

#include "net/event_loop.h"
#include "protocols/jaeger/datagram.h"
#include "protocols/jaeger/transcode.h"
#include "protocols/otlp/view.h"
#include "protocols/thrift/thrift_writer.h"

namespace weft::sources::jaeger_udp {
namespace {

namespace jaeger = protocols::jaeger;
namespace otlp = protocols::otlp;
using jaeger::Encoding;
using model::PushResult;

// A client's socket on the loopback.
class Sender {
 public:
  explicit Sender(uint16_t port, bool v6 = false)
      : v6_(v6), fd_(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    six.sin6_addr = in6addr_loopback;
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const sockaddr* to =
        v6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
    EXPECT_EQ(connect(fd_, to, v6 ? sizeof six : sizeof four), 0);
  }
  Sender(const Sender&) = delete;
  ~Sender() { close(fd_); }
  void Send(std::string_view bytes) {
    ASSERT_EQ(send(fd_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  uint16_t port() const {
    sockaddr_in6 own{};
    socklen_t size = sizeof own;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size);
    return ntohs(own.sin6_port);  // at the same place in both families
  }

 private:
  const bool v6_;
  const int fd_;
};

class FakePeers final : public model::PeerLookup {
 public:
  model::ProcessRef TcpPeer(const model::Endpoint&) override { return nullptr; }
  model::ProcessRef UdpPeer(const model::Endpoint& peer) override {
    ++asked;
    EXPECT_EQ(peer.AddressText(), "127.0.0.1");
    const auto found = by_port.find(peer.port);
    return found == by_port.end() ? nullptr : found->second;
  }
  std::map<uint16_t, model::ProcessRef> by_port;
  int asked = 0;
};

class FakeSink final : public model::Sink<model::OtlpBatch> {
 public:
  PushResult Push(model::OtlpBatch&& batch) override {
    ++pushes;
    if (answer && answer() == PushResult::kBusy) return PushResult::kBusy;
    for (const auto& span : batch.spans) spans += span.dropped ? 0 : 1;
    if (keep) batches.push_back(std::move(batch));
    return PushResult::kTaken;
  }
  std::function<PushResult()> answer;
  std::vector<model::OtlpBatch> batches;
  uint64_t pushes = 0, spans = 0;
  bool keep = true;
};

std::string Datagram(Encoding encoding, const std::string& service, int spans = 1) {
  jaeger::TestBatch batch{.service = service, .spans = {}};
  for (int i = 1; i <= spans; ++i) batch.spans.push_back({.span = i});
  return jaeger::MakeDatagram(encoding, batch);
}

model::ProcessRef MakeProcess(uint32_t pid) {
  auto process = std::make_shared<model::Process>();
  process->key.pid = pid;
  return process;
}

std::string Services(const model::OtlpBatch& batch) {
  std::vector<otlp::ResourceSpansView> resources;
  EXPECT_TRUE(otlp::Decode(batch.bytes->view(), &resources));
  std::string text;
  for (const auto& resource : resources) text += resource.ServiceName() + " ";
  return text;
}

class JaegerUdp : public ::testing::Test {
 protected:
  void Open(Options options = {true, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}) {
    receiver_ = std::make_unique<Receiver>(
        options,
        Deps{loop_, credit_, clock_, ledger_, metrics_, &peers_, [this] { order_ += "drain "; }},
        sink_);
    const base::Status started = receiver_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  // Runs the loop until `done`, or fails after some seconds.
  void RunUntil(std::function<bool()> done) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    bool in_time = true;
    const auto timer = loop_.RunEvery(std::chrono::milliseconds(1), [&] {
      in_time = std::chrono::steady_clock::now() < limit;
      if (done() || !in_time) loop_.Stop();
    });
    loop_.Run();
    loop_.Cancel(timer);
    EXPECT_TRUE(in_time);
  }
  void StopNow() { receiver_->Stop(std::chrono::steady_clock::now() + std::chrono::seconds(5)); }
  const base::LedgerRow& Row(std::string_view stage) {
    for (const base::LedgerRow* row : ledger_.rows()) {
      if (row->stage() == stage) return *row;
    }
    ADD_FAILURE() << "no row " << stage;
    return *ledger_.rows().at(0);
  }
  const base::LedgerRow& datagrams() { return Row("receiver jaeger_udp datagrams"); }
  const base::LedgerRow& spans() { return Row("receiver jaeger_udp"); }
  uint64_t Lost(const base::LedgerRow& row, base::Loss verb, std::string_view reason) {
    for (const auto& lost : row.lost()) {
      if (lost.verb == verb && lost.reason == reason) return lost.count;
    }
    return 0;
  }
  double MetricValue(const std::string& name, const base::Labels& labels) {
    for (const auto& sample : metrics_.Snapshot()) {
      if (sample.name == name && sample.labels == labels) return sample.value;
    }
    return -1;
  }

  base::ByteCredit credit_{64 << 20};
  base::FakeClock clock_;
  base::Ledger ledger_;
  base::MetricRegistry metrics_;
  net::EventLoop loop_;
  FakePeers peers_;
  FakeSink sink_;
  std::string order_;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(JaegerUdp, BothPortsAreReceived) {
  Open();
  Sender compact(receiver_->compact_port()), binary(receiver_->binary_port());
  compact.Send(Datagram(Encoding::kCompact, "go", 3));
  binary.Send(Datagram(Encoding::kBinary, "node", 2));
  RunUntil([&] { return sink_.spans == 5; });
  ASSERT_EQ(sink_.batches.size(), 2u);
  EXPECT_EQ(spans().out(), 5u);
  EXPECT_EQ(datagrams().out(), 2u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(sink_.batches[0].receipt->level(), model::ReceiptLevel::kTaken);
  EXPECT_EQ(credit_.used(), sink_.batches[0].size_bytes() + sink_.batches[1].size_bytes());
  sink_.batches.clear();
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_EQ(MetricValue("otelcol_receiver_accepted_spans_total",
                        {{"receiver", "jaeger"}, {"transport", "udp"}}),
            5);
  EXPECT_EQ(MetricValue("jaeger_agent_thrift_udp_server_packets_processed_total",
                        {{"protocol", "binary"}, {"model", "jaeger"}}),
            1);
}

TEST_F(JaegerUdp, DatagramsOfOneProcessBecomeOneBatchInOrder) {
  Open();
  Sender a(receiver_->compact_port()), b(receiver_->compact_port()), c(receiver_->compact_port());
  const model::ProcessRef one = MakeProcess(1), two = MakeProcess(2);
  peers_.by_port = {{a.port(), one}, {b.port(), two}, {c.port(), one}};
  a.Send(Datagram(Encoding::kCompact, "a1"));
  b.Send(Datagram(Encoding::kCompact, "b1"));
  a.Send(Datagram(Encoding::kCompact, "a2"));
  c.Send(Datagram(Encoding::kCompact, "c1"));
  b.Send(Datagram(Encoding::kCompact, "b2"));
  RunUntil([&] { return sink_.spans == 5; });
  ASSERT_EQ(sink_.batches.size(), 2u);
  EXPECT_EQ(sink_.batches[0].sender, one);
  EXPECT_EQ(Services(sink_.batches[0]), "a1 a2 c1 ");
  EXPECT_EQ(sink_.batches[1].sender, two);
  EXPECT_EQ(Services(sink_.batches[1]), "b1 b2 ");
  EXPECT_EQ(peers_.asked, 3);
  EXPECT_EQ(order_, "drain ");  // once, although two batches were pushed
}

TEST_F(JaegerUdp, ASenderIsAskedForAgainAfterASecondOrSoonerWhenUnknown) {
  Open();
  Sender client(receiver_->compact_port());
  uint64_t sent = 0;
  const auto send_one = [&] {
    client.Send(Datagram(Encoding::kCompact, "s"));
    RunUntil([&, want = ++sent] { return sink_.spans == want; });
  };
  send_one(), send_one();
  EXPECT_EQ(peers_.asked, 1);
  clock_.Advance(100'000'000);
  const model::ProcessRef process = MakeProcess(9);
  peers_.by_port[client.port()] = process;
  send_one();
  EXPECT_EQ(peers_.asked, 2);
  EXPECT_EQ(sink_.batches.back().sender, process);
  clock_.Advance(900'000'000);
  send_one();
  EXPECT_EQ(peers_.asked, 2);
  clock_.Advance(100'000'000);
  send_one();
  EXPECT_EQ(peers_.asked, 3);
}

TEST_F(JaegerUdp, BusySinkMeansShed) {
  Open();
  sink_.answer = [] { return PushResult::kBusy; };
  Sender client(receiver_->compact_port());
  client.Send(Datagram(Encoding::kCompact, "s", 4));
  RunUntil([&] { return sink_.pushes == 1; });
  EXPECT_EQ(Lost(spans(), base::Loss::kShed, "busy"), 4u);
  EXPECT_EQ(spans().out(), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(credit_.used(), 0u);
}

TEST_F(JaegerUdp, WithoutCreditDatagramsAreShed) {
  Open();
  ASSERT_TRUE(credit_.Take(credit_.limit()));
  Sender client(receiver_->compact_port());
  client.Send(Datagram(Encoding::kCompact, "s"));
  client.Send(Datagram(Encoding::kCompact, "s"));
  RunUntil([&] { return datagrams().in() == 2; });
  EXPECT_EQ(Lost(datagrams(), base::Loss::kShed, "no_credit"), 2u);
  EXPECT_EQ(sink_.pushes, 0u);
  EXPECT_EQ(credit_.used(), credit_.limit());
  credit_.Return(credit_.limit());
  client.Send(Datagram(Encoding::kCompact, "s"));
  RunUntil([&] { return sink_.spans == 1; });
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// F28, F29
TEST_F(JaegerUdp, BadDatagramsAreCountedByCauseAndHarmNobody) {
  Open();
  Sender client(receiver_->compact_port());
  const std::string good = Datagram(Encoding::kCompact, "good");
  protocols::thrift::ThriftWriter zipkin(true);
  zipkin.Head("emitZipkinBatch");
  client.Send("");
  client.Send("x");
  client.Send(good);
  client.Send(good.substr(0, good.size() / 2));
  client.Send(Datagram(Encoding::kBinary, "elsewhere"));
  client.Send(zipkin.out());
  client.Send(std::string(65'507, '\x82'));
  client.Send(good);
  RunUntil([&] { return datagrams().in() == 8; });
  EXPECT_EQ(sink_.spans, 2u);
  EXPECT_EQ(datagrams().out(), 2u);
  EXPECT_EQ(Lost(datagrams(), base::Loss::kRejected, "malformed"), 5u);
  EXPECT_EQ(Lost(datagrams(), base::Loss::kRejected, "wrong_protocol"), 1u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(MetricValue("jaeger_agent_thrift_udp_server_read_errors_total",
                        {{"protocol", "compact"}, {"model", "jaeger"}}),
            6);
  sink_.batches.clear();
  EXPECT_EQ(credit_.used(), 0u);
}

// One sound span and one without an id.
std::string ZipkinDatagram(bool compact) {
  using protocols::thrift::Type;
  protocols::thrift::ThriftWriter w(compact);
  w.Head("emitZipkinBatch");
  w.Begin();
  w.ListField(1, Type::kStruct, 2);
  for (int64_t id : {7, 0}) {
    w.Begin();
    w.I64Field(1, 5);
    w.TextField(3, "get");
    w.I64Field(4, id);
    w.ListField(6, Type::kStruct, 1);
    w.Begin();
    w.I64Field(1, 1'700'000'000'000'000);
    w.TextField(2, "sr");
    w.Field(3, Type::kStruct);
    w.Begin();
    w.TextField(3, "front");
    w.End();
    w.End();
    w.End();
  }
  w.End();
  return w.out();
}

TEST_F(JaegerUdp, EmitZipkinBatchIsTakenOnEveryPort) {
  Open();
  Sender(receiver_->compact_port()).Send(ZipkinDatagram(true));
  Sender(receiver_->binary_port()).Send(ZipkinDatagram(false));
  Sender legacy(receiver_->legacy_port());
  legacy.Send(ZipkinDatagram(true));
  legacy.Send(Datagram(Encoding::kCompact, "old"));
  RunUntil([&] { return datagrams().in() == 4; });
  EXPECT_EQ(datagrams().out(), 4u);
  EXPECT_EQ(sink_.spans, 4u);
  std::string services;
  for (const auto& batch : sink_.batches) services += Services(batch);
  EXPECT_NE(services.find("front"), std::string::npos);
  EXPECT_NE(services.find("old"), std::string::npos);
  EXPECT_EQ(Lost(spans(), base::Loss::kRejected, "zero_id"), 3u);
  EXPECT_EQ(MetricValue("jaeger_agent_thrift_udp_server_packets_processed_total",
                        {{"protocol", "compact"}, {"model", "zipkin"}}),
            2);
  EXPECT_EQ(MetricValue("jaeger_agent_reporter_spans_submitted_total",
                        {{"format", "jaeger"}, {"protocol", "grpc"}}),
            4);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// F29
TEST_F(JaegerUdp, TheLargestDatagramIsTakenAndACutOneIsRejected) {
  Options options{true, "127.0.0.1:0", "[::1]:0", ""};
  receiver_ = std::make_unique<Receiver>(
      options, Deps{loop_, credit_, clock_, ledger_, metrics_, nullptr, nullptr}, sink_);
  if (!receiver_->Start().ok()) GTEST_SKIP() << "no IPv6 on this machine";
  jaeger::TestBatch batch;
  batch.spans[0].tags = {jaeger::Text("pad", "")};
  const size_t bare = jaeger::MakeDatagram(Encoding::kCompact, batch).size();
  batch.spans[0].tags = {jaeger::Text("pad", std::string(65'507 - bare - 2, 'x'))};
  const std::string largest = jaeger::MakeDatagram(Encoding::kCompact, batch);
  ASSERT_EQ(largest.size(), 65'507u);
  Sender four(receiver_->compact_port()), six(receiver_->binary_port(), true);
  four.Send(largest);
  six.Send(std::string(65'520, 'x'));  // IPv6 allows a little more
  RunUntil([&] { return datagrams().in() == 2; });
  EXPECT_EQ(sink_.spans, 1u);
  EXPECT_EQ(Lost(datagrams(), base::Loss::kRejected, "truncated"), 1u);
}

TEST_F(JaegerUdp, SpansWithZeroIdsAreRejectedAlone) {
  Open();
  Sender client(receiver_->compact_port());
  client.Send(jaeger::MakeDatagram(
      Encoding::kCompact,
      {.spans = {{.span = 1}, {.span = 0}, {.trace_low = 0, .span = 3}, {.span = 4}}}));
  client.Send(jaeger::MakeDatagram(Encoding::kCompact, {.spans = {{.span = 0}}}));
  RunUntil([&] { return datagrams().in() == 2; });
  EXPECT_EQ(sink_.spans, 2u);
  EXPECT_EQ(Lost(spans(), base::Loss::kRejected, "zero_id"), 3u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// F29: what the kernel drops is in the books.
TEST_F(JaegerUdp, KernelDropsAreCounted) {
  Open();
  Sender client(receiver_->compact_port());
  const std::string bytes = Datagram(Encoding::kCompact, std::string(60'000, 's'));
  constexpr uint64_t kSent = 1000;  // 60 MB into a buffer of at most 16
  for (uint64_t i = 0; i < kSent; ++i) client.Send(bytes);
  sink_.keep = false;
  StopNow();
  EXPECT_GT(Lost(datagrams(), base::Loss::kShed, "kernel_buffer"), 0u);
  EXPECT_GT(sink_.spans, 0u);
  EXPECT_EQ(datagrams().in(), kSent);
  EXPECT_EQ(datagrams().out(), sink_.spans);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(credit_.used(), 0u);
}

TEST_F(JaegerUdp, StopEndsSoonThoughTheSenderGoesOn) {
  Open();
  Sender client(receiver_->compact_port());
  const std::string bytes = Datagram(Encoding::kCompact, "s");
  const auto send_a_bunch = [&] {
    for (int i = 0; i < 64; ++i) client.Send(bytes);
    return PushResult::kTaken;
  };
  sink_.keep = false;
  sink_.answer = send_a_bunch;  // there is always more to read
  send_a_bunch();
  const auto begin = std::chrono::steady_clock::now();
  receiver_->Stop(begin + std::chrono::seconds(4));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  EXPECT_GT(sink_.pushes, 1u);
}

// In a stream the port is read by a timer; when it is quiet, it is watched again.
TEST_F(JaegerUdp, AStreamIsTakenWholeAndSoIsWhatComesAfterIt) {
  Open();
  Sender client(receiver_->compact_port());
  const std::string bytes = Datagram(Encoding::kCompact, "s");
  uint64_t sent = 0;
  for (int round = 0; round < 3; ++round) {
    for (const int count : {1, 1, 1, 200, 1}) {  // the clock stands: all of it is one stream
      for (int i = 0; i < count; ++i) client.Send(bytes);
      sent += static_cast<uint64_t>(count);
      RunUntil([&] { return datagrams().in() == sent; });
    }
    int quiet = 0;
    RunUntil([&] { return ++quiet == 20; });
  }
  client.Send(bytes);
  client.Send(bytes);
  RunUntil([&] { return datagrams().in() >= sent + 1; });
  StopNow();  // while the timer may still be set
  EXPECT_EQ(datagrams().in(), sent + 2);
  EXPECT_EQ(sink_.spans, sent + 2);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

TEST_F(JaegerUdp, TheLedgerBalancesDuringAPush) {
  Open();
  bool balanced = true;
  sink_.answer = [&] {
    balanced = balanced && ledger_.Balanced();
    return sink_.pushes % 2 == 0 ? PushResult::kBusy : PushResult::kTaken;
  };
  Sender client(receiver_->compact_port()), other(receiver_->compact_port());
  peers_.by_port = {{client.port(), MakeProcess(1)}, {other.port(), MakeProcess(2)}};
  client.Send(Datagram(Encoding::kCompact, "s", 2));
  client.Send("x");
  other.Send(Datagram(Encoding::kCompact, "s", 3));
  other.Send(jaeger::MakeDatagram(Encoding::kCompact, {.spans = {{.span = 0}, {.span = 1}}}));
  RunUntil([&] { return datagrams().in() == 4; });
  EXPECT_EQ(sink_.pushes, 2u);
  EXPECT_TRUE(balanced);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

TEST_F(JaegerUdp, StopWithoutStartAndStopTwice) {
  Receiver receiver({true, "127.0.0.1:0", "127.0.0.1:0"},
                    Deps{loop_, credit_, clock_, ledger_, metrics_, nullptr, nullptr}, sink_);
  receiver.Stop(std::chrono::steady_clock::now());
  EXPECT_EQ(receiver.compact_port(), 0);
  Open();
  Sender client(receiver_->compact_port());
  client.Send(Datagram(Encoding::kCompact, "late"));
  StopNow();
  StopNow();
  EXPECT_EQ(sink_.spans, 1u);  // what had arrived was still taken
  EXPECT_EQ(receiver_->compact_port(), 0);
}

TEST_F(JaegerUdp, UnderLoadWithARandomlyBusySinkEverySpanIsAccounted) {
  Open();
  sink_.keep = false;
  std::mt19937 random(1);
  sink_.answer = [&] { return random() % 3 == 0 ? PushResult::kBusy : PushResult::kTaken; };
  Sender compact(receiver_->compact_port()), binary(receiver_->binary_port());
  uint64_t sent = 0;
  loop_.RunEvery(std::chrono::microseconds(200), [&] {
    for (int i = 0; i < 10 && sent < 3000; ++i, ++sent) {
      const int kind = static_cast<int>(random() % 10);
      if (kind == 0) compact.Send("junk");
      if (kind > 0 && kind < 6) compact.Send(Datagram(Encoding::kCompact, "c", kind));
      if (kind >= 6) binary.Send(Datagram(Encoding::kBinary, "b", kind));
    }
  });
  RunUntil([&] { return sent == 3000; });
  StopNow();
  EXPECT_EQ(datagrams().in(), 3000u);
  EXPECT_EQ(spans().out(), sink_.spans);
  EXPECT_EQ(spans().in(), spans().out() + spans().lost_total());
  EXPECT_GT(Lost(spans(), base::Loss::kShed, "busy"), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(credit_.used(), 0u);
}

TEST_F(JaegerUdp, APortInUseIsAnErrorThatNamesIt) {
  Open();
  const std::string taken = "127.0.0.1:" + std::to_string(receiver_->compact_port());
  Receiver second({true, "127.0.0.1:0", taken},
                  Deps{loop_, credit_, clock_, ledger_, metrics_, nullptr, nullptr}, sink_);
  const base::Status status = second.Start();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find(taken), std::string::npos) << status.message();
  EXPECT_EQ(second.compact_port(), 0);
}

TEST(JaegerUdpConfig, BlockBindsTheOptions) {
  Options options;
  const base::ConfigBlock block = Describe(options);
  EXPECT_EQ(block.name, "receivers.jaeger_udp");
  ASSERT_EQ(block.fields.size(), 4u);
  EXPECT_EQ(std::get<bool*>(block.fields[0].value), &options.enabled);
  EXPECT_EQ(options.compact_endpoint, "127.0.0.1:6831");
  EXPECT_EQ(options.binary_endpoint, "127.0.0.1:6832");
}

}  // namespace
}  // namespace weft::sources::jaeger_udp
