#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "commands.h"
#include "histogram.h"
#include "net/event_loop.h"
#include "net/grpc_channel.h"
#include "net/http_client.h"
#include "report.h"

namespace weft::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr char kExport[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr uint32_t kPrepared = 16;

struct Totals {
  uint64_t sent = 0, acknowledged = 0, refused = 0, errors = 0;
  Histogram latency;
};

// When the n-th request is due, and when to stop.
class Schedule {
 public:
  explicit Schedule(const LoadOptions& options) : options_(options), start_(Clock::now()) {}
  bool Over(uint64_t sent) const {
    if (options_.requests > 0) return sent >= options_.requests;
    return Clock::now() - start_ >= std::chrono::duration<double>(options_.duration_seconds);
  }
  // Now when there is no rate.
  Clock::time_point Due(uint64_t n) const {
    if (options_.rate <= 0) return Clock::now();
    return start_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(static_cast<double>(n) / options_.rate));
  }
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  const LoadOptions& options_;
  const Clock::time_point start_;
};

// Payload bytes that a call in flight holds: stamped copies, one per slot, reused when the call is
// done.
struct Slot {
  std::shared_ptr<Payload> payload;
  bool free = true;
};

// gRPC: one connection, `in_flight` calls open; single-threaded on its loop.
class GrpcLoad {
 public:
  GrpcLoad(const LoadOptions& options, const Schedule& schedule)
      : options_(options), schedule_(schedule) {
    net::GrpcChannel::Options channel;
    channel.endpoint = options.endpoint;
    channel.max_in_flight = options.in_flight;
    channel_ = std::make_unique<net::GrpcChannel>(loop_, channel);
    for (uint32_t i = 0; i < options.in_flight; ++i)
      slots_.push_back({std::make_shared<Payload>(OtlpPayload(options.shape, i % kPrepared))});
  }

  Totals Run() {
    loop_.Post([this] { Fill(); });
    loop_.Run();
    channel_.reset();
    return std::move(totals_);
  }

 private:
  void Fill() {
    for (auto& slot : slots_) {
      if (schedule_.Over(totals_.sent)) break;
      if (!slot.free) continue;
      auto due = schedule_.Due(totals_.sent);
      if (auto now = Clock::now(); due > now) {
        if (!waiting_) loop_.RunAfter(due - now, [this] { waiting_ = false, Fill(); });
        waiting_ = true;
        return;
      }
      Send(slot, due);
    }
    bool idle = std::all_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.free; });
    if (idle && schedule_.Over(totals_.sent)) loop_.Stop();
  }

  void Send(Slot& slot, Clock::time_point due) {
    slot.free = false;
    slot.payload->Stamp(totals_.sent++);
    base::Gathered message;
    message.Add(base::AsBytes(slot.payload->bytes));
    message.owners.push_back(slot.payload);
    channel_->Call(kExport, std::move(message), "", [this, &slot, due](net::GrpcReply&& reply) {
      slot.free = true;
      if (reply.status == 0) {
        ++totals_.acknowledged;
        totals_.latency.Record(static_cast<uint64_t>((Clock::now() - due).count()));
      } else {
        ++(reply.status == 14 && !reply.transport_error ? totals_.refused : totals_.errors);
      }
      Fill();
    });
  }

  const LoadOptions& options_;
  const Schedule& schedule_;
  net::EventLoop loop_;
  std::unique_ptr<net::GrpcChannel> channel_;
  std::vector<Slot> slots_;
  Totals totals_;
  bool waiting_ = false;
};

int Open(const std::string& endpoint, int type) {
  auto parts = net::SplitHostPort(endpoint);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (!parts.ok() || inet_pton(AF_INET, parts->first.c_str(), &address.sin_addr) != 1) return -1;
  address.sin_port = htons(parts->second);
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  int on = 1;
  if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

bool SendAll(int fd, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// One whole answer; returns its status, 0 when the connection broke.
int ReadStatus(int fd, std::string* buffer) {
  char chunk[4096];
  while (true) {
    size_t head = buffer->find("\r\n\r\n");
    if (head != std::string::npos) {
      size_t at = buffer->find("ontent-Length: ");
      if (at == std::string::npos) at = buffer->find("ontent-length: ");
      size_t body = at < head ? std::strtoull(buffer->c_str() + at + 15, nullptr, 10) : 0;
      if (buffer->size() >= head + 4 + body) {
        int status = std::atoi(buffer->c_str() + 9);
        buffer->erase(0, head + 4 + body);
        return status;
      }
    }
    ssize_t n = recv(fd, chunk, sizeof chunk, 0);
    if (n <= 0) return 0;
    buffer->append(chunk, static_cast<size_t>(n));
  }
}

// HTTP/1.1: a connection and a thread for every request in flight, keep-alive.
Totals RunHttpLoad(const LoadOptions& options, const Schedule& schedule) {
  std::atomic<uint64_t> next{0};
  std::mutex mutex;
  Totals all;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < options.in_flight; ++i) {
    threads.emplace_back([&, i] {
      Totals mine;
      Payload payload = OtlpPayload(options.shape, i % kPrepared);
      const std::string head = "POST /v1/traces HTTP/1.1\r\nHost: " + options.endpoint +
                               "\r\nContent-Type: application/x-protobuf\r\nContent-Length: " +
                               std::to_string(payload.bytes.size()) + "\r\n\r\n";
      int fd = Open(options.endpoint, SOCK_STREAM);
      std::string received;
      while (fd >= 0) {
        uint64_t n = next.fetch_add(1);
        if (schedule.Over(n)) break;
        auto due = schedule.Due(n);
        std::this_thread::sleep_until(due);
        payload.Stamp(n);
        ++mine.sent;
        int status =
            SendAll(fd, head) && SendAll(fd, payload.bytes) ? ReadStatus(fd, &received) : 0;
        ++(status == 200                    ? mine.acknowledged
           : status == 503 || status == 429 ? mine.refused
                                            : mine.errors);
        if (status == 200) mine.latency.Record(static_cast<uint64_t>((Clock::now() - due).count()));
        if (status == 0) break;
      }
      if (fd < 0) ++mine.errors;
      close(fd);
      std::lock_guard lock(mutex);
      all.sent += mine.sent, all.acknowledged += mine.acknowledged;
      all.refused += mine.refused, all.errors += mine.errors;
      all.latency.Merge(mine.latency);
    });
  }
  for (auto& thread : threads) thread.join();
  return all;
}

// UDP: nobody acknowledges; what counts is what the receiver's own counters and the sink say.
Totals RunUdpLoad(const LoadOptions& options, const Schedule& schedule) {
  Totals totals;
  int fd = Open(options.endpoint, SOCK_DGRAM);
  if (fd < 0) return totals.errors = 1, totals;
  std::vector<Payload> payloads;
  for (uint32_t i = 0; i < kPrepared; ++i)
    payloads.push_back(JaegerPayload(options.shape, i, options.protocol == "jaeger_compact"));
  while (!schedule.Over(totals.sent)) {
    std::this_thread::sleep_until(schedule.Due(totals.sent));
    const std::string& bytes = payloads[totals.sent++ % kPrepared].bytes;
    if (send(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
      ++totals.errors;
  }
  close(fd);
  return totals;
}

}  // namespace

int RunLoad(const LoadOptions& options) {
  Schedule schedule(options);
  const bool udp = options.protocol.starts_with("jaeger");
  Totals totals = options.protocol == "otlp_grpc" ? GrpcLoad(options, schedule).Run()
                  : udp                           ? RunUdpLoad(options, schedule)
                                                  : RunHttpLoad(options, schedule);
  const double seconds = schedule.Seconds();
  const double spans = static_cast<double>(udp ? totals.sent : totals.acknowledged) *
                       options.shape.spans_per_request;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  Payload sample = udp ? JaegerPayload(options.shape, 0, options.protocol == "jaeger_compact")
                       : OtlpPayload(options.shape, 0);
  Report report;
  report.Add("seconds", seconds);
  report.Add("requests_sent", static_cast<double>(totals.sent));
  report.Add("requests_acknowledged", static_cast<double>(totals.acknowledged));
  report.Add("requests_refused", static_cast<double>(totals.refused));
  report.Add("errors", static_cast<double>(totals.errors));
  report.Add("request_bytes", static_cast<double>(sample.bytes.size()));
  report.Add("spans", spans);
  report.Add("spans_per_second", spans / seconds);
  for (auto [name, q] : {std::pair{"ack_p50_us", 0.5}, {"ack_p99_us", 0.99}, {"ack_max_us", 1.0}})
    report.Add(name, static_cast<double>(totals.latency.Quantile(q)) / 1000);
  report.Add("own_cpu_seconds",
             static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
  report.Print(options.json);
  return totals.errors == 0 ? 0 : 1;
}

}  // namespace weft::bench
