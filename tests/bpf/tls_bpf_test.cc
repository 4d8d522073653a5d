#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

// A TLS server of real software, a client of real software, and what weft makes of both.
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

// Case T63: both sides, the heads once, and nothing that is not plaintext.
TEST_F(TlsTest, CurlAndPythonServerAreSeenInPlaintext) {
  NEED("curl");
  NEED("python3");
  StartPythonServer();
  START_CAPTURE();
  ASSERT_EQ(Client("curl -s --http1.1 --cacert cert.pem " + Url("/one") + " " + Url("/two") + " " +
                   Url("/three") + " >/dev/null"),
            0);
  for (bool of_server : {false, true}) {
    SCOPED_TRACE(of_server ? "server" : "client");
    ExpectExchanges(of_server, 3, "GET /", "200");
    const auto requests =
        Plain(of_server, of_server ? model::Direction::kReceive : model::Direction::kSend);
    EXPECT_THAT(requests, SizeIs(3));
    for (const auto& s : requests) EXPECT_EQ(s.length, s.bytes.size());
  }
  // Both ends name the same byte of the ciphertext.
  const auto sent = ClientSends(), received = ServerReceives();
  ASSERT_EQ(sent.size(), received.size());
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(sent[i].sequence, received[i].sequence) << i;
}

TEST_F(TlsTest, ALargeBodyIsCountedAndNotCopied) {
  NEED("curl");
  NEED("python3");
  StartPythonServer();
  START_CAPTURE();
  ASSERT_EQ(Client("curl -s --http1.1 --cacert cert.pem '" + Url("/big?n=1000000") + "' '" +
                   Url("/after") + "' >/dev/null"),
            0);
  ExpectTiled(Plain(true, model::Direction::kSend));
  ExpectTiled(Plain(false, model::Direction::kReceive));
  EXPECT_GT(Length(Plain(true, model::Direction::kSend)), 1000000u);
  EXPECT_EQ(Length(Plain(true, model::Direction::kSend)),
            Length(Plain(false, model::Direction::kReceive)));
  EXPECT_LT(Bytes(Plain(true, model::Direction::kSend)).size(), 20000u);
}

TEST_F(TlsTest, NginxWorkersAreSeen) {
  NEED("nginx");
  NEED("curl");
  WriteFile("nginx.conf",
            "daemon off; worker_processes 1; user root; error_log error.log; pid nginx.pid;\n"
            "events {}\nhttp { access_log off; server { listen 127.0.0.1:" +
                Port() +
                " ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;\n"
                "location / { return 200 'hello'; } } }\n");
  StartServer("nginx -p " + folder_ + " -c " + folder_ + "/nginx.conf");
  START_CAPTURE();
  ASSERT_EQ(Client("curl -s --http1.1 --cacert cert.pem " + Url("/a") + " " + Url("/b") +
                   " >/dev/null && curl -s --tls-max 1.2 --http1.1 --cacert cert.pem " + Url("/c") +
                   " > /dev/null"),
            0);
  ExpectExchanges(true, 3, "GET /", "200");
  ExpectExchanges(false, 3, "GET /", "200");
}

// Case T64: Node keeps TLS in memory and lets its event loop do the socket calls.
TEST_F(TlsTest, NodeIsBoundToItsSocketThoughItsTlsIsInMemory) {
  NEED("node");
  WriteFile("server.js", R"(
const https = require('https'), fs = require('fs');
https.createServer({key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem')},
  (q, r) => { r.setHeader('x', '1'); r.end('hello'); }).listen(+process.argv[2], '127.0.0.1');
)");
  WriteFile("client.js", R"(
const https = require('https'), fs = require('fs');
const agent = new https.Agent({keepAlive: true, maxSockets: 1, ca: fs.readFileSync('cert.pem')});
let left = 5;
const go = () => https.get({host: '127.0.0.1', port: +process.argv[2], path: '/n' + left, agent},
  r => { r.resume(); r.on('end', () => { if (--left) go(); else agent.destroy(); }); });
go();
)");
  StartServer("node server.js " + Port());
  START_CAPTURE();
  ASSERT_EQ(Client("node client.js " + Port()), 0);
  ExpectExchanges(true, 5, "GET /n", "200");
  ExpectExchanges(false, 5, "GET /n", "200");
}

// Case T64 again, with several connections at once on one thread.
TEST_F(TlsTest, AsyncioConnectionsAreNotMixedUp) {
  NEED("python3");
  WriteFile("both.py", R"(
import asyncio, ssl, sys
port = int(sys.argv[1])
sc = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); sc.load_cert_chain('cert.pem', 'key.pem')
cc = ssl.create_default_context(cafile='cert.pem'); cc.check_hostname = False
async def serve(r, w):
    while True:
        try: head = await r.readuntil(b'\r\n\r\n')
        except asyncio.IncompleteReadError: return w.close()
        name = head.split()[1]
        w.write(b'HTTP/1.1 200 OK\r\nX-Name: ' + name + b'\r\nContent-Length: 2\r\n\r\nok')
        await w.drain()
async def client(i):
    r, w = await asyncio.open_connection('127.0.0.1', port, ssl=cc)
    for n in range(3):
        w.write(b'GET /c%d-%d HTTP/1.1\r\nHost: x\r\n\r\n' % (i, n))
        await w.drain()
        await r.readuntil(b'ok')
        await asyncio.sleep(0.005)
    w.close()
async def main():
    s = await asyncio.start_server(serve, '127.0.0.1', port, ssl=sc)
    await asyncio.sleep(0.5)
    await asyncio.gather(*[client(i) for i in range(8)])
asyncio.run(main())
)");
  START_CAPTURE();
  ASSERT_EQ(Client("python3 both.py " + Port()), 0);
  for (bool of_server : {false, true}) {
    SCOPED_TRACE(of_server ? "server" : "client");
    ExpectExchanges(of_server, 24, "GET /c", "200");
    // What the two directions of one connection say belongs together.
    std::map<model::ConnectionId, std::set<std::string>> names;
    for (auto direction : {model::Direction::kSend, model::Direction::kReceive}) {
      for (const auto& s : Plain(of_server, direction)) {
        const size_t at = s.bytes.find("/c");
        if (at != std::string::npos) {
          names[s.connection->id].insert(s.bytes.substr(at, s.bytes.find('-', at) - at));
        }
      }
    }
    EXPECT_THAT(names, SizeIs(8));
    for (const auto& [id, set] : names) EXPECT_THAT(set, SizeIs(1)) << *set.begin();
  }
}

// Case T66: a library that nobody mapped when weft started, and that is deleted while it is mapped.
TEST_F(TlsTest, ALibraryThatIsMappedLaterIsFound) {
  NEED("curl");
  NEED("python3");
  if (Shell("cp \"$(ldconfig -p | awk '/libssl.so.3 .*x86-64/{print $NF; exit}')\" libssl.so.3 "
            "2>/dev/null") != 0) {
    GTEST_SKIP() << "no libssl.so.3 here";
  }
  START_CAPTURE();
  setenv("LD_LIBRARY_PATH", folder_.c_str(), 1);
  StartPythonServer();
  unsetenv("LD_LIBRARY_PATH");
  const std::string maps = "/proc/" + std::to_string(server_) + "/maps";
  ASSERT_EQ(Shell("grep -q " + folder_ + "/libssl.so.3 " + maps), 0);
  std::filesystem::remove(folder_ + "/libssl.so.3");
  Turn(std::chrono::milliseconds(300));
  ASSERT_EQ(Client("curl -s --http1.1 --cacert cert.pem " + Url("/late") + " >/dev/null"), 0);
  EXPECT_EQ(Count(Bytes(Plain(true, model::Direction::kReceive)), "GET /late"), 1u);
}

TEST_F(TlsTest, AnExcludedProgramIsLeftAlone) {
  NEED("curl");
  NEED("python3");
  StartPythonServer();
  Options options;
  options.tls.exclude = {"python3.11", "python3"};
  options.tls.exclude.push_back(
      std::filesystem::read_symlink("/proc/" + std::to_string(server_) + "/exe").string());
  START_CAPTURE(options);
  ASSERT_EQ(Client("curl -s --http1.1 --cacert cert.pem " + Url("/one") + " >/dev/null"), 0);
  EXPECT_THAT(ServerReceives(), SizeIs(0));
  EXPECT_EQ(Count(Bytes(ClientSends()), "GET /one"), 1u);
}

TEST_F(TlsTest, SwitchedOffNothingOfATlsConnectionIsRecorded) {
  NEED("curl");
  NEED("python3");
  StartPythonServer();
  Options options;
  options.tls.enabled = false;
  START_CAPTURE(options);
  ASSERT_EQ(Client("curl -s --http1.1 --cacert cert.pem " + Url("/one") + " >/dev/null"), 0);
  EXPECT_THAT(Seen(true, model::Direction::kReceive), SizeIs(0));
  EXPECT_THAT(Seen(false, model::Direction::kSend), SizeIs(0));
}

TEST_F(TlsTest, FeaturesNameTheFamilies) {
  NEED("python3");
  StartPythonServer();
  START_CAPTURE();
  bool found = false;
  for (const FeatureReport& row : capture_->features()) {
    if (row.name != "capture.tls.openssl") continue;
    found = true;
    EXPECT_TRUE(row.on) << row.reason;
    EXPECT_THAT(row.rung, HasSubstr("file"));
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace weft::sources::ebpf
