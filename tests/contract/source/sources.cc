#include "sources.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sources/ebpf/capture.h"
#include "sources/jaeger_grpc/jaeger_grpc.h"
#include "sources/jaeger_http/jaeger_http.h"
#include "sources/jaeger_udp/jaeger_udp.h"
#include "sources/otlp/otlp.h"
#include "sources/sampling/sampling.h"
#include "sources/zipkin/zipkin.h"

namespace weft::contract {
namespace {

int Connect(int type, uint16_t port) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// The same request again and again over one connection; waits for each answer.
void Repeat(uint16_t port, const std::string& head, const std::string& body, int count) {
  const std::string request =
      head + "\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  int fd = Connect(SOCK_STREAM, port);
  for (int i = 0; fd >= 0 && i < count; ++i) {
    char answer[4096];
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
    if (recv(fd, answer, sizeof answer, 0) <= 0) break;
  }
  if (fd >= 0) close(fd);
}

// One span as OTLP/JSON over HTTP.
void OfferOtlp(model::Source& source, int count) {
  const std::string body =
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",)"
      R"("spanId":"eee19b7ec3c1b174","name":"n","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]})";
  Repeat(static_cast<sources::otlp::Receiver&>(source).port(),
         "POST /v1/traces HTTP/1.1\r\nContent-Type: application/json", body, count);
}

void OfferZipkin(model::Source& source, int count) {
  Repeat(static_cast<sources::zipkin::Receiver&>(source).port(), "POST /api/v2/spans HTTP/1.1",
         R"([{"traceId":"5b8efff798038103","id":"eee19b7ec3c1b174","name":"n"}])", count);
}

// A Batch in thrift binary with one span.
void OfferJaegerBatch(model::Source& source, int count) {
  std::string body("\x0c\0\x01\x0b\0\x01\0\0\0\x01s\0\x0f\0\x02\x0c\0\0\0\x01", 20);
  const auto number = [&body](char type, char id, int bytes, char value) {
    body += type;
    body += '\0';
    body += id;
    body += std::string(static_cast<size_t>(bytes) - 1, '\0') + value;
  };
  for (char id : {1, 2, 3, 4}) number('\x0a', id, 8, 1);
  body += std::string("\x0b\0\x05\0\0\0\x01n", 8);
  number('\x08', 7, 4, 1);
  for (char id : {8, 9}) number('\x0a', id, 8, 1);
  body += std::string(2, '\0');
  Repeat(static_cast<sources::jaeger_http::Receiver&>(source).port(),
         "POST /api/traces HTTP/1.1\r\nContent-Type: application/x-thrift", body, count);
}

void OfferQuestions(model::Source& source, int count) {
  Repeat(static_cast<sources::sampling::Server&>(source).port(), "GET /sampling?service=x HTTP/1.1",
         "", count);
}

// Every other datagram is damaged.
void OfferDatagrams(model::Source& source, int count) {
  const std::string good(
      "\x82\x81\x01\x09"
      "emitBatch\x1c\x1c\x18\x03svc\x00\x19\x0c\x00\x00",
      25);
  int fd = Connect(SOCK_DGRAM, static_cast<sources::jaeger_udp::Receiver&>(source).compact_port());
  for (int i = 0; i < count; ++i) {
    const std::string datagram = i % 2 == 0 ? good : good.substr(0, 12);
    if (send(fd, datagram.data(), datagram.size(), 0) < 0) break;
  }
  close(fd);
}

// A process that never existed.
class NoWorkload final : public model::WorkloadLookup {
 public:
  model::ProcessRef Find(const model::ProcessKey& key, std::string_view) override {
    auto process = std::make_shared<model::Process>();
    process->key = key;
    return process;
  }
};

}  // namespace

const std::vector<SourceRow>& Sources() {
  static NoWorkload workload;
  static const std::vector<SourceRow> rows = {
      {"ebpf",
       [](World& w) {
         sources::ebpf::Options options;
         options.ring_bytes = 1 << 20;
         return std::make_unique<sources::ebpf::Capture>(
             options, sources::ebpf::Capture::Deps{w.loop, w.clock, workload, w.segments, w.ledger,
                                                   w.metrics});
       },
       [](model::Source&, int) {}},  // the traffic of the machine is offer enough
      // Whole calls of gRPC are tried in the units of the receiver; here its life.
      {"jaeger_grpc",
       [](World& w) {
         sources::jaeger_grpc::Options options;
         options.endpoint = "127.0.0.1:0";
         return std::make_unique<sources::jaeger_grpc::Receiver>(
             options,
             sources::jaeger_grpc::Deps{
                 {w.loop, w.credit, w.clock, w.ledger, w.metrics, nullptr, {}}, {}},
             w.batches);
       },
       [](model::Source&, int) {}},
      {"jaeger_http",
       [](World& w) {
         sources::jaeger_http::Options options;
         options.endpoint = "127.0.0.1:0";
         return std::make_unique<sources::jaeger_http::Receiver>(
             options,
             sources::jaeger_http::Deps{
                 {w.loop, w.credit, w.clock, w.ledger, w.metrics, nullptr, {}}, {}},
             w.batches);
       },
       OfferJaegerBatch, true},
      {"jaeger_udp",
       [](World& w) {
         sources::jaeger_udp::Options options;
         options.compact_endpoint = "127.0.0.1:0";
         options.binary_endpoint = "127.0.0.1:0";
         options.legacy_endpoint = "127.0.0.1:0";
         return std::make_unique<sources::jaeger_udp::Receiver>(
             options,
             sources::jaeger_udp::Deps{w.loop, w.credit, w.clock, w.ledger, w.metrics, nullptr, {}},
             w.batches);
       },
       OfferDatagrams},
      {"otlp",
       [](World& w) {
         sources::otlp::Options options;
         options.endpoint = "127.0.0.1:0";
         return std::make_unique<sources::otlp::Receiver>(
             "otlp_http", options,
             sources::otlp::Deps{w.loop, w.credit, w.clock, w.ledger, w.metrics, nullptr, {}},
             w.batches);
       },
       OfferOtlp, true},
      {"sampling",
       [](World& w) {
         sources::sampling::Options options;
         options.endpoint = "127.0.0.1:0";
         return std::make_unique<sources::sampling::Server>(
             options,
             sources::otlp::Deps{w.loop, w.credit, w.clock, w.ledger, w.metrics, nullptr, {}});
       },
       OfferQuestions},
      {"zipkin",
       [](World& w) {
         sources::zipkin::Options options;
         options.endpoint = "127.0.0.1:0";
         return std::make_unique<sources::zipkin::Receiver>(
             options,
             sources::otlp::Deps{w.loop, w.credit, w.clock, w.ledger, w.metrics, nullptr, {}},
             w.batches);
       },
       OfferZipkin, true},
  };
  return rows;
}

}  // namespace weft::contract
