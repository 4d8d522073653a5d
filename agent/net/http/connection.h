// What the two server protocols share: the listener's context, and the interface by which a
// connection drives its protocol once the first bytes told which one it is. Internal to this room.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "base/metrics.h"
#include "net/event_loop.h"
#include "net/http/body_intake.h"
#include "net/http/stream.h"
#include "net/listener.h"

namespace weft::net {

inline constexpr size_t kMaxHeadBytes = 16 << 10;
using Deadline = std::chrono::steady_clock::time_point;

// Why an HTTP/2 connection was closed as hostile (cases F33, F35).
enum class Abuse : uint8_t {
  kFrameFlood,     // frames that bring nothing: PING, SETTINGS, empty DATA, WINDOW_UPDATE, …
  kRapidReset,     // requests that are taken back as fast as they are made
  kHeaderFlood,    // CONTINUATION without end, a head that unfolds far beyond the limit
  kStalledWindow,  // answers asked for and never let through
  kBrokenFraming,
};
inline constexpr size_t kAbuses = 5;
std::string_view AbuseName(Abuse abuse);

// The metrics of one listener. Labels: listener, and reason or protocol.
struct ListenerMetrics {
  ListenerMetrics(base::MetricRegistry& registry, const std::string& listener);
  base::Metric &connections, &refused_connections, &peer_refused_connections, &open_connections;
  base::Metric &aged_connections, &dead_connections;
  std::array<base::Metric*, kAbuses> abuses;
  base::Metric &http1_requests, &http2_requests, &received_bytes;
  base::Metric &tls_failures, &tls_reloads, &tls_failed_reloads;
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
  int32_t pid = 0;
  std::shared_ptr<PeerAccount> account;
};

// What a body may take before its speed is judged.
inline std::chrono::milliseconds SlowBodyGrace(const ListenerOptions& options) {
  return std::min(options.body_timeout / 4, std::chrono::milliseconds(5'000));
}
inline bool IsTooSlow(uint64_t bytes, std::chrono::nanoseconds elapsed,
                      const ListenerOptions& options) {
  double seconds = std::chrono::duration<double>(elapsed).count();
  return elapsed > SlowBodyGrace(options) &&
         static_cast<double>(bytes) <
             static_cast<double>(options.min_body_bytes_per_second) * seconds;
}

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
  // Asks the peer to go elsewhere; requests that are on their way are still served. Shutdown
  // follows some time later.
  virtual void AnnounceShutdown() {}
};

std::shared_ptr<ProtocolSession> MakeHttp1Session(ServerContext& context, Stream& stream,
                                                  const Peers& peers);
std::shared_ptr<ProtocolSession> MakeHttp2Session(ServerContext& context, Stream& stream,
                                                  const Peers& peers);

// Splits "/path?query", also behind "http://host".
void SetTarget(std::string_view target, Request* request);

// Output of which less than the least speed of a body leaves in body_timeout has nobody who reads
// it. What we add to it is no progress, nor is a byte now and then.
class StuckOutput {
 public:
  // True when it is time to close.
  bool Check(uint64_t unsent, uint64_t sent, Deadline now, const ListenerOptions& options) {
    const bool was_waiting = std::exchange(is_waiting_, unsent != 0);
    if (unsent == 0) return false;
    const double seconds = std::chrono::duration<double>(options.body_timeout).count();
    const auto least = static_cast<uint64_t>(
        std::max(1.0, static_cast<double>(options.min_body_bytes_per_second) * seconds));
    if (!was_waiting || sent - sent_before_ >= least) {
      sent_before_ = sent;
      since_ = now;
    }
    return now - since_ > options.body_timeout;
  }
  bool Check(const Stream& stream, Deadline now, const ListenerOptions& options) {
    return Check(stream.unsent(), stream.sent(), now, options);
  }

 private:
  uint64_t sent_before_ = 0;
  Deadline since_{};
  bool is_waiting_ = false;
};

}  // namespace weft::net
