// Listener: a TCP port that speaks HTTP/1.1 and HTTP/2 (prior knowledge, gRPC unary on top) and
// hands whole requests to one Service. Everything a hostile or careless client can do is settled
// here: framing, limits, inflating, credit, deadlines, floods. A Service sees only complete,
// inflated, paid-for bodies.
//
//   accept ─▶ first 24 bytes ─┬─ "PRI * HTTP/2.0…" ─▶ HTTP/2 ─┬─ application/grpc ─▶ deframe ─┐
//                             └─ anything else ─────▶ HTTP/1.1 └──────────────────────────────┴▶
//                             Service ─▶ Responder
//
// Refusals made here, never seen by the Service: no credit → 503 + Retry-After: 1 / UNAVAILABLE
// with RetryInfo; body too large → 413 / RESOURCE_EXHAUSTED; damaged compression → 400 /
// INVALID_ARGUMENT; unknown encoding → 415 / UNIMPLEMENTED; truncated gRPC message →
// INVALID_ARGUMENT; several messages in a unary call → UNIMPLEMENTED.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/credit.h"
#include "base/inflate.h"
#include "base/result.h"
#include "model/endpoint.h"
#include "net/credit_charge.h"
#include "net/tls.h"

namespace weft::base {
class MetricRegistry;
}

namespace weft::net {

class EventLoop;

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method, path, query;  // path without query, as on the wire
  HeaderList headers;               // names in lower case, in order
  // The first value of that name; empty when absent.
  std::string_view Header(std::string_view lower_name) const;
  base::ByteBuffer body;        // inflated; for gRPC the one message
  base::SharedPacked packed;    // what `body` was inflated from; null when it came as it is
  CreditCharge charge;          // held for `body` and `packed`
  model::Endpoint peer, local;  // both unknown on a unix socket
  int32_t peer_pid = 0;         // unix socket: who connected; else 0
  bool is_grpc = false;
};

// Status codes of gRPC that this room and its users say.
enum GrpcStatus : int {
  kGrpcOk = 0,
  kGrpcCancelled = 1,
  kGrpcUnknown = 2,
  kGrpcInvalidArgument = 3,
  kGrpcDeadlineExceeded = 4,
  kGrpcResourceExhausted = 8,
  kGrpcUnimplemented = 12,
  kGrpcInternal = 13,
  kGrpcUnavailable = 14,
};

struct Response {
  int status = 200;
  std::string content_type;
  HeaderList headers;
  std::string body;  // for gRPC the message
  // gRPC only; they go into the trailers. A status other than 0 with an empty body becomes a
  // Trailers-Only response.
  int grpc_status = 0;
  std::string grpc_message;
  std::string grpc_status_details;  // encoded google.rpc.Status
};

// Where a Responder delivers. Implemented by the connections here, and by fakes in the tests of
// services.
class ResponseTarget {
 public:
  virtual ~ResponseTarget() = default;
  virtual void Respond(uint64_t request, Response&& response) = 0;
};

// The right to answer one request. Threads: the loop's. Order: Send?. Dropped without Send it
// answers 500 / INTERNAL; when the client is gone Send does nothing.
class Responder {
 public:
  Responder() = default;
  Responder(std::weak_ptr<ResponseTarget> target, uint64_t request)
      : target_(std::move(target)), request_(request), armed_(true) {}
  Responder(Responder&& o) noexcept;
  Responder& operator=(Responder&& o) noexcept;
  ~Responder();

  void Send(Response&& response);

 private:
  std::weak_ptr<ResponseTarget> target_;
  uint64_t request_ = 0;
  bool armed_ = false;
};

// Called on the loop thread for every complete request. Must not destroy its Listener.
using Service = std::function<void(Request&&, Responder)>;

struct ListenerOptions {
  std::string endpoint = "127.0.0.1:4317";  // port 0: any free one; or unix:///path
  size_t max_connections = 1024;            // further ones are accepted, closed and counted
  uint64_t max_body_bytes = 64 << 20;       // as sent, and again after inflating
  std::chrono::milliseconds header_timeout{
      10'000};  // from the first byte (or accept) to the end of the head
  std::chrono::milliseconds body_timeout{
      30'000};  // from the head to the last byte; also for a response to leave
  // HTTP/1.1: what a service may take; then 503 + Retry-After. A client of HTTP/2 says itself when
  // it has had enough. Once the client has sent its end, header_timeout.
  std::chrono::milliseconds answer_timeout{60'000};
  std::chrono::milliseconds idle_timeout{300'000};  // no request open and nothing received
  std::string name = "listener";                    // the value of the metrics' label `listener`
  base::MetricRegistry* metrics = nullptr;  // must outlive the Listener; null: counted privately
  std::optional<TlsFiles> tls = {};         // TLS only; ALPN offers h2 and http/1.1
  uint32_t unix_mode = 0660;                // permissions of a unix:///path endpoint
  // Of one address, 0: no cap of its own. Without one, too, a quarter of max_connections is kept
  // from an address that holds half of them.
  size_t max_connections_per_peer = 0;
  // A body slower than this, on the average of a connection, ends after a grace of some seconds.
  uint64_t min_body_bytes_per_second = 500;
  // HTTP/2: silence before we ping, and how long the answer may take. 0: no pings.
  std::chrono::milliseconds ping_interval{60'000}, ping_timeout{20'000};
  // A connection older than this (± 10 %) is asked to reconnect (GOAWAY, Connection: close), and
  // closed after the grace, so that load spreads again. 0: never.
  std::chrono::milliseconds max_connection_age{0}, max_connection_age_grace{10'000};
};

// Threads: the loop's (or before the loop runs); the counters from any. Owns: its connections. The
// loop, the credit and what the Service refers to must outlive it. Order: Open Close? ~.
class Listener {
 public:
  // Binds and listens; requests come once the loop runs.
  static base::Result<std::unique_ptr<Listener>> Open(EventLoop& loop, ListenerOptions options,
                                                      base::ByteCredit& credit, Service service);
  // Drops all connections at once.
  ~Listener();

  uint16_t port() const;
  // Stops accepting, closes idle connections, lets running requests finish (their number:
  // connections()).
  void Close();
  size_t connections() const;
  uint64_t refused_connections() const;

 private:
  class Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// The encoded google.rpc.Status {code, details: [RetryInfo]} for Response::grpc_status_details:
// "come again in so long".
std::string RetryInfoDetails(int grpc_status, std::string_view message,
                             std::chrono::milliseconds retry_delay);
// The same as the value of Retry-After, which knows whole seconds (RFC 9110 §10.2.3): rounded up.
std::string RetryAfterSeconds(std::chrono::milliseconds retry_delay);

}  // namespace weft::net
