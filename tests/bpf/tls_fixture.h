// A folder with a certificate, TLS servers and clients of real software, and what weft makes of
// both.
#pragma once

#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {

class TlsTest : public CaptureTest {
 protected:
  void SetUp() override {
    CaptureTest::SetUp();
    close(listener_);  // the port is for the server
    listener_ = -1;
    char name[] = "/tmp/weft_tls_XXXXXX";
    folder_ = mkdtemp(name);
    ASSERT_EQ(Shell("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
                    "-addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout key.pem "
                    "-out cert.pem 2>/dev/null"),
              0);
  }
  void TearDown() override {
    if (server_ > 0) {
      kill(-server_, SIGKILL);
      waitpid(server_, nullptr, 0);
    }
    CaptureTest::TearDown();
    std::filesystem::remove_all(folder_);
  }

  static bool Have(const std::string& program) {
    return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
  }
  int Shell(const std::string& command) const {
    return std::system(("cd " + folder_ + " && " + command).c_str());
  }
  void WriteFile(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }
  std::string ReadFile(const std::string& name) const {
    std::ifstream in(folder_ + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string Port() const { return std::to_string(port_); }
  std::string Url(const std::string& path) const { return "https://127.0.0.1:" + Port() + path; }

  // Starts it in a process group of its own and waits until its port is open.
  void StartServer(const std::string& command) {
    server_ = fork();
    if (server_ == 0) {
      setpgid(0, 0);
      Must(chdir(folder_.c_str()) == 0, "chdir");
      execl("/bin/sh", "sh", "-c", ("exec " + command + " >server.log 2>&1").c_str(), nullptr);
      _exit(127);
    }
    setpgid(server_, server_);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port_);
    for (int i = 0; i < 500; ++i) {
      int fd = socket(AF_INET, SOCK_STREAM, 0);
      const bool open = connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
      close(fd);
      if (open) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    FAIL() << "no server: " << ReadFile("server.log");
  }
  void StartPythonServer() {
    WriteFile("server.py", R"(
import http.server, ssl, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'x' * int(self.path.split('=')[1]) if '=' in self.path else b'hello'
        self.send_response(200); self.send_header('Content-Length', str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def do_POST(self):
        n = int(self.headers['Content-Length']); got = self.rfile.read(n)
        self.send_response(201); self.send_header('Content-Length', '0'); self.end_headers()
s = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('cert.pem', 'key.pem')
s.socket = c.wrap_socket(s.socket, server_side=True, do_handshake_on_connect=False)
s.serve_forever()
)");
    StartServer("python3 server.py " + Port());
  }

  // Lets the capture's timers work for a while.
  void Turn(std::chrono::milliseconds time) {
    loop_.RunAfter(time, [this] { loop_.Stop(); });
    loop_.Run();
    capture_->Drain();
  }
  // Runs a client to its end while the capture works: what other processes do must not fill the
  // rings.
  int Client(const std::string& command) {
    const pid_t client = fork();
    if (client == 0) _exit(Shell(command) == 0 ? 0 : 1);
    int status = 0;
    while (waitpid(client, &status, WNOHANG) == 0) Turn(std::chrono::milliseconds(10));
    Turn(std::chrono::milliseconds(20));
    return status;
  }
  // Captured heads of one side and direction, joined.
  std::vector<SeenSegment> Plain(bool of_server, model::Direction direction) const {
    std::vector<SeenSegment> out;
    for (const SeenSegment& s : Seen(of_server, direction)) {
      EXPECT_TRUE(s.is_tls) << "ciphertext: " << s.bytes;
      out.push_back(s);
    }
    return out;
  }
  static size_t Count(const std::string& text, const std::string& what) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
    return n;
  }
  static uint64_t Length(const std::vector<SeenSegment>& segments) {
    uint64_t sum = 0;
    for (const SeenSegment& s : segments) sum += s.length;
    return sum;
  }
  // Positions of one connection's direction tile without hole and overlap.
  static void ExpectTiled(const std::vector<SeenSegment>& segments) {
    std::map<model::ConnectionId, uint64_t> next;
    for (const SeenSegment& s : segments) {
      EXPECT_EQ(s.position, next[s.connection->id]) << s.bytes;
      next[s.connection->id] = s.position + s.length;
    }
  }
  // Every request and every answer once on each side that is seen.
  void ExpectExchanges(bool of_server, size_t count, const std::string& request,
                       const std::string& status) {
    const auto in = of_server ? model::Direction::kReceive : model::Direction::kSend;
    const auto out = of_server ? model::Direction::kSend : model::Direction::kReceive;
    const auto requests = Plain(of_server, in), answers = Plain(of_server, out);
    EXPECT_EQ(Count(Bytes(requests), request), count) << Bytes(requests);
    EXPECT_EQ(Count(Bytes(answers), "HTTP/1.1 " + status), count) << Bytes(answers);
    ExpectTiled(requests);
    ExpectTiled(answers);
  }

  std::string folder_;
  pid_t server_ = 0;
};

#define NEED(program) \
  if (!Have(program)) GTEST_SKIP() << program << " is not installed"

}  // namespace weft::sources::ebpf
