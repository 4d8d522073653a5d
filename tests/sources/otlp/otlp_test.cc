#include "sources/otlp/otlp.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <random>
#include <thread>

#include "net/event_loop.h"
#include "net/grpc_channel.h"
#include "protocols/otlp/index.h"
#include "protocols/otlp/view.h"
#include "protocols/otlp/write.h"

namespace weft::sources::otlp {
namespace {

namespace wire = protocols::otlp;
using model::PushResult;
using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr char kGrpcExport[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

// A request with `good` sound spans and `zero` spans without ids.
std::string MakeRequest(int good, int zero = 0) {
  base::ByteBuffer bytes;
  {
    wire::RequestWriter request(bytes);
    wire::WriteAttribute(request.BeginResource(), wire::field::kResourceAttribute, "service.name",
                         "shop");
    request.BeginScope("lib", "1");
    for (int i = 0; i < good + zero; ++i) {
      base::SpanId id;
      if (i < good) id.bytes[7] = static_cast<uint8_t>(i % 255 + 1);
      base::TraceId trace;
      trace.bytes[0] = 1;
      request.BeginSpan(trace, id, {}, "op");
    }
  }
  return std::string(base::AsText(bytes.view()));
}

constexpr char kJsonRequest[] =
    R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10",)"
    R"("spanId":"0102030405060708","name":"op","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":2}]}]}]})";

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// One request on its own connection, raw.
HttpAnswer Exchange(uint16_t port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  HttpAnswer answer;
  std::string text;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t n = send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;)
      text.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return answer;
  answer.status = std::atoi(text.c_str() + 9);
  answer.body = text.substr(end + 4);
  for (size_t at = text.find("\r\n"); at < end;) {
    const size_t next = text.find("\r\n", at + 2), colon = text.find(": ", at);
    std::string name = text.substr(at + 2, colon - at - 2);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    answer.headers[name] = text.substr(colon + 2, next - colon - 2);
    at = next;
  }
  return answer;
}

class FakePeers final : public model::PeerLookup {
 public:
  model::ProcessRef TcpPeer(const model::Endpoint& peer) override {
    ++asked;
    EXPECT_EQ(peer.AddressText(), "127.0.0.1");
    return answer;
  }
  model::ProcessRef UdpPeer(const model::Endpoint&) override { return nullptr; }
  model::ProcessRef answer = std::make_shared<model::Process>();
  int asked = 0;
};

class FakeSink final : public model::Sink<model::OtlpBatch> {
 public:
  PushResult Push(model::OtlpBatch&& batch) override {
    if (order != nullptr) *order += "push ";
    if (answer && answer() == PushResult::kBusy) return PushResult::kBusy;
    for (const auto& span : batch.spans) spans += span.dropped ? 0 : 1;
    if (keep) batches.push_back(std::move(batch));
    return PushResult::kTaken;
  }
  std::function<PushResult()> answer;
  std::vector<model::OtlpBatch> batches;
  std::string* order = nullptr;
  uint64_t spans = 0;
  bool keep = true;
};

class OtlpReceiver : public ::testing::Test {
 protected:
  void SetUp() override { Open({}); }
  void Open(Options options) {
    options.endpoint = "127.0.0.1:0";
    sink_.order = &order_;
    receiver_ = nullptr;
    receiver_ = std::make_unique<Receiver>(
        "otlp_http", options,
        Deps{loop_, credit_, clock_, ledger_, metrics_, &peers_, [this] { order_ += "drain "; },
             model::ReceiptLevel::kTaken, pass_on_},
        sink_);
    const base::Status started = receiver_->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  // Runs `client` on a thread of its own while the loop serves it.
  void WithLoop(const std::function<void()>& client) {
    std::thread thread([&] {
      client();
      loop_.Stop();
    });
    loop_.Run();
    thread.join();
  }
  HttpAnswer Http(const std::string& method, const std::string& path, const std::string& type,
                  const std::string& body) {
    HttpAnswer answer;
    WithLoop([&] {
      answer = Exchange(receiver_->port(),
                        method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" +
                            (type.empty() ? "" : "Content-Type: " + type + "\r\n") +
                            "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    });
    return answer;
  }
  HttpAnswer PostProto(const std::string& body) {
    return Http("POST", "/v1/traces", "application/x-protobuf", body);
  }
  HttpAnswer PostJson(const std::string& body) {
    return Http("POST", "/v1/traces", "application/json", body);
  }
  net::GrpcReply Grpc(const std::string& path, const std::string& message) {
    net::GrpcReply result;
    net::GrpcChannel channel(loop_, {.endpoint = "127.0.0.1:" + std::to_string(receiver_->port())});
    base::Gathered payload;
    payload.Add(base::AsBytes(message));
    channel.Call(path, std::move(payload), "", [&](net::GrpcReply&& reply) {
      result = std::move(reply);
      loop_.Stop();
    });
    loop_.Run();
    return result;
  }
  const base::LedgerRow& Row(std::string_view stage) {
    for (const base::LedgerRow* row : ledger_.rows()) {
      if (row->stage() == stage) return *row;
    }
    ADD_FAILURE() << "no row " << stage;
    return *ledger_.rows().at(0);
  }
  const base::LedgerRow& spans() { return Row("receiver otlp_http"); }
  const base::LedgerRow& requests() { return Row("receiver otlp_http requests"); }
  uint64_t Lost(const base::LedgerRow& row, std::string_view reason) {
    for (const auto& lost : row.lost()) {
      if (lost.reason == reason) return lost.count;
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
  base::Compression pass_on_ = base::Compression::kNone;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(OtlpReceiver, ProtobufIsTaken) {
  const std::string body = MakeRequest(3);
  const HttpAnswer answer = PostProto(body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/x-protobuf");
  EXPECT_EQ(answer.body, "");
  ASSERT_EQ(sink_.batches.size(), 1u);
  const model::OtlpBatch& batch = sink_.batches[0];
  EXPECT_EQ(base::AsText(batch.bytes->view()), body);
  EXPECT_EQ(batch.spans.size(), 3u);
  EXPECT_EQ(batch.sender, peers_.answer);
  ASSERT_NE(batch.receipt, nullptr);
  EXPECT_EQ(batch.receipt->level(), model::ReceiptLevel::kTaken);
  EXPECT_GE(credit_.used(), body.size());
  sink_.batches.clear();
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_EQ(order_, "drain push ");
  EXPECT_EQ(spans().out(), 3u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(MetricValue("otelcol_receiver_accepted_spans_total",
                        {{"receiver", "otlp"}, {"transport", "http"}}),
            3);
}

TEST_F(OtlpReceiver, ACompressedBodyKeepsItsFormWhereItWillBeOfUse) {
  const std::string plain = MakeRequest(100);
  base::ByteBuffer packed;
  ASSERT_TRUE(base::Deflate(base::Compression::kGzip, base::AsBytes(plain), &packed).ok());
  const std::string body(base::AsText(packed.view()));
  uint64_t with_both = 0;
  for (base::Compression wanted : {base::Compression::kGzip, base::Compression::kZstd}) {
    pass_on_ = wanted;
    Open({});
    const HttpAnswer answer =
        Http("POST", "/v1/traces", "application/x-protobuf\r\nContent-Encoding: gzip", body);
    ASSERT_EQ(answer.status, 200);
    ASSERT_FALSE(sink_.batches.empty());
    const model::OtlpBatch& batch = sink_.batches.back();
    if (wanted == base::Compression::kGzip) {
      ASSERT_NE(batch.packed, nullptr);
      EXPECT_EQ(base::AsText(batch.packed->bytes.view()), body);
      with_both = credit_.used();
      EXPECT_GE(with_both, plain.size() + body.size());
    } else {
      EXPECT_EQ(batch.packed, nullptr);
      EXPECT_EQ(with_both - credit_.used(), body.size());
    }
    sink_.batches.clear();
    EXPECT_EQ(credit_.used(), 0u);
  }
}

TEST_F(OtlpReceiver, ABodyThatIsEditedLosesItsCompressedForm) {
  pass_on_ = base::Compression::kGzip;
  Open({});
  base::ByteBuffer packed;
  ASSERT_TRUE(
      base::Deflate(base::Compression::kGzip, base::AsBytes(MakeRequest(5, 1)), &packed).ok());
  ASSERT_EQ(Http("POST", "/v1/traces", "application/x-protobuf\r\nContent-Encoding: gzip",
                 std::string(base::AsText(packed.view())))
                .status,
            200);
  ASSERT_EQ(sink_.batches.size(), 1u);
  EXPECT_EQ(sink_.batches[0].packed, nullptr);
}

TEST_F(OtlpReceiver, JsonIsTaken) {
  const HttpAnswer answer =
      Http("POST", "/v1/traces", "Application/JSON; charset=utf-8", kJsonRequest);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.body, "{}");
  ASSERT_EQ(sink_.batches.size(), 1u);
  EXPECT_EQ(sink_.batches[0].spans.at(0).span_id.Hex(), "0102030405060708");
  sink_.batches.clear();
  EXPECT_EQ(credit_.used(), 0u);
}

TEST_F(OtlpReceiver, GrpcIsTakenOnTheSamePort) {
  const net::GrpcReply reply = Grpc(kGrpcExport, MakeRequest(2));
  EXPECT_EQ(reply.status, 0) << reply.message;
  EXPECT_EQ(reply.body.size(), 0u);
  EXPECT_EQ(sink_.spans, 2u);
  EXPECT_EQ(sink_.batches.at(0).sender, peers_.answer);
  EXPECT_EQ(MetricValue("otelcol_receiver_accepted_spans_total",
                        {{"receiver", "otlp"}, {"transport", "grpc"}}),
            2);
}

TEST_F(OtlpReceiver, AnEmptyRequestSucceedsWithoutTheSink) {
  EXPECT_EQ(PostProto("").status, 200);
  EXPECT_EQ(PostJson("{}").body, "{}");
  EXPECT_EQ(Grpc(kGrpcExport, "").status, 0);
  EXPECT_EQ(order_, "");
  EXPECT_EQ(requests().out(), 3u);
}

// F37
TEST_F(OtlpReceiver, WrongMethodTypeAndPathAreTold) {
  const HttpAnswer get = Http("GET", "/v1/traces", "", "");
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.headers.at("allow"), "POST");
  EXPECT_EQ(Http("PUT", "/v1/traces", "application/json", "{}").status, 405);
  EXPECT_EQ(Http("POST", "/v1/traces", "text/plain", "{}").status, 415);
  EXPECT_EQ(Http("POST", "/v1/traces", "", "{}").status, 415);
  EXPECT_EQ(Http("POST", "/v1/traces", "application/jsonp", "{}").status, 415);
  EXPECT_EQ(Http("POST", "/v1/trace", "application/json", "{}").status, 404);
  EXPECT_EQ(Grpc("/opentelemetry.proto.collector.trace.v1.TraceService/Import", "").status, 12);
}

TEST_F(OtlpReceiver, OtherSignalsAreRefusedAndCountedWhenToldSo) {
  Options options;
  options.other_signals = "refuse";
  Open(options);
  EXPECT_EQ(Http("POST", "/v1/metrics", "application/json", "{}").status, 404);
  EXPECT_EQ(Http("POST", "/v1/logs", "application/x-protobuf", "").status, 404);
  EXPECT_EQ(Http("POST", "/v1development/profiles", "application/x-protobuf", "").status, 404);
  EXPECT_EQ(Grpc("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "").status, 12);
  EXPECT_EQ(Grpc("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "").status, 12);
  const auto count = [&](const char* signal) {
    return MetricValue("weft_sources_otlp_other_signal_requests_total",
                       {{"receiver", "otlp_http"}, {"signal", signal}});
  };
  EXPECT_EQ(count("metrics"), 2);
  EXPECT_EQ(count("logs"), 2);
  EXPECT_EQ(count("profiles"), 1);
}

// F30, F37
TEST_F(OtlpReceiver, BadRequestsAreAnsweredInTheirEncoding) {
  const std::string truncated = MakeRequest(1).substr(0, 20);
  const HttpAnswer proto = PostProto(truncated);
  EXPECT_EQ(proto.status, 400);
  EXPECT_EQ(proto.headers.at("content-type"), "application/x-protobuf");
  EXPECT_EQ(proto.body.substr(0, 3),
            "\x08\x03\x12");  // google.rpc.Status: code 3, then the message
  for (const std::string& body :
       {"{"s, "[]"s, "\"x\""s, std::string(100'000, '['), "{\"resourceSpans\":"s}) {
    const HttpAnswer json = PostJson(body);
    EXPECT_EQ(json.status, 400) << body.substr(0, 20);
    EXPECT_EQ(json.headers.at("content-type"), "application/json");
    EXPECT_EQ(json.body.substr(0, 20), "{\"code\":3,\"message\":") << json.body;
  }
  EXPECT_EQ(Grpc(kGrpcExport, truncated).status, 3);
  EXPECT_EQ(Lost(requests(), "malformed"), 7u);
  EXPECT_EQ(order_, "");
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// F30
TEST_F(OtlpReceiver, MillionsOfEmptySpansAreRefused) {
  std::string spans;
  for (uint64_t i = 0; i <= wire::kMaxSpans; ++i) spans += "\x12\0"s;
  const auto wrap = [](const char* tag, const std::string& body) {
    std::string out(tag, 1);
    for (size_t n = body.size(); out.size() == 1 || n > 0; n >>= 7)
      out += static_cast<char>((n & 0x7f) | (n > 127 ? 0x80 : 0));
    return out + body;
  };
  const HttpAnswer answer = PostProto(wrap("\x0a", wrap("\x12", spans)));
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(Lost(requests(), "too_many_spans"), 1u);
  EXPECT_EQ(credit_.used(), 0u);
}

TEST_F(OtlpReceiver, TheLedgerBalancesDuringAPush) {
  bool balanced = true;
  int pushes = 0;
  sink_.answer = [&] {
    balanced = balanced && ledger_.Balanced();
    return ++pushes % 2 == 0 ? PushResult::kBusy : PushResult::kTaken;
  };
  EXPECT_EQ(PostProto(MakeRequest(2, 1)).status, 200);
  EXPECT_EQ(PostProto(MakeRequest(2, 1)).status, 503);
  EXPECT_EQ(pushes, 2);
  EXPECT_TRUE(balanced);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

TEST_F(OtlpReceiver, BusyMeansComeAgain) {
  sink_.answer = [] { return PushResult::kBusy; };
  const HttpAnswer proto = PostProto(MakeRequest(2));
  EXPECT_EQ(proto.status, 503);
  EXPECT_EQ(proto.headers.at("retry-after"), "1");
  EXPECT_EQ(proto.headers.at("content-type"), "application/x-protobuf");
  EXPECT_EQ(proto.body.substr(0, 2), "\x08\x0e");
  const HttpAnswer json = PostJson(kJsonRequest);
  EXPECT_EQ(json.status, 503);
  EXPECT_EQ(json.headers.at("retry-after"), "1");
  EXPECT_EQ(json.body.substr(0, 11), "{\"code\":14,");
  const net::GrpcReply grpc = Grpc(kGrpcExport, MakeRequest(3));
  EXPECT_EQ(grpc.status, 14);
  EXPECT_FALSE(grpc.transport_error);
  EXPECT_GE(grpc.retry_delay, Intake::kShortestRetry);
  EXPECT_LT(grpc.retry_delay, 2 * Intake::kShortestRetry);
  EXPECT_EQ(Lost(spans(), "busy"), 6u);
  EXPECT_EQ(Lost(requests(), "busy"), 3u);
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(MetricValue("otelcol_receiver_refused_spans_total",
                        {{"receiver", "otlp"}, {"transport", "grpc"}}),
            3);
}

// A queue that was full for a moment must not run empty before its clients come back.
TEST_F(OtlpReceiver, ClientsAreToWaitAsLongAsThereWasNoRoom) {
  bool has_room = false;
  sink_.answer = [&] { return has_room ? PushResult::kTaken : PushResult::kBusy; };
  const auto wait = [&] { return Grpc(kGrpcExport, MakeRequest(1)).retry_delay.value_or(0ms); };
  const std::chrono::milliseconds first = wait();
  EXPECT_EQ(first, Intake::kShortestRetry);
  EXPECT_GT(wait(), first);  // who was refused together does not come together
  clock_.Advance(700'000'000);
  EXPECT_GE(wait(), 700ms);
  clock_.Advance(60'000'000'000);
  const std::chrono::milliseconds last = wait();
  EXPECT_GE(last, Intake::kLongestRetry);
  EXPECT_LE(last, 2 * Intake::kLongestRetry);
  EXPECT_EQ(PostProto(MakeRequest(1)).headers.at("retry-after"), "3");
  has_room = true;
  EXPECT_EQ(Grpc(kGrpcExport, MakeRequest(1)).status, 0);
  has_room = false;
  EXPECT_LT(wait(), 2 * Intake::kShortestRetry);
}

TEST_F(OtlpReceiver, WithoutCreditTheClientComesAgain) {
  ASSERT_TRUE(credit_.Take(credit_.limit()));
  const HttpAnswer answer = PostProto(MakeRequest(2));
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.headers.at("retry-after"), "1");
  EXPECT_EQ(order_, "");
  credit_.Return(credit_.limit());
  EXPECT_EQ(PostProto(MakeRequest(2)).status, 200);
}

// F39
TEST_F(OtlpReceiver, SpansWithZeroIdsAreAPartialSuccess) {
  const std::string why = "spans without a trace id or span id";
  const HttpAnswer proto = PostProto(MakeRequest(2, 3));
  EXPECT_EQ(proto.status, 200);
  const std::string partial = "\x08\x03\x12"s + static_cast<char>(why.size()) + why;
  const std::string want = "\x0a"s + static_cast<char>(partial.size()) + partial;
  EXPECT_EQ(proto.body, want);
  const net::GrpcReply grpc = Grpc(kGrpcExport, MakeRequest(1, 3));
  EXPECT_EQ(grpc.status, 0);
  EXPECT_EQ(base::AsText(grpc.body.view()), want);
  const HttpAnswer json =
      PostJson(R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"no ids"}]}]}]})");
  EXPECT_EQ(json.body,
            "{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"" + why + "\"}}");
  EXPECT_EQ(sink_.spans, 3u);
  EXPECT_EQ(Lost(spans(), "zero_id"), 7u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// Two resources, a scope in each, `items` gauges or records in each scope.
std::string MakeOther(bool is_metrics, int items) {
  base::ByteBuffer bytes;
  wire::Writer w(bytes);
  for (int r = 0; r < 2; ++r) {
    const size_t resource = w.Begin(1), scope = w.Begin(2);
    for (int i = 0; i < items; ++i) {
      const size_t item = w.Begin(2);
      if (is_metrics) {
        w.Text(1, "queue.length");
        const size_t gauge = w.Begin(i % 2 == 0 ? 5 : 11);
        w.End(w.Begin(1));
        w.End(w.Begin(1));
        w.End(gauge);
      }
      w.End(item);
    }
    w.End(scope);
    w.End(resource);
  }
  return std::string(base::AsText(bytes.view()));
}

TEST_F(OtlpReceiver, OtherSignalsArePassedOnByteForByteAndCounted) {
  const std::string metrics = MakeOther(true, 3), logs = MakeOther(false, 3);
  EXPECT_EQ(Grpc("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", metrics).status,
            0);
  EXPECT_EQ(Http("POST", "/v1/logs", "application/x-protobuf", logs).status, 200);
  EXPECT_EQ(Http("POST", "/v1development/profiles", "application/x-protobuf", logs).status, 200);
  ASSERT_EQ(sink_.batches.size(), 3u);
  EXPECT_EQ(sink_.batches[0].signal, model::Signal::kMetrics);
  EXPECT_EQ(sink_.batches[0].items, 12u);
  EXPECT_EQ(base::AsText(sink_.batches[0].bytes->view()), metrics);
  EXPECT_TRUE(sink_.batches[0].spans.empty());
  EXPECT_EQ(sink_.batches[0].receipt->level(), model::ReceiptLevel::kTaken);
  EXPECT_EQ(sink_.batches[1].signal, model::Signal::kLogs);
  EXPECT_EQ(sink_.batches[1].items, 6u);
  EXPECT_EQ(base::AsText(sink_.batches[1].bytes->view()), logs);
  EXPECT_EQ(sink_.batches[2].signal, model::Signal::kProfiles);
  EXPECT_EQ(Row("receiver otlp_http metrics").out(), 12u);
  EXPECT_EQ(Row("receiver otlp_http logs").out(), 6u);
  EXPECT_EQ(MetricValue("otelcol_receiver_accepted_metric_points_total",
                        {{"receiver", "otlp"}, {"transport", "grpc"}}),
            12);
  EXPECT_GT(credit_.used(), 0u);
  sink_.batches.clear();
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

TEST_F(OtlpReceiver, OtherSignalsThatAreDamagedJsonOrUnwelcomeAreRefused) {
  const std::string logs = MakeOther(false, 3);
  EXPECT_EQ(Http("POST", "/v1/logs", "application/x-protobuf", logs.substr(0, 7)).status, 400);
  EXPECT_EQ(Http("POST", "/v1/logs", "application/json", R"({"resourceLogs":1})").status, 400);
  EXPECT_EQ(Http("POST", "/v1development/profiles", "application/json", "{}").status, 415);
  EXPECT_EQ(Http("GET", "/v1/logs", "", "").status, 405);
  sink_.answer = [] { return PushResult::kBusy; };
  const HttpAnswer busy = Http("POST", "/v1/logs", "application/x-protobuf", logs);
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.headers.at("retry-after"), "1");
  EXPECT_EQ(Lost(Row("receiver otlp_http logs"), "busy"), 6u);
  EXPECT_EQ(Http("POST", "/v1/logs", "application/x-protobuf", "").status, 200);  // nothing in it
  EXPECT_TRUE(sink_.batches.empty());
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

TEST_F(OtlpReceiver, MetricsAndLogsInJsonArePassedOnAsProtobuf) {
  const HttpAnswer metrics =
      Http("POST", "/v1/metrics", "application/json",
           R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{)"
           R"("dataPoints":[{"asInt":"7"},{"asInt":8}]}}]}]}]})");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.body, "{}");
  EXPECT_EQ(Http("POST", "/v1/logs", "application/json; charset=utf-8",
                 R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"0102"}]}]}]})")
                .status,
            200);
  EXPECT_EQ(Http("POST", "/v1/logs", "application/json", "{}").status, 200);  // nothing in it
  ASSERT_EQ(sink_.batches.size(), 2u);
  EXPECT_EQ(sink_.batches[0].signal, model::Signal::kMetrics);
  EXPECT_EQ(sink_.batches[0].items, 2u);
  EXPECT_EQ(base::AsText(sink_.batches[0].bytes->view()),
            "\x0a\x1f\x12\x1d\x12\x1b\x0a\x01m\x2a\x16"
            "\x0a\x09\x31\x07\0\0\0\0\0\0\0\x0a\x09\x31\x08\0\0\0\0\0\0\0"s);
  EXPECT_EQ(sink_.batches[1].signal, model::Signal::kLogs);
  EXPECT_EQ(base::AsText(sink_.batches[1].bytes->view()),
            "\x0a\x08\x12\x06\x12\x04\x4a\x02\x01\x02"s);
  EXPECT_EQ(Row("receiver otlp_http metrics").out(), 2u);
  EXPECT_EQ(credit_.used(),
            sink_.batches[0].bytes->view().size() + sink_.batches[1].bytes->view().size());
  sink_.batches.clear();
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// F31: a small body that is much for the one who reads it.
TEST_F(OtlpReceiver, ReadingJsonIsPaidForBefore) {
  const std::string body(1 << 20, ' ');
  for (const char* path : {"/v1/traces", "/v1/metrics", "/v1/logs"}) {
    ASSERT_TRUE(credit_.Take(credit_.limit() - (3 << 20)));
    const HttpAnswer later = Http("POST", path, "application/json", body + "{}");
    EXPECT_EQ(later.status, 503) << path;
    EXPECT_EQ(later.headers.at("retry-after"), "1");
    credit_.Return(credit_.limit() - (3 << 20));
    EXPECT_EQ(Http("POST", path, "application/json", body + "{}").status, 200) << path;
    EXPECT_EQ(credit_.used(), 0u);
  }
  EXPECT_EQ(Lost(requests(), "no_credit"), 3u);
  // What could never be paid for is no matter of time.
  EXPECT_EQ(Http("POST", "/v1/traces", "application/json", std::string(10 << 20, ' ')).status, 400);
  EXPECT_EQ(Lost(requests(), "json_too_large"), 1u);
  EXPECT_EQ(credit_.used(), 0u);
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
}

// Holds the parts of its batches as a spool would.
class HoldingSink final : public model::Sink<model::OtlpBatch> {
 public:
  PushResult Push(model::OtlpBatch&& batch) override {
    wishes.push_back(batch.receipt->wish().level);
    holds.emplace_back(batch.receipt);
    if (on_push) on_push();
    return PushResult::kTaken;
  }
  std::function<void()> on_push;
  std::vector<model::ReceiptHold> holds;
  std::vector<model::ReceiptLevel> wishes;
};

class OtlpAcknowledgement : public OtlpReceiver {
 protected:
  // What a client is told when the hold of its batch ends with `end`.
  int StatusAfter(const std::function<void(model::ReceiptHold&)>& end) {
    HoldingSink holding;
    Options options;
    options.endpoint = "127.0.0.1:0";
    receiver_ = nullptr;
    Deps deps{loop_, credit_, clock_, ledger_, metrics_, &peers_, nullptr};
    deps.acknowledge = model::ReceiptLevel::kDurable;
    receiver_ = std::make_unique<Receiver>("otlp_http", options, deps, holding);
    EXPECT_TRUE(receiver_->Start().ok());
    bool answered = false, early = false;
    holding.on_push = [&] {
      loop_.RunAfter(std::chrono::milliseconds(30), [&] {
        early = answered;
        end(holding.holds[0]);
      });
    };
    const int status = PostProto(MakeRequest(1)).status;
    answered = true;
    EXPECT_FALSE(early);
    EXPECT_EQ(holding.wishes.at(0), model::ReceiptLevel::kDurable);
    holding.holds.clear();
    EXPECT_EQ(credit_.used(), 0u);
    receiver_ = nullptr;
    return status;
  }
};

TEST_F(OtlpAcknowledgement, TheClientIsAnsweredWhenTheBatchIsDurable) {
  EXPECT_EQ(StatusAfter([](model::ReceiptHold& hold) { hold.Durable(); }), 200);
}
TEST_F(OtlpAcknowledgement, DeliveredIsMoreThanDurable) {
  EXPECT_EQ(StatusAfter([](model::ReceiptHold& hold) { hold.Delivered(); }), 200);
}
TEST_F(OtlpAcknowledgement, ABatchThatIsLostShallBeSentAgain) {
  EXPECT_EQ(StatusAfter([](model::ReceiptHold& hold) { hold.Fail(model::ReceiptFailure::kLost); }),
            503);
}
TEST_F(OtlpAcknowledgement, ABatchThatTheCollectorRefusesShallNot) {
  EXPECT_EQ(
      StatusAfter([](model::ReceiptHold& hold) { hold.Fail(model::ReceiptFailure::kRejected); }),
      400);
}

TEST_F(OtlpReceiver, TheLegacyPortServesTheSame) {
  Options options;
  options.legacy_endpoint = "127.0.0.1:0";
  Open(options);
  ASSERT_NE(receiver_->legacy_port(), 0);
  HttpAnswer answer;
  WithLoop([&] {
    answer = Exchange(receiver_->legacy_port(),
                      "POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                      "Content-Type: application/json\r\nContent-Length: " +
                          std::to_string(sizeof kJsonRequest - 1) + "\r\n\r\n" + kJsonRequest);
  });
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(sink_.spans, 1u);
}

// F32
TEST_F(OtlpReceiver, TooLargeIsRefusedForGood) {
  Options options;
  options.max_body_bytes = 2048;
  Open(options);
  EXPECT_EQ(PostProto(MakeRequest(200)).status, 413);
  EXPECT_EQ(Grpc(kGrpcExport, MakeRequest(200)).status, 8);
  EXPECT_EQ(PostProto(MakeRequest(10)).status, 200);
}

TEST_F(OtlpReceiver, TheSenderIsAskedForOnceASecond) {
  WithLoop([&] {
    // Two requests on one connection.
    const std::string body = MakeRequest(1);
    const std::string head =
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: "
        "application/x-protobuf\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n";
    Exchange(receiver_->port(), head + "\r\n" + body + head + "Connection: close\r\n\r\n" + body);
  });
  EXPECT_EQ(sink_.spans, 2u);
  EXPECT_EQ(peers_.asked, 1);
  PostProto(MakeRequest(1));  // another connection
  EXPECT_EQ(peers_.asked, 2);
}

TEST_F(OtlpReceiver, StopWithoutStartAndStopTwice) {
  Receiver never("otlp_grpc", {}, Deps{loop_, credit_, clock_, ledger_, metrics_, nullptr, nullptr},
                 sink_);
  never.Stop(std::chrono::steady_clock::now());
  EXPECT_EQ(never.port(), 0);
  EXPECT_EQ(PostProto(MakeRequest(1)).status, 200);
  receiver_->Stop(std::chrono::steady_clock::now());
  receiver_->Stop(std::chrono::steady_clock::now());
  EXPECT_EQ(PostProto(MakeRequest(1)).status, 0);  // nobody listens any more
  EXPECT_EQ(sink_.spans, 1u);
}

TEST_F(OtlpReceiver, AuthoritiesForClientsWithoutACertificateOfOurOwnAreNoPlaintext) {
  Options options;
  options.endpoint = "127.0.0.1:0";
  options.tls_client_ca = "authorities.pem";
  Receiver receiver("otlp_grpc", options,
                    Deps{loop_, credit_, clock_, ledger_, metrics_, nullptr, nullptr}, sink_);
  EXPECT_FALSE(receiver.Start().ok());
}

TEST_F(OtlpReceiver, APortInUseIsAnErrorThatNamesTheReceiver) {
  Options options;
  options.endpoint = "127.0.0.1:" + std::to_string(receiver_->port());
  Receiver second("otlp_grpc", options,
                  Deps{loop_, credit_, clock_, ledger_, metrics_, nullptr, nullptr}, sink_);
  const base::Status status = second.Start();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("receivers.otlp_grpc"), std::string::npos)
      << status.message();
}

TEST_F(OtlpReceiver, UnderLoadWithARandomlyBusySinkEverySpanIsAccounted) {
  sink_.keep = false;
  std::mt19937 random(7);
  sink_.answer = [&] { return random() % 3 == 0 ? PushResult::kBusy : PushResult::kTaken; };
  constexpr int kRequests = 400;
  const std::string message = MakeRequest(5, 1);
  int taken = 0, busy = 0, open = kRequests;
  net::GrpcChannel channel(
      loop_, {.endpoint = "127.0.0.1:" + std::to_string(receiver_->port()), .max_in_flight = 32});
  for (int i = 0; i < kRequests; ++i) {
    base::Gathered payload;
    payload.Add(base::AsBytes(message));
    channel.Call(kGrpcExport, std::move(payload), "", [&](net::GrpcReply&& reply) {
      taken += reply.status == 0;
      busy += reply.status == 14;
      if (--open == 0) loop_.Stop();
    });
  }
  loop_.Run();
  EXPECT_EQ(taken + busy, kRequests);
  EXPECT_GT(busy, 0);
  EXPECT_EQ(sink_.spans, static_cast<uint64_t>(taken) * 5);
  EXPECT_EQ(spans().out(), sink_.spans);
  EXPECT_EQ(Lost(spans(), "busy"), static_cast<uint64_t>(busy) * 6);
  EXPECT_EQ(Lost(spans(), "zero_id"), static_cast<uint64_t>(taken));
  EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
  EXPECT_EQ(credit_.used(), 0u);
}

TEST(OtlpConfig, BlockBindsTheOptions) {
  Options options;
  const base::ConfigBlock block = Describe(options, "otlp_http");
  EXPECT_EQ(block.name, "receivers.otlp_http");
  ASSERT_EQ(block.fields.size(), 11u);
  EXPECT_EQ(std::get<std::string*>(block.fields[1].value), &options.endpoint);
}

}  // namespace
}  // namespace weft::sources::otlp
