// TlsFiles: where one side of a TLS connection finds its keys and whom it trusts. Listener,
// GrpcChannel and HttpChannel take it; OpenSSL stays inside this room. The files are read again
// when they have changed (looked at when a connection is made, at most once per reload_interval);
// a new set that cannot be used is logged and counted, and the old one goes on (case F13).
#pragma once

#include <chrono>
#include <string>

namespace weft::net {

// Paths of PEM files; empty: not used. There is no way back to plaintext: what fails, fails.
struct TlsFiles {
  std::string cert_file, key_file;  // own chain and key; a server must have both
  std::string ca_file;              // whom a client trusts; empty: the system's store
  std::string client_ca_file;  // server: clients must show a certificate signed by one of these
  std::string server_name;     // client: the name to ask for and to check; empty: the endpoint's
  bool insecure_skip_verify = false;  // client: take any certificate
  std::string min_version;            // "1.2" (also the default) or "1.3"
  std::chrono::milliseconds reload_interval{30'000};
};

}  // namespace weft::net
