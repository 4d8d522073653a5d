// A program with OpenSSL linked into it, as a test wants it: FOLDER PORT. When the file `go` is in
// the folder it makes three exchanges with itself over TLS on the port.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

extern "C" {
void* TLS_client_method();
void* TLS_server_method();
void* SSL_CTX_new(const void*);
int SSL_CTX_use_certificate_chain_file(void*, const char*);
int SSL_CTX_use_PrivateKey_file(void*, const char*, int);
void* SSL_new(void*);
int SSL_set_fd(void*, int);
int SSL_connect(void*);
int SSL_accept(void*);
int SSL_read(void*, void*, int);
int SSL_write(void*, const void*, int);
void SSL_free(void*);
}

namespace {

constexpr std::string_view kRequest = "GET /static HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr int kExchanges = 3;

void Send(void* ssl, std::string_view text) {
  if (SSL_write(ssl, text.data(), static_cast<int>(text.size())) != static_cast<int>(text.size())) {
    std::exit(4);
  }
}

void Receive(void* ssl, size_t n) {
  std::string room(n, 0);
  for (size_t have = 0; have < n;) {
    const int got = SSL_read(ssl, room.data(), static_cast<int>(n - have));
    if (got <= 0) std::exit(5);
    have += static_cast<size_t>(got);
  }
}

void Serve(int listener, const std::string& folder) {
  void* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate_chain_file(context, (folder + "/cert.pem").c_str());
  SSL_CTX_use_PrivateKey_file(context, (folder + "/key.pem").c_str(), 1);
  void* ssl = SSL_new(context);
  SSL_set_fd(ssl, accept(listener, nullptr, nullptr));
  if (SSL_accept(ssl) != 1) std::exit(6);
  for (int i = 0; i < kExchanges; ++i) {
    Receive(ssl, kRequest.size());
    Send(ssl, kResponse);
  }
  SSL_free(ssl);
}

void Ask(const sockaddr_in& at) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) std::exit(7);
  void* ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
  SSL_set_fd(ssl, fd);
  if (SSL_connect(ssl) != 1) std::exit(8);
  for (int i = 0; i < kExchanges; ++i) {
    Send(ssl, kRequest);
    Receive(ssl, kResponse.size());
  }
  SSL_free(ssl);
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<uint16_t>(std::atoi(arguments[2])));
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) return 2;
  listen(listener, 1);
  while (access((folder + "/go").c_str(), F_OK) != 0) usleep(1000);
  const pid_t server = fork();
  if (server == 0) {
    Serve(listener, folder);
    return 0;
  }
  Ask(at);
  int status = 0;
  waitpid(server, &status, 0);
  return status == 0 ? 0 : 3;
}
