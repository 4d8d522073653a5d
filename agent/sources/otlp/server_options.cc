#include "sources/otlp/server_options.h"

#include "net/event_loop.h"

namespace weft::sources::otlp {

void DescribeServer(ServerOptions& options, const std::string& what, base::ConfigBlock* block) {
  auto add = [block](base::ConfigField field) { block->fields.push_back(std::move(field)); };
  add({"enabled", &options.enabled, "Receive " + what});
  add({"endpoint", &options.endpoint,
       "Address and port, or unix:///path; gRPC and HTTP are both spoken on it."});
  add({"max_connections", &options.max_connections,
       "Connections at a time; further ones are closed.", 1, 1 << 20});
  add({"max_connections_per_peer", &options.max_connections_per_peer,
       "Connections of one address at a time; 0: no cap of its own.", 0, 1 << 20});
  add({"max_body_bytes", &options.max_body_bytes, "Bytes of one request, also after decompression.",
       1024, int64_t{1} << 30});
  add({"max_connection_age_seconds", &options.max_connection_age_seconds,
       "Seconds after which a client is asked to reconnect; 0: never.", 0, 1 << 30});
  add({"tls.certificate", &options.tls_certificate,
       "PEM file with the server's chain; set together with tls.key. Read again when it changes."});
  add({"tls.key", &options.tls_key, "PEM file with the server's key."});
  add({"tls.client_ca", &options.tls_client_ca,
       "PEM file; clients must show a certificate signed by one of these."});
}

net::ListenerOptions ToListenerOptions(const ServerOptions& options, std::string name,
                                       base::MetricRegistry& metrics) {
  net::ListenerOptions listen;
  listen.endpoint = options.endpoint;
  listen.max_connections = static_cast<size_t>(options.max_connections);
  listen.max_connections_per_peer = static_cast<size_t>(options.max_connections_per_peer);
  listen.max_body_bytes = static_cast<uint64_t>(options.max_body_bytes);
  listen.max_connection_age = std::chrono::seconds(options.max_connection_age_seconds);
  listen.name = std::move(name);
  listen.metrics = &metrics;
  if (!options.tls_certificate.empty() || !options.tls_key.empty() ||
      !options.tls_client_ca.empty()) {
    listen.tls = net::TlsFiles{};
    listen.tls->cert_file = options.tls_certificate;
    listen.tls->key_file = options.tls_key;
    listen.tls->client_ca_file = options.tls_client_ca;
  }
  return listen;
}

base::Result<std::unique_ptr<net::Listener>> OpenListener(
    const std::string& name, const ServerOptions& options, net::EventLoop& loop,
    base::MetricRegistry& metrics, base::ByteCredit& credit, net::Service service) {
  auto opened = net::Listener::Open(loop, ToListenerOptions(options, name, metrics), credit,
                                    std::move(service));
  if (opened.ok()) return opened;
  base::Status failed = base::Context("receivers." + name, opened.status());
  if (failed.message().find("in use") != std::string_view::npos) {
    failed = base::Error(std::string(failed.message()) +
                         " by another program: stop it, or set "
                         "receivers." +
                         name + ".endpoint or receivers." + name + ".enabled: false");
  }
  return failed;
}

}  // namespace weft::sources::otlp
