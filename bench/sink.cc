#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/credit.h"
#include "commands.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "report.h"

namespace weft::bench {
namespace {

// Hashes of (trace id, span id). Open addressing: a sink must not be what limits a run.
class IdSet {
 public:
  void Insert(uint64_t hash) {
    if (size_ * 2 >= slots_.size()) Grow();
    hash |= hash == 0;
    uint64_t* slot = Find(slots_, hash);
    size_ += *slot == 0;
    *slot = hash;
  }
  uint64_t size() const { return size_; }

 private:
  static uint64_t* Find(std::vector<uint64_t>& slots, uint64_t hash) {
    const size_t mask = slots.size() - 1;
    size_t at = hash & mask;
    while (slots[at] != 0 && slots[at] != hash) at = (at + 1) & mask;
    return &slots[at];
  }
  void Grow() {
    std::vector<uint64_t> larger(std::max<size_t>(slots_.size() * 2, 1 << 16));
    for (uint64_t hash : slots_)
      if (hash != 0) *Find(larger, hash) = hash;
    slots_.swap(larger);
  }

  std::vector<uint64_t> slots_;
  uint64_t size_ = 0;
};

// Mixes eight bytes into a hash; every bit of both counts.
uint64_t Mix(uint64_t hash, uint64_t value) {
  const auto product = static_cast<unsigned __int128>(hash ^ value) * 0x9e3779b97f4a7c15ull;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

struct Counts {
  uint64_t asked = 0, refused = 0, requests = 0, spans = 0, bytes = 0, damaged = 0;
  IdSet ids;
};

void Fill(const SinkOptions& options, const Counts& counts, Report* report) {
  report->Add("requests_refused", static_cast<double>(counts.refused));
  report->Add("requests", static_cast<double>(counts.requests));
  report->Add("spans", static_cast<double>(counts.spans));
  report->Add("bytes", static_cast<double>(counts.bytes));
  report->Add("damaged_requests", static_cast<double>(counts.damaged));
  if (!options.ids) return;
  report->Add("distinct_spans", static_cast<double>(counts.ids.size()));
  report->Add("duplicate_spans", static_cast<double>(counts.spans - counts.ids.size()));
}

// Reads one protobuf field; false at the end or on damage.
bool NextField(base::ByteReader& in, uint32_t* field, base::ByteView* value) {
  if (in.left() == 0) return false;
  auto varint = [&in] {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t b = in.U8();
      v |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) break;
    }
    return v;
  };
  uint64_t tag = varint();
  *field = static_cast<uint32_t>(tag >> 3);
  *value = {};
  switch (tag & 7) {
    case 0:
      varint();
      break;
    case 1:
      in.Take(8);
      break;
    case 2:
      *value = in.Take(varint());
      break;
    case 5:
      in.Take(4);
      break;
    default:
      in.Fail();
  }
  return in.ok();
}

void CountSpan(base::ByteView span, Counts* counts, bool ids) {
  ++counts->spans;
  if (!ids) return;
  base::ByteReader in(span);
  uint64_t hash = 0x243f6a8885a308d3;
  base::ByteView value;
  for (uint32_t field, found = 0; found < 2 && NextField(in, &field, &value);) {
    if (field > 2) continue;
    ++found;
    for (base::ByteReader id(value); id.left() > 0;)
      hash = Mix(hash, id.left() >= 8 ? id.BigU64() : id.U8());
  }
  counts->ids.Insert(hash);
}

void CountRequest(base::ByteView request, Counts* counts, bool ids) {
  ++counts->requests;
  counts->bytes += request.size();
  base::ByteReader in(request);
  base::ByteView resource_spans, scope_spans, span;
  for (uint32_t field; NextField(in, &field, &resource_spans);) {
    base::ByteReader resource(resource_spans);
    for (uint32_t f; NextField(resource, &f, &scope_spans);) {
      if (f != 2) continue;
      base::ByteReader scope(scope_spans);
      for (uint32_t g; NextField(scope, &g, &span);)
        if (g == 2) CountSpan(span, counts, ids);
      if (!scope.ok()) ++counts->damaged;
    }
    if (!resource.ok()) ++counts->damaged;
  }
  if (!in.ok()) ++counts->damaged;
}

void Refuse(const net::Request& request, net::Responder responder) {
  net::Response response;
  response.content_type = std::string(request.Header("content-type"));
  if (request.is_grpc) {
    response.grpc_status = net::kGrpcUnavailable;
    response.grpc_message = "told to refuse";
    response.grpc_status_details = net::RetryInfoDetails(net::kGrpcUnavailable, "told to refuse",
                                                         std::chrono::milliseconds(100));
  } else {
    response.status = 503;
    response.headers.push_back({"retry-after", "1"});
  }
  responder.Send(std::move(response));
}

void Serve(const SinkOptions& options, net::EventLoop& loop, Counts* counts, net::Request&& request,
           net::Responder responder) {
  if (!request.is_grpc && request.method == "GET") {
    Report report;
    Fill(options, *counts, &report);
    net::Response response;
    response.content_type = "application/json";
    response.body = report.Json();
    responder.Send(std::move(response));
    return;
  }
  // Spread evenly: the n-th request is refused when the share passes a whole number there.
  const uint64_t n = counts->asked++;
  if ((n + 1) * options.refuse_percent / 100 != n * options.refuse_percent / 100) {
    ++counts->refused;
    Refuse(request, std::move(responder));
    return;
  }
  CountRequest(request.body.view(), counts, options.ids);
  net::Response response;
  response.content_type = std::string(request.Header("content-type"));
  if (options.delay_ms == 0) {
    responder.Send(std::move(response));
    return;
  }
  auto held = std::make_shared<net::Responder>(std::move(responder));
  loop.RunAfter(std::chrono::milliseconds(options.delay_ms),
                [held, response] { held->Send(net::Response(response)); });
}

// The listening port; with a schedule it comes and goes, and takes its connections with it.
class Port {
 public:
  Port(const SinkOptions& options, const net::ListenerOptions& listen, net::EventLoop& loop,
       base::ByteCredit& credit, net::Service serve)
      : options_(options), listen_(listen), loop_(loop), credit_(credit), serve_(serve) {}

  std::string Open() {
    auto opened = net::Listener::Open(loop_, listen_, credit_, serve_);
    if (!opened.ok()) return std::string(opened.status().message());
    listener_ = std::move(*opened);
    if (options_.up_seconds > 0 && options_.down_seconds > 0)
      loop_.RunAfter(Nanoseconds(options_.up_seconds), [this] { Close(); });
    return "";
  }

 private:
  static std::chrono::nanoseconds Nanoseconds(double seconds) {
    return std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9));
  }
  void Close() {
    listener_.reset();
    loop_.RunAfter(Nanoseconds(options_.down_seconds), [this] {
      if (std::string wrong = Open(); !wrong.empty())
        std::fprintf(stderr, "weft-bench: %s\n", wrong.c_str());
    });
  }

  const SinkOptions& options_;
  const net::ListenerOptions listen_;
  net::EventLoop& loop_;
  base::ByteCredit& credit_;
  const net::Service serve_;
  std::unique_ptr<net::Listener> listener_;
};

}  // namespace

int RunSink(const SinkOptions& options) {
  // Signals are blocked before any thread starts and awaited in one of their own.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  net::EventLoop loop;
  base::ByteCredit credit(uint64_t{1} << 30);
  Counts counts;
  net::ListenerOptions listen;
  listen.endpoint = options.endpoint;
  auto serve = [&](net::Request&& request, net::Responder responder) {
    Serve(options, loop, &counts, std::move(request), std::move(responder));
  };
  Port port(options, listen, loop, credit, serve);
  if (std::string wrong = port.Open(); !wrong.empty()) {
    std::fprintf(stderr, "weft-bench: %s\n", wrong.c_str());
    return 1;
  }
  std::thread waiter([&] {
    timespec limit{};
    double seconds = options.duration_seconds > 0 ? options.duration_seconds : 1e8;
    limit.tv_sec = static_cast<time_t>(seconds);
    limit.tv_nsec = static_cast<long>((seconds - static_cast<double>(limit.tv_sec)) * 1e9);
    sigtimedwait(&signals, nullptr, &limit);
    loop.Stop();
  });
  loop.Run();
  waiter.join();
  Report report;
  Fill(options, counts, &report);
  report.Print(options.json);
  return counts.damaged == 0 ? 0 : 1;
}

}  // namespace weft::bench
