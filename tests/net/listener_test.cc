// What a Listener decides about connections: unix sockets, shares of addresses, age.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

#include "base/metrics.h"
#include "harness.h"

namespace weft::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// A blocking client on a socket of any family.
class AnyClient {
 public:
  AnyClient(int family, const void* at, socklen_t size, const char* from = nullptr)
      : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (from != nullptr) {
      sockaddr_in own{};
      own.sin_family = AF_INET;
      inet_pton(AF_INET, from, &own.sin_addr);
      bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own);
    }
    timeval patience{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = connect(fd_, static_cast<const sockaddr*>(at), size) == 0;
  }
  ~AnyClient() { close(fd_); }
  AnyClient(const AnyClient&) = delete;

  static std::unique_ptr<AnyClient> Unix(const std::string& path) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, path.data(), path.size());
    return std::make_unique<AnyClient>(AF_UNIX, &at, sizeof at);
  }
  static std::unique_ptr<AnyClient> From(const char* address, uint16_t port) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return std::make_unique<AnyClient>(AF_INET, &at, sizeof at, address);
  }
  bool connected() const { return connected_; }
  std::string Get() {
    constexpr std::string_view kRequest = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    (void)send(fd_, kRequest.data(), kRequest.size(), MSG_NOSIGNAL);
    char buffer[1000];
    ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    return {buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))};
  }

 private:
  int fd_;
  bool connected_ = false;
};

class UnixSocket : public testing::Test {
 protected:
  UnixSocket() {
    char name[] = "/tmp/weft-unix-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ + "/weft.sock";
  }
  ~UnixSocket() override {
    thread_.Do([&] { listeners_.clear(); });
    std::filesystem::remove_all(folder_);
  }
  base::Status Open(uint32_t mode = 0660) {
    base::Status status;
    thread_.Do([&] {
      ListenerOptions options;
      options.endpoint = "unix://" + path_;
      options.unix_mode = mode;
      auto opened = Listener::Open(thread_.loop, options, credit_,
                                   [this](Request&& request, Responder responder) {
                                     pid_ = request.peer_pid;
                                     known_ = request.peer.known();
                                     responder.Send({});
                                   });
      status = opened.status();
      if (opened.ok()) listeners_.push_back(std::move(*opened));
    });
    return status;
  }
  bool Exists() const { return std::filesystem::exists(path_); }

  std::string folder_, path_;
  base::ByteCredit credit_{1 << 20};
  LoopThread thread_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  int32_t pid_ = 0;
  bool known_ = true;
};

TEST_F(UnixSocket, ServesWithItsModeAndTellsTheCallersPid) {
  ASSERT_TRUE(Open(0600).ok());
  struct stat file {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_THAT(AnyClient::Unix(path_)->Get(), HasSubstr("200 OK"));
  EXPECT_EQ(pid_, getpid());
  EXPECT_FALSE(known_);
  thread_.Do([&] { listeners_.clear(); });
  EXPECT_FALSE(Exists()) << "taken away with its listener";
}

TEST_F(UnixSocket, LeftBehindFileIsReplaced) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path, path_.data(), path_.size());
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  close(fd);
  ASSERT_TRUE(Exists());
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(AnyClient::Unix(path_)->Get(), HasSubstr("200 OK"));
}

TEST_F(UnixSocket, WhatIsInUseOrNoSocketStays) {
  ASSERT_TRUE(Open().ok());
  EXPECT_FALSE(Open().ok()) << "somebody listens";
  EXPECT_THAT(AnyClient::Unix(path_)->Get(), HasSubstr("200 OK"));
  thread_.Do([&] { listeners_.clear(); });
  std::ofstream(path_) << "precious";
  EXPECT_FALSE(Open().ok());
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
  path_ = folder_ + "/" + std::string(200, 'x');
  EXPECT_FALSE(Open().ok()) << "longer than a socket's name may be";
}

TEST_F(UnixSocket, PathTakenOverByAnotherIsNotRemoved) {
  ASSERT_TRUE(Open().ok());
  std::filesystem::remove(path_);
  ASSERT_TRUE(Open().ok());
  thread_.Do([&] { listeners_.erase(listeners_.begin()); });
  EXPECT_THAT(AnyClient::Unix(path_)->Get(), HasSubstr("200 OK"));
}

// Cases F33, F34: the last quarter is for those who hold little.
TEST(Listener, AddressThatHoldsHalfLeavesTheLastQuarterToOthers) {
  base::MetricRegistry metrics;
  ListenerOptions options;
  options.max_connections = 16;
  options.metrics = &metrics;
  Server server(options);
  std::vector<std::unique_ptr<AnyClient>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(AnyClient::From("127.0.0.1", server.port()));
    ASSERT_THAT(clients.back()->Get(), HasSubstr("200 OK")) << i;
  }
  EXPECT_EQ(AnyClient::From("127.0.0.1", server.port())->Get(), "");
  EXPECT_EQ(metrics
                .Get(base::MetricKind::kCounter, "weft_net_refused_connections_total", "",
                     {{"listener", "listener"}, {"reason", "peer_share"}})
                .value(),
            1);
  for (int i = 0; i < 4; ++i) {
    clients.push_back(AnyClient::From("127.0.0.2", server.port()));
    ASSERT_THAT(clients.back()->Get(), HasSubstr("200 OK")) << i;
  }
  EXPECT_EQ(AnyClient::From("127.0.0.3", server.port())->Get(), "") << "all full";
  EXPECT_EQ(server.listener->refused_connections(), 2u);
}

TEST(Listener, CapOfOneAddressHoldsAndIsGivenBack) {
  ListenerOptions options;
  options.max_connections_per_peer = 2;
  Server server(options);
  auto first = AnyClient::From("127.0.0.1", server.port());
  auto second = AnyClient::From("127.0.0.1", server.port());
  EXPECT_THAT(first->Get() + second->Get(), HasSubstr("200 OK"));
  EXPECT_EQ(AnyClient::From("127.0.0.1", server.port())->Get(), "");
  EXPECT_THAT(AnyClient::From("127.0.0.2", server.port())->Get(), HasSubstr("200 OK"));
  first.reset();
  for (int i = 0; i < 5000 && server.listener->connections() > 1; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_THAT(AnyClient::From("127.0.0.1", server.port())->Get(), HasSubstr("200 OK"));
}

TEST(Listener, OldHttp1ConnectionsAreClosedBetweenRequests) {
  ListenerOptions options;
  options.header_timeout = milliseconds(40);
  options.max_connection_age = milliseconds(50);
  Server server(options);
  RawClient idle(server.port());
  idle.Send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(idle.ReadToEnd(), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace weft::net
