// Scripts of calls into a TLS library that has OpenSSL's names, loaded by its path: no header of
// any of them is needed, and the same script runs against OpenSSL and BoringSSL. A script is a
// child's; like the socket scripts it gives up on the first call that does not do what it must.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>

#include <string>
#include <string_view>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {

class SslLibrary {
 public:
  static constexpr int kWantRead = 2, kWantWrite = 3;
  static constexpr long kTls12 = 0x303;

  explicit SslLibrary(const std::string& path)
      : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {}
  bool loaded() const { return handle_ != nullptr; }

  template <typename... Arguments>
  int Int(const char* name, Arguments... arguments) const {
    return Function<int(Arguments...)>(name)(arguments...);
  }
  template <typename... Arguments>
  void* Pointer(const char* name, Arguments... arguments) const {
    return Function<void*(Arguments...)>(name)(arguments...);
  }
  template <typename... Arguments>
  void Do(const char* name, Arguments... arguments) const {
    Function<void(Arguments...)>(name)(arguments...);
  }
  long Control(void* ssl, int command, long argument) const {
    return Function<long(void*, int, long, void*)>("SSL_ctrl")(ssl, command, argument, nullptr);
  }
  void CapVersion(void* context, long version) const {
    constexpr int kSetMaxVersion = 124;
    if (dlsym(handle_, "SSL_CTX_set_max_proto_version") != nullptr) {  // a macro of OpenSSL
      Int("SSL_CTX_set_max_proto_version", context, static_cast<uint16_t>(version));
      return;
    }
    Function<long(void*, int, long, void*)>("SSL_CTX_ctrl")(context, kSetMaxVersion, version,
                                                            nullptr);
  }
  int Error(void* ssl, int result) const {
    return Int("SSL_get_error", static_cast<const void*>(ssl), result);
  }

 private:
  template <typename Type>
  Type* Function(const char* name) const {
    auto* function = reinterpret_cast<Type*>(dlsym(handle_, name));
    Must(function != nullptr, name);
    return function;
  }

  void* handle_;
};

// Both ends of a connection in one thread; blocking when the handshake is over.
struct TlsPair {
  const SslLibrary& library;
  void *client_context, *server_context, *client, *server;

  TlsPair(const SslLibrary& with, const std::string& folder, int client_fd, int server_fd,
          long highest_version = 0)
      : library(with) {
    client_context = library.Pointer("SSL_CTX_new", library.Pointer("TLS_client_method"));
    server_context = library.Pointer("SSL_CTX_new", library.Pointer("TLS_server_method"));
    if (highest_version != 0) library.CapVersion(client_context, highest_version);
    const std::string certificate = folder + "/cert.pem", key = folder + "/key.pem";
    Must(
        library.Int("SSL_CTX_use_certificate_chain_file", server_context, certificate.c_str()) == 1,
        "certificate");
    Must(library.Int("SSL_CTX_use_PrivateKey_file", server_context, key.c_str(), 1) == 1, "key");
    client = library.Pointer("SSL_new", client_context);
    server = library.Pointer("SSL_new", server_context);
    Shake(client_fd, server_fd);
  }

  void Shake(int client_fd, int server_fd) {
    Must(library.Int("SSL_set_fd", client, client_fd) == 1, "SSL_set_fd");
    Must(library.Int("SSL_set_fd", server, server_fd) == 1, "SSL_set_fd");
    library.Do("SSL_set_connect_state", client);
    library.Do("SSL_set_accept_state", server);
    SetBlocking(client_fd, server_fd, false);
    ShakeUntilDone();
    SetBlocking(client_fd, server_fd, true);
  }
  // Both sockets must not block.
  void ShakeUntilDone() {
    for (int i = 0; i < 10'000; ++i) {
      const int one = library.Int("SSL_do_handshake", client);
      const int other = library.Int("SSL_do_handshake", server);
      if (one == 1 && other == 1) return;
      if (i > 10) usleep(100);
    }
    Must(false, "no handshake");
  }
  static void SetBlocking(int client_fd, int server_fd, bool blocking) {
    fcntl(client_fd, F_SETFL, blocking ? 0 : O_NONBLOCK);
    fcntl(server_fd, F_SETFL, blocking ? 0 : O_NONBLOCK);
  }

  int Write(void* ssl, std::string_view text) {
    return library.Int("SSL_write", ssl, static_cast<const void*>(text.data()),
                       static_cast<int>(text.size()));
  }
  void WriteAll(void* ssl, std::string_view text) {
    Must(Write(ssl, text) == static_cast<int>(text.size()), "SSL_write");
  }
  int Read(void* ssl, char* to, size_t room, const char* how = "SSL_read") {
    return library.Int(how, ssl, static_cast<void*>(to), static_cast<int>(room));
  }
  std::string ReadAll(void* ssl, size_t n) {
    std::string text(n, 0);
    for (size_t have = 0; have < n;) {
      const int got = Read(ssl, text.data() + have, n - have);
      Must(got > 0, "SSL_read");
      have += static_cast<size_t>(got);
    }
    return text;
  }
  void Free() {
    library.Do("SSL_free", client);
    library.Do("SSL_free", server);
    library.Do("SSL_CTX_free", client_context);
    library.Do("SSL_CTX_free", server_context);
  }
};

}  // namespace weft::sources::ebpf
