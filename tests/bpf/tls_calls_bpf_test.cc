// Calls into TLS libraries one by one (cases T11, T63, T65, T66): whatever the caller does with a
// session, its plaintext is recorded once, whole and in its place.
#include "bpf/tls_fixture.h"
#include "bpf/tls_script.h"

namespace weft::sources::ebpf {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr std::string_view kRequest = "GET /hello?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr const char* kOpenSsl = "libssl.so.3";
constexpr const char* kBoringSsl = "/usr/lib/x86_64-linux-gnu/android/libssl.so.0";

class TlsCallsTest : public TlsTest {
 protected:
  void SetUp() override {
    TlsTest::SetUp();
    Listen(AF_INET);
  }
  // False: skip. The library is mapped before weft looks, so no call of the script is missed.
  bool Load(const char* path) {
    library_ = std::make_unique<SslLibrary>(path);
    return library_->loaded();
  }
  // A child that runs to its end while the capture works.
  void RunBeside(const std::function<void()>& script) {
    child_ = fork();
    if (child_ == 0) {
      script();
      _exit(0);
    }
    int status = 0;
    while (waitpid(child_, &status, WNOHANG) == 0) Turn(std::chrono::milliseconds(10));
    ASSERT_EQ(status, 0) << "the script failed";
    Turn(std::chrono::milliseconds(10));
  }
  // A script with a connection that has shaken hands.
  void Script(const std::function<void(TlsPair&, int client, int server)>& script,
              long highest_version = 0) {
    RunBeside([&] {
      const int client = Connect(), server = accept(listener_, nullptr, nullptr);
      TlsPair pair(*library_, folder_, client, server, highest_version);
      script(pair, client, server);
      pair.Free();
    });
  }
  static void RoundTrip(TlsPair& pair) {
    pair.WriteAll(pair.client, kRequest);
    Must(pair.ReadAll(pair.server, kRequest.size()) == kRequest, "request");
    pair.WriteAll(pair.server, kResponse);
    Must(pair.ReadAll(pair.client, kResponse.size()) == kResponse, "response");
  }
  // `count` whole exchanges, each in one piece at both ends, which name the same ciphertext.
  void ExpectRoundTrips(size_t count) {
    const std::vector<std::string_view> requests(count, kRequest), responses(count, kResponse);
    using model::Direction;
    EXPECT_EQ(Texts(Plain(false, Direction::kSend)), Strings(requests));
    EXPECT_EQ(Texts(Plain(true, Direction::kReceive)), Strings(requests));
    EXPECT_EQ(Texts(Plain(true, Direction::kSend)), Strings(responses));
    EXPECT_EQ(Texts(Plain(false, Direction::kReceive)), Strings(responses));
    for (bool of_server : {false, true}) {
      ExpectTiled(Plain(of_server, Direction::kSend));
      ExpectTiled(Plain(of_server, Direction::kReceive));
    }
    ExpectSameCiphertext();
  }
  static std::vector<std::string> Strings(const std::vector<std::string_view>& views) {
    return {views.begin(), views.end()};
  }
  // What one end sends and the other receives: the first byte of each connection's stream.
  void ExpectSameCiphertext() {
    const auto sent = ClientSends(), received = ServerReceives();
    ASSERT_FALSE(sent.empty());
    ASSERT_EQ(sent.size(), received.size());
    for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(sent[i].sequence, received[i].sequence) << i;
  }

  std::unique_ptr<SslLibrary> library_;
};

#define LOAD(path) \
  if (!Load(path)) GTEST_SKIP() << "there is no " << path << " here"

TEST_F(TlsCallsTest, PlainCallsAreExact) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  for (long version : {0L, SslLibrary::kTls12}) {
    sink_.segments.clear();
    Script(
        [](TlsPair& pair, int, int) {
          for (int i = 0; i < 3; ++i) RoundTrip(pair);
        },
        version);
    ExpectRoundTrips(3);
  }
}

TEST_F(TlsCallsTest, T65PeekedPlaintextIsSeenOnce) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script([](TlsPair& pair, int, int) {
    char buffer[500];
    for (int i = 0; i < 3; ++i) {
      pair.WriteAll(pair.client, kRequest);
      for (int n = 0; n < 2; ++n) {
        Must(pair.Read(pair.server, buffer, 10 * (n + 1), "SSL_peek") == 10 * (n + 1), "peek");
      }
      size_t seen = 0;
      Must(pair.library.Int("SSL_peek_ex", pair.server, static_cast<void*>(buffer), sizeof buffer,
                            &seen) == 1 &&
               seen == kRequest.size(),
           "peek");
      Must(pair.ReadAll(pair.server, kRequest.size()) == kRequest, "request");
      pair.WriteAll(pair.server, kResponse);
      Must(pair.ReadAll(pair.client, kResponse.size()) == kResponse, "response");
    }
  });
  EXPECT_EQ(Bytes(Plain(true, model::Direction::kReceive)),
            std::string(kRequest) + std::string(kRequest) + std::string(kRequest));
  ExpectTiled(Plain(true, model::Direction::kReceive));
  EXPECT_THAT(Plain(true, model::Direction::kReceive), SizeIs(3));
}

TEST_F(TlsCallsTest, T65CallsThatCountApartAreExact) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script([](TlsPair& pair, int, int) {
    for (int i = 0; i < 3; ++i) {
      const auto move = [&](void* from, void* to, std::string_view text) {
        size_t written = 0, got = 0;
        std::string room(500, 0);
        Must(pair.library.Int("SSL_write_ex", from, static_cast<const void*>(text.data()),
                              text.size(), &written) == 1 &&
                 written == text.size(),
             "SSL_write_ex");
        Must(pair.library.Int("SSL_read_ex", to, static_cast<void*>(room.data()), room.size(),
                              &got) == 1 &&
                 room.substr(0, got) == text,
             "SSL_read_ex");
      };
      move(pair.client, pair.server, kRequest);
      move(pair.server, pair.client, kResponse);
    }
  });
  ExpectRoundTrips(3);
}

// A read into too small a buffer leaves the rest of the record to the next one.
TEST_F(TlsCallsTest, ARecordReadInPiecesIsWhole) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script([](TlsPair& pair, int, int) {
    pair.WriteAll(pair.client, kRequest);
    for (size_t i = 0; i < kRequest.size(); ++i) pair.ReadAll(pair.server, 1);
  });
  const auto seen = Plain(true, model::Direction::kReceive);
  EXPECT_EQ(Bytes(seen), kRequest);
  EXPECT_THAT(seen, SizeIs(kRequest.size()));
  ExpectTiled(seen);
}

// Case T65: records of 16 KiB through socket buffers of a few: nearly every call ends in the middle
// of a record and is made again, at both ends.
TEST_F(TlsCallsTest, T65CallsThatMustBeRepeatedCountOnce) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  constexpr long kPartialWrites = 3;  // and from another place
  for (long mode : {0L, kPartialWrites}) {
    SCOPED_TRACE(mode);
    sink_.segments.clear();
    const std::string head = "POST /up HTTP/1.1\r\nContent-Length: 300000\r\n\r\n";
    const std::string body(300'000, 'b');
    Script([&](TlsPair& pair, int client, int server) {
      const int small = 4096;
      setsockopt(client, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
      pair.SetBlocking(client, server, false);
      pair.library.Control(pair.client, 33 /* SSL_CTRL_MODE */, mode);
      const std::string text = head + body;
      std::string room(20'000, 0);
      size_t sent = 0, got = 0, write_again = 0, read_again = 0;
      while (got < text.size()) {
        if (sent < text.size()) {
          const int n = pair.Write(pair.client, std::string_view(text).substr(sent));
          if (n > 0) sent += static_cast<size_t>(n);
          if (n < 0) write_again += pair.library.Error(pair.client, n) == SslLibrary::kWantWrite;
        }
        const int n = pair.Read(pair.server, room.data(), room.size());
        if (n > 0) got += static_cast<size_t>(n);
        if (n < 0) read_again += pair.library.Error(pair.server, n) == SslLibrary::kWantRead;
      }
      Must(write_again > 3 && read_again > 3, "calls that must be repeated");
      pair.SetBlocking(client, server, true);
      pair.WriteAll(pair.server, kResponse);
      pair.ReadAll(pair.client, kResponse.size());
      RoundTrip(pair);
    });
    const uint64_t total = head.size() + body.size() + kRequest.size();
    for (const auto& seen :
         {Plain(false, model::Direction::kSend), Plain(true, model::Direction::kReceive)}) {
      ExpectTiled(seen);
      EXPECT_EQ(Length(seen), total);
      EXPECT_EQ(seen.at(0).bytes.substr(0, head.size()), head);
      EXPECT_EQ(Count(Bytes(seen), "POST /up"), 1u);
      EXPECT_EQ(seen.back().bytes, kRequest);
    }
    EXPECT_EQ(ClientSends().at(0).sequence, ServerReceives().at(0).sequence);
    EXPECT_EQ(ClientSends().back().sequence, ServerReceives().back().sequence);
    EXPECT_EQ(Bytes(Plain(false, model::Direction::kReceive)),
              std::string(kResponse) + std::string(kResponse));
  }
}

TEST_F(TlsCallsTest, NewKeysInTheMiddleOfATls13SessionAreNoPlaintext) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script([](TlsPair& pair, int, int) {
    constexpr int kAskPeerToo = 1;
    RoundTrip(pair);
    Must(pair.library.Int("SSL_key_update", pair.client, kAskPeerToo) == 1, "SSL_key_update");
    RoundTrip(pair);
    Must(pair.library.Int("SSL_key_update", pair.server, kAskPeerToo) == 1, "SSL_key_update");
    RoundTrip(pair);
    RoundTrip(pair);
  });
  ExpectRoundTrips(4);
}

TEST_F(TlsCallsTest, ARenegotiatedTls12SessionGoesOn) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script(
      [](TlsPair& pair, int client, int server) {
        RoundTrip(pair);
        pair.SetBlocking(client, server, false);
        Must(pair.library.Int("SSL_renegotiate", pair.server) == 1, "SSL_renegotiate");
        char byte;
        for (int i = 0; i < 1000; ++i) {
          pair.library.Int("SSL_do_handshake", pair.server);
          Must(pair.Read(pair.client, &byte, 1) < 0, "nothing to read but the handshake");
          Must(pair.Read(pair.server, &byte, 1) < 0, "nothing to read but the handshake");
          if (!pair.library.Int("SSL_renegotiate_pending", static_cast<const void*>(pair.server)) &&
              pair.library.Int("SSL_is_init_finished", static_cast<const void*>(pair.client))) {
            break;
          }
        }
        pair.SetBlocking(client, server, true);
        RoundTrip(pair);
      },
      SslLibrary::kTls12);
  ExpectRoundTrips(2);
}

// The sessions' objects serve one connection after another, the second time without being freed.
TEST_F(TlsCallsTest, ASessionThatIsClearedBelongsToItsNextSocket) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script([&](TlsPair& pair, int, int) {
    RoundTrip(pair);
    for (int i = 0; i < 2; ++i) {
      pair.library.Int("SSL_shutdown", pair.client);
      pair.library.Int("SSL_shutdown", pair.server);
      pair.library.Int("SSL_shutdown", pair.client);
      Must(pair.library.Int("SSL_clear", pair.client) == 1, "SSL_clear");
      Must(pair.library.Int("SSL_clear", pair.server) == 1, "SSL_clear");
      const int client = Connect();
      pair.Shake(client, accept(listener_, nullptr, nullptr));
      RoundTrip(pair);
    }
  });
  ExpectRoundTrips(3);
  const auto sent = ClientSends();
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_NE(sent[0].connection, sent[1].connection);
  EXPECT_NE(sent[1].connection, sent[2].connection);
  EXPECT_EQ(sent[2].position, 0u);
}

TEST_F(TlsCallsTest, SessionsAtTheSameAddressAreNotMixedUp) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  RunBeside([&] {
    for (int i = 0; i < 5; ++i) {
      const int client = Connect(), server = accept(listener_, nullptr, nullptr);
      TlsPair pair(*library_, folder_, client, server);
      RoundTrip(pair);
      pair.Free();
      close(client);
      close(server);
    }
  });
  ExpectRoundTrips(5);
  std::map<model::ConnectionId, size_t> connections;
  for (const auto& s : ClientSends()) ++connections[s.connection->id];
  EXPECT_THAT(connections, SizeIs(5));
}

TlsPair* current = nullptr;  // of the script below

long AnswerInside(void* bio, int operation, const char*, size_t, int, long, int result, size_t*) {
  constexpr int kBehindWrite = 0x83;
  if (operation == kBehindWrite && current != nullptr) {
    TlsPair& pair = *current;
    current = nullptr;
    Must(pair.ReadAll(pair.server, kRequest.size()) == kRequest, "request");
    pair.WriteAll(pair.server, kResponse);
    Must(pair.ReadAll(pair.client, kResponse.size()) == kResponse, "response");
  }
  (void)bio;
  return result;
}

// Case T11: an answer that is read before the call that sent the request is over, as where one
// thread writes and another one reads. The first of a connection must not be taken for a stranger.
TEST_F(TlsCallsTest, T11AnAnswerInsideTheCallThatAsksIsSeen) {
  LOAD(kOpenSsl);
  START_CAPTURE();
  Script([](TlsPair& pair, int, int) {
    void* bio = pair.library.Pointer("SSL_get_wbio", static_cast<const void*>(pair.client));
    pair.library.Do("BIO_set_callback_ex", bio, &AnswerInside);
    for (int i = 0; i < 2; ++i) {
      current = &pair;
      pair.WriteAll(pair.client, kRequest);
      Must(current == nullptr, "the answer came inside");
    }
  });
  EXPECT_THAT(Texts(Plain(false, model::Direction::kSend)), ElementsAre(kRequest, kRequest));
  EXPECT_THAT(Texts(Plain(false, model::Direction::kReceive)), ElementsAre(kResponse, kResponse));
}

TEST_F(TlsCallsTest, BoringSslWithSymbolsIsSeen) {
  LOAD(kBoringSsl);
  START_CAPTURE();
  for (long version : {0L, SslLibrary::kTls12}) {
    sink_.segments.clear();
    Script(
        [](TlsPair& pair, int, int) {
          char buffer[10];
          for (int i = 0; i < 3; ++i) RoundTrip(pair);
          pair.WriteAll(pair.client, kRequest);
          Must(pair.Read(pair.server, buffer, sizeof buffer, "SSL_peek") == 10, "peek");
          Must(pair.ReadAll(pair.server, kRequest.size()) == kRequest, "request");
          pair.WriteAll(pair.server, kResponse);
          Must(pair.ReadAll(pair.client, kResponse.size()) == kResponse, "response");
        },
        version);
    ExpectRoundTrips(4);
  }
}

// Case T66: nothing has the file mapped until a process that has run for long opens it. Its first
// connection makes weft look; from the next one on all is seen.
TEST_F(TlsCallsTest, T66ALibraryThatIsOpenedLateIsSeenFromTheSecondConnectionOn) {
  LOAD(kOpenSsl);
  ASSERT_EQ(Shell("cp \"$(awk '/libssl.so.3$/{print $NF; exit}' /proc/" + std::to_string(getpid()) +
                  "/maps)\" late.so"),
            0);
  START_CAPTURE();
  RunBeside([&] {
    const SslLibrary late(folder_ + "/late.so");
    Must(late.loaded(), "dlopen");
    for (int i = 0; i < 2; ++i) {
      const int client = Connect(), server = accept(listener_, nullptr, nullptr);
      TlsPair pair(late, folder_, client, server);
      RoundTrip(pair);
      pair.Free();
      usleep(300'000);
    }
  });
  const auto sent = Plain(false, model::Direction::kSend);
  ASSERT_GE(sent.size(), 1u);
  EXPECT_LE(sent.size(), 2u);
  for (const auto& s : sent) EXPECT_EQ(s.bytes, kRequest);
  EXPECT_EQ(Texts(Plain(true, model::Direction::kReceive)), Texts(sent));
  EXPECT_EQ(Bytes(Plain(false, model::Direction::kReceive)).size(), sent.size() * kResponse.size());
}

#ifdef WEFT_STATIC_TLS
TEST_F(TlsCallsTest, T66OpenSslLinkedIntoAProgramIsSeen) {
  if (access(WEFT_STATIC_TLS, X_OK) != 0) GTEST_SKIP() << "the program that has it is not here";
  close(listener_);  // the port is for the program
  listener_ = -1;
  START_CAPTURE();
  RunBeside([&] {
    pid_t program = fork();
    if (program == 0) {
      execl(WEFT_STATIC_TLS, "static_tls", folder_.c_str(), Port().c_str(), nullptr);
      _exit(127);
    }
    usleep(300'000);  // until weft has looked at what has started
    Must(close(open((folder_ + "/go").c_str(), O_CREAT | O_WRONLY, 0600)) == 0, "go");
    int status = 0;
    waitpid(program, &status, 0);
    Must(status == 0, "the program");
  });
  const std::string request = "GET /static HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_THAT(Texts(Plain(false, model::Direction::kSend)), ElementsAre(request, request, request));
  EXPECT_THAT(Texts(Plain(true, model::Direction::kReceive)),
              ElementsAre(request, request, request));
  EXPECT_THAT(Texts(Plain(true, model::Direction::kSend)),
              ElementsAre(kResponse, kResponse, kResponse));
  EXPECT_THAT(Texts(Plain(false, model::Direction::kReceive)),
              ElementsAre(kResponse, kResponse, kResponse));
  ExpectSameCiphertext();
}
#endif

}  // namespace
}  // namespace weft::sources::ebpf
