// The semantic conventions of OpenTelemetry as far as the wire shows them: names, attributes and
// status of server and client spans, for HTTP (stable) and gRPC (status codes as text). Secrets
// never enter: no header beyond those named here, no user:password, query values only when allowed.
// What is not known (HTTP/2 that was joined in the middle) is left out, never guessed.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/segment.h"
#include "model/span.h"
namespace weft::normalize {

struct Options;

// The parts of a request target (RFC 9112, 3.2); views into it.
struct Target {
  std::string_view scheme;     // absolute-form only
  std::string_view authority;  // absolute- and authority-form, without userinfo
  bool has_userinfo = false;
  std::string_view path;  // without query; "*" for the asterisk-form, empty for the authority-form
  std::string_view query;
};
Target SplitTarget(std::string_view method, std::string_view target);

// "host", "host:80", "[::1]:80"; port 0 when absent or not a number. Userinfo is cut off.
struct Authority {
  std::string_view host;
  uint16_t port = 0;
};
Authority SplitAuthority(std::string_view text);

// What a request says of itself, whatever the protocol; empty = not said or not known.
struct RequestFacts {
  std::string_view method, host, user_agent, forwarded_for;
  std::string_view version;  // network.protocol.version
  bool is_tls = false;
};

// The texts of a connection that every span of it repeats.
struct ConnectionText {
  std::string peer_address, local_address;
};

// How an exchange ended.
enum class Outcome : uint8_t {
  kAnswered,
  kCutShort,    // the connection ended within the response, or before it
  kUnobserved,  // bytes were lost, or weft stopped: nothing is known against it
};

inline constexpr std::string_view kConnectionClosed = "connection_closed";

// Threads: one (it reuses its buffers). Owns: nothing of `options`, which outlives it.
class SemanticConventions {
 public:
  explicit SemanticConventions(const Options& options) : options_(options) {}

  // Sets method, target and the attributes that the request gives. Role and endpoints of `span` are
  // set before.
  void DescribeRequest(const RequestFacts& request, const Target& target,
                       const ConnectionText& text, model::Span* span);
  // Sets name, error flag and the attributes that the result gives. `cause`: the error.type of an
  // exchange that was cut short.
  void DescribeResult(Outcome outcome, std::string_view cause, model::Span* span);
  // The same for a gRPC call; its method is the path.
  void DescribeCall(const RequestFacts& request, const Target& target, const ConnectionText& text,
                    model::Span* span);
  // `status`: gRPC's, if any was seen.
  void DescribeCallResult(std::optional<uint32_t> status, std::string_view cause,
                          model::Span* span);

 private:
  std::string_view Query(std::string_view query);
  void SetTarget(const RequestFacts& request, const Target& target, model::Span* span);
  void DescribeServer(const RequestFacts& request, const Target& target, const ConnectionText& text,
                      model::Span* span);
  void DescribeClient(const RequestFacts& request, const Target& target, const Authority& authority,
                      model::Span* span);
  void DescribePeer(const RequestFacts& request, const Authority& authority,
                    const ConnectionText& text, model::Span* span);

  const Options& options_;
  std::string clean_, query_, url_;
};

}  // namespace weft::normalize
