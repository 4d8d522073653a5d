// TLS and mutual TLS on both sides of the room, against gRPC C++ and against each other (case F13).
#include <gmock/gmock.h>

#include <filesystem>

#include "base/metrics.h"
#include "certificates.h"
#include "grpc_peer.h"
#include "harness.h"
#include "net/grpc_channel.h"
#include "net/http_channel.h"

namespace weft::net {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;

const Certificates& Files() { return Certificates::Get(); }

TlsFiles ServerFiles(const std::string& name = "server") {
  TlsFiles files;
  files.cert_file = Files().path(name + ".pem");
  files.key_file = Files().path(name + ".key");
  return files;
}

TlsFiles Trusting(const std::string& ca = "ca") {
  TlsFiles files;
  files.ca_file = Files().path(ca + ".pem");
  return files;
}

struct TlsServer {
  explicit TlsServer(TlsFiles files, ListenerOptions options = {})
      : server([&] {
          options.tls = std::move(files);
          options.metrics = &metrics;
          return options;
        }()) {}
  int64_t Count(const std::string& name, base::Labels more = {}) {
    more["listener"] = "listener";
    return metrics.Get(base::MetricKind::kCounter, name, "", more).value();
  }
  std::string endpoint() const { return "localhost:" + std::to_string(server.port()); }
  // For gRPC C++, whose resolver leaks a little when it is asked for names.
  std::string address() const { return "127.0.0.1:" + std::to_string(server.port()); }

  base::MetricRegistry metrics;
  Server server;
};

std::shared_ptr<grpc::ChannelCredentials> GrpcCredentials(const std::string& own = "") {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = Files().text("ca.pem");
  if (!own.empty()) {
    options.pem_cert_chain = Files().text(own + ".pem");
    options.pem_private_key = Files().text(own + ".key");
  }
  return grpc::SslCredentials(options);
}

GrpcReply CallOver(const std::string& endpoint, TlsFiles files, const std::string& text = "x") {
  LoopThread thread;
  std::unique_ptr<GrpcChannel> channel;
  std::promise<GrpcReply> reply;
  thread.Do([&] {
    channel = std::make_unique<GrpcChannel>(
        thread.loop, GrpcChannel::Options{.endpoint = endpoint, .tls = std::move(files)});
    auto owner = std::make_shared<const std::string>(text);
    base::Gathered payload;
    base::ByteView all = base::AsBytes(*owner);
    for (size_t at = 0; at < all.size(); at += 700) {
      payload.Add(all.subspan(at, std::min<size_t>(700, all.size() - at)));
    }
    payload.owners.push_back(owner);
    channel->Call("/test.Service/Method", std::move(payload), "",
                  [&](GrpcReply&& r) { reply.set_value(std::move(r)); });
  });
  GrpcReply out = reply.get_future().get();
  thread.Do([&] { channel.reset(); });
  return out;
}

HttpPostReply PostOver(const std::string& endpoint, TlsFiles files, const std::string& text) {
  LoopThread thread;
  std::unique_ptr<HttpChannel> channel;
  std::promise<HttpPostReply> reply;
  thread.Do([&] {
    channel = std::make_unique<HttpChannel>(
        thread.loop,
        HttpChannel::Options{.endpoint = "https://" + endpoint, .tls = std::move(files)});
    auto owner = std::make_shared<const std::string>(text);
    base::Gathered payload;
    payload.Add(base::AsBytes(*owner));
    payload.owners.push_back(owner);
    channel->Post("/v1/traces", std::move(payload), "a/b", "",
                  [&](HttpPostReply&& r) { reply.set_value(std::move(r)); });
  });
  HttpPostReply out = reply.get_future().get();
  thread.Do([&] { channel.reset(); });
  return out;
}

grpc::Status Echo(grpc::GenericCallbackServerContext*, const std::string& request,
                  std::string* reply) {
  *reply = request;
  return grpc::Status::OK;
}

TEST(Tls, GrpcCppClientTalksToOurServer) {
  WEFT_NEED_CERTIFICATES();
  TlsServer server(ServerFiles());
  GrpcClient client(server.address(), GrpcCredentials());
  for (size_t size : {0, 1, 16'379, 16'384, 100'000, 5 << 20}) {
    std::string text(size, 't'), reply;
    grpc::Status status = client.Call(text, &reply);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(reply, text);
  }
  EXPECT_EQ(server.Count("weft_net_tls_failures_total"), 0);
}

TEST(Tls, OurClientTalksToGrpcCppServer) {
  WEFT_NEED_CERTIFICATES();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Files().text("ca.pem");
  options.pem_key_cert_pairs.push_back({Files().text("server.key"), Files().text("server.pem")});
  GrpcServer server(Echo, 0, grpc::SslServerCredentials(options));
  TlsFiles files = Trusting();
  files.cert_file = Files().path("client.pem");
  files.key_file = Files().path("client.key");
  for (size_t size : {1, 16'380, 1 << 20, 3 << 20}) {
    std::string text(size, 't');
    GrpcReply reply = CallOver("https://" + server.endpoint(), files, text);
    EXPECT_EQ(reply.status, 0) << reply.message;
    EXPECT_EQ(TextOf(reply.body), text);
  }
  EXPECT_TRUE(CallOver(server.endpoint(), Trusting()).transport_error) << "no certificate of ours";
}

TEST(Tls, OurTwoSidesCarryGrpcAndHttp1) {
  WEFT_NEED_CERTIFICATES();
  TlsServer server(ServerFiles());
  std::string text;
  for (int i = 0; text.size() < (3u << 20); ++i) text += std::to_string(i) + ",";
  GrpcReply call = CallOver(server.endpoint(), Trusting(), text);
  EXPECT_EQ(call.status, 0) << call.message;
  EXPECT_TRUE(TextOf(call.body) == text);
  HttpPostReply post = PostOver(server.endpoint(), Trusting(), text);
  EXPECT_EQ(post.status, 200) << post.message;
  EXPECT_TRUE(TextOf(post.body) == text);
}

TEST(Tls, ClientsMustShowACertificateWhenTheServerSaysSo) {
  WEFT_NEED_CERTIFICATES();
  TlsFiles files = ServerFiles();
  files.client_ca_file = Files().path("ca.pem");
  TlsServer server(files);
  std::string reply;
  GrpcClient known(server.address(), GrpcCredentials("client"));
  EXPECT_TRUE(known.Call("x", &reply).ok());
  EXPECT_EQ(server.Count("weft_net_tls_failures_total"), 0);
  EXPECT_TRUE(CallOver(server.endpoint(), Trusting()).transport_error);
  TlsFiles stranger = Trusting();  // signed by somebody else: by itself
  stranger.cert_file = Files().path("other-ca.pem");
  stranger.key_file = Files().path("other-ca.key");
  EXPECT_TRUE(CallOver(server.endpoint(), stranger).transport_error);
  EXPECT_GE(server.Count("weft_net_tls_failures_total"), 2);
}

// Case F13: what fails, fails, and says why; nothing falls back.
TEST(Tls, UntrustedWrongNamedAndExpiredServersAreRefused) {
  WEFT_NEED_CERTIFICATES();
  TlsServer server(ServerFiles()), expired(ServerFiles("expired")),
      other(ServerFiles("wrong-name"));
  GrpcReply reply = CallOver(server.endpoint(), Trusting("other-ca"));
  EXPECT_TRUE(reply.transport_error);
  EXPECT_THAT(reply.message, HasSubstr("certificate"));
  reply = CallOver(expired.endpoint(), Trusting());
  EXPECT_TRUE(reply.transport_error);
  EXPECT_THAT(reply.message, HasSubstr("expired"));
  reply = CallOver(other.endpoint(), Trusting());
  EXPECT_TRUE(reply.transport_error);
  EXPECT_THAT(reply.message, AnyOf(HasSubstr("ostname"), HasSubstr("name")));
  HttpPostReply post = PostOver(server.endpoint(), Trusting("other-ca"), "x");
  EXPECT_TRUE(post.transport_error);
  EXPECT_THAT(post.message, HasSubstr("certificate"));
  // By its address, by the name it has, and by whoever insists.
  EXPECT_EQ(CallOver("127.0.0.1:" + std::to_string(server.server.port()), Trusting()).status, 0);
  TlsFiles named = Trusting();
  named.server_name = "elsewhere.example";
  EXPECT_EQ(CallOver(other.endpoint(), named).status, 0);
  EXPECT_TRUE(CallOver(server.endpoint(), named).transport_error);
  TlsFiles blind = Trusting("other-ca");
  blind.insecure_skip_verify = true;
  EXPECT_EQ(CallOver(server.endpoint(), blind).status, 0);
}

TEST(Tls, PlaintextAndTlsDoNotMix) {
  WEFT_NEED_CERTIFICATES();
  TlsServer server(ServerFiles());
  RawClient plain(server.server.port());
  plain.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(plain.ReadToEnd(), testing::Not(HasSubstr("HTTP/1.1")));
  EXPECT_EQ(server.Count("weft_net_tls_failures_total"), 1);
  Server without;
  EXPECT_TRUE(CallOver("localhost:" + std::to_string(without.port()), Trusting()).transport_error);
}

// Case F33: a handshake that is never finished.
TEST(Tls, SilentHandshakeEndsAtTheHeadDeadline) {
  WEFT_NEED_CERTIFICATES();
  ListenerOptions options;
  options.header_timeout = milliseconds(60);
  TlsServer server(ServerFiles(), options);
  RawClient silent(server.server.port());
  silent.Send("\x16\x03\x01");
  EXPECT_TRUE(silent.WaitClosed());
}

TEST(Tls, MinVersionIsHeld) {
  WEFT_NEED_CERTIFICATES();
  TlsFiles files = ServerFiles();
  files.min_version = "1.3";
  TlsServer server(files);
  auto connect = [&](const std::string& version) {
    return std::system(("openssl s_client -brief -connect " + server.endpoint() + " " + version +
                        " < /dev/null > /dev/null 2>&1")
                           .c_str());
  };
  EXPECT_EQ(connect("-tls1_3"), 0);
  EXPECT_NE(connect("-tls1_2"), 0);
  LoopThread thread;
  base::ByteCredit credit(1 << 20);
  thread.Do([&] {
    ListenerOptions options;
    options.endpoint = "127.0.0.1:0";
    options.tls = ServerFiles();
    options.tls->min_version = "1.1";
    EXPECT_FALSE(Listener::Open(thread.loop, options, credit, Server::Echo()).ok());
    options.tls = TlsFiles{};
    EXPECT_FALSE(Listener::Open(thread.loop, options, credit, Server::Echo()).ok())
        << "a server without a certificate";
    options.tls = ServerFiles();
    options.tls->key_file = Files().path("client.key");
    EXPECT_FALSE(Listener::Open(thread.loop, options, credit, Server::Echo()).ok())
        << "a key of another certificate";
  });
}

// Case F13: rotation without a restart, and a rotation that goes wrong.
TEST(Tls, ChangedFilesAreReadAgainAndBrokenOnesAreNot) {
  WEFT_NEED_CERTIFICATES();
  const std::string folder = Files().path("rotated");
  std::filesystem::create_directory(folder);
  auto install = [&](const std::string& name) {
    for (const char* end : {".pem", ".key"}) {
      // As a kubelet does it: the new file takes the old one's place.
      std::filesystem::copy_file(Files().path(name + end), folder + "/next",
                                 std::filesystem::copy_options::overwrite_existing);
      std::filesystem::rename(folder + "/next", folder + "/tls" + end);
    }
  };
  install("wrong-name");
  TlsFiles files;
  files.cert_file = folder + "/tls.pem";
  files.key_file = folder + "/tls.key";
  files.reload_interval = milliseconds(0);
  TlsServer server(files);
  EXPECT_TRUE(CallOver(server.endpoint(), Trusting()).transport_error);
  install("server");
  GrpcClient lasting(server.address(), GrpcCredentials());
  std::string reply;
  EXPECT_TRUE(lasting.Call("x", &reply).ok());
  EXPECT_EQ(server.Count("weft_net_tls_reloads_total", {{"result", "used"}}), 1);
  std::ofstream(folder + "/tls.pem") << "not a certificate";
  EXPECT_EQ(CallOver(server.endpoint(), Trusting()).status, 0);
  EXPECT_EQ(CallOver(server.endpoint(), Trusting()).status, 0);
  EXPECT_EQ(server.Count("weft_net_tls_reloads_total", {{"result", "unusable"}}), 1);
  EXPECT_TRUE(lasting.Call("x", &reply).ok()) << "open connections go on";
  install("wrong-name");
  EXPECT_TRUE(CallOver(server.endpoint(), Trusting()).transport_error);
}

}  // namespace
}  // namespace weft::net
