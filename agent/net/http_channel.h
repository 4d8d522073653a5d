// HttpChannel: a client that posts bodies over HTTP/1.1, for OTLP/HTTP. It keeps a pool of
// connections alive, one request at a time on each; it resolves and connects by itself and never
// retries: whoever posts knows what may be sent twice. Payloads leave by gather writes straight
// from the caller's pieces.
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
#include "net/tls.h"

namespace weft::net {

class EventLoop;

struct HttpPostReply {
  int status = 0;  // HTTP status; 0 with transport_error
  std::string content_type;
  base::ByteBuffer body;                                 // up to max_reply_bytes
  std::optional<std::chrono::milliseconds> retry_after;  // seconds or a date
  // The body is damaged or larger than max_reply_bytes, and not here; the rest is as it came.
  bool unreadable = false;
  // No whole answer came: no address, no connection, lost, late, or its head is damaged.
  bool transport_error = false;
  bool unprocessed = false;  // and it was not sent
  std::string message;       // what went wrong then, or with the body
};

// Threads: the loop's. Owns: its connections and the payloads of open requests. Cost: no copy of a
// payload. Fails: by transport_error; requests wait while there is no connection until one attempt
// has failed, then all that waited are told. After destruction no `done` is called any more.
class HttpChannel {
 public:
  struct Options {
    std::string endpoint;  // "http://host:4318/base" or "https://…"; the base goes before each path
    std::string authority = "";  // "host:" header; empty = the endpoint's host and port
    size_t max_in_flight = 8;    // connections; further requests wait in order
    std::chrono::milliseconds timeout{10'000};  // from Post to done
    // Added to every request; names in lower case.
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::optional<TlsFiles> tls = {};                  // "https://" without it: the system's store
    std::chrono::milliseconds connect_timeout{3'000};  // per address
    std::chrono::milliseconds backoff_min{100}, backoff_max{5'000};  // doubled per failure, ± 20 %
    std::chrono::milliseconds idle_timeout{30'000};      // then an unused connection is closed
    std::chrono::milliseconds resolve_interval{30'000};  // addresses are asked for again
    uint64_t max_reply_bytes = 4 << 20;
  };
  HttpChannel(EventLoop& loop, Options options);
  ~HttpChannel();
  HttpChannel(const HttpChannel&) = delete;
  HttpChannel& operator=(const HttpChannel&) = delete;

  // `done` is called exactly once, never from inside Post, and may make further requests.
  void Post(std::string_view path, base::Gathered&& body, std::string_view content_type,
            std::string_view content_encoding, std::function<void(HttpPostReply&&)> done);
  // For requests that start from now on; an empty value takes the header away.
  void SetHeader(std::string_view lower_name, std::string_view value);
  // The last attempt to connect worked.
  bool connected() const;
  // Requests not done, waiting ones included.
  size_t open_requests() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace weft::net
