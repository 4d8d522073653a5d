// What every receiver with a TCP port can be told about it: address, limits, TLS, the age of
// connections. One struct and one table, so that the receivers' blocks read alike.
#pragma once

#include <cstdint>
#include <string>

#include "base/config_view.h"
#include "base/metrics.h"
#include "net/listener.h"

namespace weft::sources::otlp {

struct ServerOptions {
  bool enabled = true;
  std::string endpoint;  // "127.0.0.1:4317", "unix:///run/weft.sock"
  int64_t max_connections = 1024;
  int64_t max_connections_per_peer = 0;  // 0: no cap of its own
  int64_t max_body_bytes = 64 << 20;     // as sent, and again after decompression
  int64_t max_connection_age_seconds = 0;
  std::string tls_certificate, tls_key, tls_client_ca;  // PEM files; empty: no TLS
};

// Appends the fields. `what` ends the sentence "Receive …".
void DescribeServer(ServerOptions& options, const std::string& what, base::ConfigBlock* block);

// `name`: the receiver's, also the metrics' label.
net::ListenerOptions ToListenerOptions(const ServerOptions& options, std::string name,
                                       base::MetricRegistry& metrics);

// Opens it; a failure names the receiver and the endpoint, and says so when another program has
// the port.
base::Result<std::unique_ptr<net::Listener>> OpenListener(
    const std::string& name, const ServerOptions& options, net::EventLoop& loop,
    base::MetricRegistry& metrics, base::ByteCredit& credit, net::Service service);

}  // namespace weft::sources::otlp
