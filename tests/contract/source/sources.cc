#include "sources.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sources/ebpf/capture.h"
#include "sources/jaeger_udp/jaeger_udp.h"
#include "sources/otlp/otlp.h"

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

// One span as OTLP/JSON over HTTP; waits for each answer.
void OfferOtlp(model::Source& source, int count) {
  const std::string body =
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",)"
      R"("spanId":"eee19b7ec3c1b174","name":"n","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]})";
  const std::string request =
      "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  int fd = Connect(SOCK_STREAM, static_cast<sources::otlp::Receiver&>(source).port());
  for (int i = 0; fd >= 0 && i < count; ++i) {
    char answer[4096];
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
    if (recv(fd, answer, sizeof answer, 0) <= 0) break;
  }
  if (fd >= 0) close(fd);
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
         return std::make_unique<sources::ebpf::Capture>(
             sources::ebpf::Options{.ring_bytes = 1 << 20},
             sources::ebpf::Capture::Deps{w.loop, w.clock, workload, w.segments, w.ledger,
                                          w.metrics});
       },
       [](model::Source&, int) {}},  // the traffic of the machine is offer enough
      {"jaeger_udp",
       [](World& w) {
         sources::jaeger_udp::Options options;
         options.compact_endpoint = "127.0.0.1:0";
         options.binary_endpoint = "127.0.0.1:0";
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
  };
  return rows;
}

}  // namespace weft::contract
