#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <thread>
#include <unordered_set>

#include "base/bytes.h"
#include "base/credit.h"
#include "commands.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "report.h"

namespace weft::bench {
namespace {

struct Counts {
  uint64_t requests = 0, spans = 0, bytes = 0, damaged = 0;
  std::unordered_set<uint64_t> ids;  // hashes of (trace id, span id)
};

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
  uint64_t hash = 14695981039346656037ull;
  base::ByteView value;
  for (uint32_t field; NextField(in, &field, &value);)
    if (field <= 2)
      for (uint8_t b : value) hash = (hash ^ b) * 1099511628211ull;
  counts->ids.insert(hash);
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
  auto listener = net::Listener::Open(
      loop, listen, credit, [&](net::Request&& request, net::Responder responder) {
        CountRequest(request.body.view(), &counts, options.ids);
        net::Response response;
        response.content_type = std::string(request.Header("content-type"));
        responder.Send(std::move(response));
      });
  if (!listener.ok()) {
    std::fprintf(stderr, "weft-bench: %s\n", std::string(listener.status().message()).c_str());
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
  report.Add("requests", static_cast<double>(counts.requests));
  report.Add("spans", static_cast<double>(counts.spans));
  report.Add("bytes", static_cast<double>(counts.bytes));
  report.Add("damaged_requests", static_cast<double>(counts.damaged));
  if (options.ids) report.Add("distinct_spans", static_cast<double>(counts.ids.size()));
  report.Print(options.json);
  return counts.damaged == 0 ? 0 : 1;
}

}  // namespace weft::bench
