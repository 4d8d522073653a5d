// What the two server protocols share: the listener's context, and the interface by which a
// connection drives its protocol once the first bytes told which one it is. Internal to this room.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>

#include "base/metrics.h"
#include "net/event_loop.h"
#include "net/http/body_intake.h"
#include "net/http/stream.h"
#include "net/listener.h"

namespace weft::net {

inline constexpr size_t kMaxHeadBytes = 16 << 10;
using Deadline = std::chrono::steady_clock::time_point;

// The metrics of one listener. Labels: listener, and reason or protocol.
struct ListenerMetrics {
  ListenerMetrics(base::MetricRegistry& registry, const std::string& listener);
  base::Metric &connections, &refused_connections, &open_connections, &closed_for_abuse;
  base::Metric &http1_requests, &http2_requests, &received_bytes;
  std::array<base::Metric*, kRefusals> refusals;
};

// Owned by the listener; outlives its connections.
struct ServerContext {
  EventLoop& loop;
  ListenerOptions options;
  base::ByteCredit& credit;
  Service service;
  ListenerMetrics metrics;

  Deadline After(std::chrono::milliseconds delay) const {
    return std::chrono::steady_clock::now() + delay;
  }
};

struct Peers {
  model::Endpoint peer, local;
};

// HTTP/1.1 or HTTP/2 on one connection. It closes the stream when it is done with it.
class ProtocolSession : public ResponseTarget {
 public:
  virtual void OnBytes(base::ByteView bytes) = 0;
  virtual void OnEnd() = 0;
  virtual void OnDrained() = 0;
  // Enforces deadlines; called a few times per shortest timeout.
  virtual void Sweep(Deadline now) = 0;
  // No further requests; close once the open ones are answered.
  virtual void Shutdown() = 0;
};

std::shared_ptr<ProtocolSession> MakeHttp1Session(ServerContext& context, Stream& stream,
                                                  const Peers& peers);
std::shared_ptr<ProtocolSession> MakeHttp2Session(ServerContext& context, Stream& stream,
                                                  const Peers& peers);

// Splits "/path?query", also behind "http://host".
void SetTarget(std::string_view target, Request* request);

// Output that makes no progress for `timeout` means that nobody reads it.
class StuckOutput {
 public:
  // True when it is time to close.
  bool Check(size_t unsent, Deadline now, std::chrono::milliseconds timeout) {
    if (unsent == 0 || unsent != last_unsent_) since_ = now;
    last_unsent_ = unsent;
    return unsent != 0 && now - since_ > timeout;
  }

 private:
  size_t last_unsent_ = 0;
  Deadline since_{};
};

}  // namespace weft::net
