#include <set>

#include "bpf/tls_fixture.h"

namespace weft::sources::ebpf {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

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

TEST_F(TlsTest, GnuTlsIsSeenAtBothEnds) {
  NEED("gnutls-serv");
  NEED("gnutls-cli");
  StartServer("gnutls-serv --http --quiet --x509keyfile key.pem --x509certfile cert.pem --port " +
              Port());
  START_CAPTURE();
  // One connection each; the server of one answer closes it.
  for (const char* version : {"NORMAL", "NORMAL:-VERS-TLS1.3"}) {
    sink_.segments.clear();
    ASSERT_EQ(Client("(printf 'GET /gnutls HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n'; sleep 0.4) | "
                     "gnutls-cli --x509cafile cert.pem --priority " +
                     std::string(version) + " --port " + Port() + " 127.0.0.1 >client.log 2>&1"),
              0)
        << ReadFile("client.log");
    const std::string request = "GET /gnutls HTTP/1.0\r\nHost: x\r\n\r\n";
    const auto sent = Plain(false, model::Direction::kSend),
               received = Plain(true, model::Direction::kReceive),
               answered = Plain(true, model::Direction::kSend),
               got = Plain(false, model::Direction::kReceive);
    EXPECT_EQ(Bytes(sent), request);
    EXPECT_EQ(Bytes(received), request);
    EXPECT_EQ(Count(Bytes(answered), "HTTP/1.0 200"), 1u) << Bytes(answered);
    EXPECT_GT(Length(answered), 100u);
    EXPECT_EQ(Length(answered), Length(got));
    EXPECT_EQ(Bytes(answered), Bytes(got));
    for (const auto& segments : {sent, received, answered, got}) ExpectTiled(segments);
    ASSERT_FALSE(sent.empty() || received.empty());
    EXPECT_EQ(sent[0].sequence, received[0].sequence);
  }
}

TEST_F(TlsTest, AnExcludedProgramIsLeftAlone) {
  NEED("openssl");
  NEED("python3");
  StartPythonServer();
  Options options;
  options.tls.exclude = {"python3.11", "python3"};
  options.tls.exclude.push_back(
      std::filesystem::read_symlink("/proc/" + std::to_string(server_) + "/exe").string());
  START_CAPTURE(options);
  // Nobody else has the library whose probes are looked for: its user waits for them.
  ASSERT_EQ(Client("(sleep 0.5; printf 'GET /one HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'; sleep 0.3) | "
                   "openssl s_client -quiet -no_ign_eof -CAfile cert.pem -connect 127.0.0.1:" +
                   Port() + " >/dev/null 2>&1"),
            0);
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
