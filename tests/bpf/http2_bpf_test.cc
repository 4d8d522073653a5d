// HTTP/2 by hand over loopback: what the kernel side copies of its frames, and what it does not.
#include <sys/uio.h>

#include <algorithm>

#include "bpf/capture_fixture.h"

namespace weft::sources::ebpf {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::literals;

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kHeader = 9, kDataCopied = 8;

std::string Header(size_t length, unsigned type, unsigned flags, unsigned stream) {
  std::string f;
  for (unsigned shift : {16u, 8u, 0u}) f += static_cast<char>(length >> shift);
  f += static_cast<char>(type);
  f += static_cast<char>(flags);
  for (unsigned shift : {24u, 16u, 8u, 0u}) f += static_cast<char>(stream >> shift);
  return f;
}
std::string Settings() { return Header(6, 4, 0, 0) + "\0\3\0\0\0\144"s; }
std::string Headers(unsigned stream, size_t length = 40) {
  return Header(length, 1, 4, stream) + std::string(length, 'h');
}
std::string Data(unsigned stream, size_t length, unsigned flags = 0) {
  return Header(length, 0, flags, stream) + std::string(length, 'd');
}
std::string Hello() { return kPreface + Settings(); }

class Http2Test : public CaptureTest {
 protected:
  // What was seen of a stream, with '.' where nothing was copied. Checks that the segments tile it.
  static std::string Picture(const std::vector<SeenSegment>& segments) {
    std::string all;
    for (const SeenSegment& s : segments) {
      EXPECT_EQ(s.position, all.size());
      EXPECT_EQ(s.protocol, model::WireProtocol::kHttp2);
      EXPECT_LE(s.bytes.size(), s.length);
      all += s.bytes + std::string(s.length - s.bytes.size(), '.');
    }
    return all;
  }
  void ExpectNoData() const {
    for (const auto& seen : {ClientSends(), ClientReceives(), ServerSends(), ServerReceives()}) {
      EXPECT_THAT(seen, IsEmpty());
    }
  }
  static uint64_t Copied(const std::vector<SeenSegment>& segments) {
    return Bytes(segments).size();
  }
  // Both sides greet each other, then the client sends `calls`, one write each.
  void ClientSendsCalls(const std::vector<std::string>& calls) {
    Exchange([&](int client, int server) {
      Write(client, Hello());
      ReadAll(server, Hello().size());
      Write(server, Settings());
      ReadAll(client, Settings().size());
      for (const std::string& call : calls) {
        std::string rest = call;
        while (!rest.empty()) {  // in pieces that the socket's buffer takes
          Write(client, rest.substr(0, 60'000));
          ReadAll(server, std::min<size_t>(rest.size(), 60'000));
          rest.erase(0, std::min<size_t>(rest.size(), 60'000));
        }
      }
    });
  }
};

TEST_F(Http2Test, SmallCallsAreCopiedButForTheBodies) {
  START_CAPTURE();
  ClientSendsCalls(
      {Headers(1), Data(1, 100), Headers(3) + Data(3, 50, 1), Header(4, 3, 0, 1) + "code"});
  const std::string want = Hello() + Headers(1) + Data(1, 8) + std::string(92, '.') + Headers(3) +
                           Data(3, 8) + std::string(42, '.') + Header(4, 3, 0, 1) + "code";
  // The lengths in the headers of DATA are the true ones.
  std::string expected = want;
  expected.replace(Hello().size() + Headers(1).size(), kHeader, Header(100, 0, 0, 1));
  expected.replace(Hello().size() + 2 * Headers(1).size() + kHeader + 100, kHeader,
                   Header(50, 0, 1, 3));
  EXPECT_EQ(Picture(ClientSends()), expected);
  EXPECT_EQ(Picture(ServerReceives()), expected);
  EXPECT_EQ(Picture(ServerSends()), Settings());
}

TEST_F(Http2Test, ALargeBodyIsNotCopied) {
  START_CAPTURE();
  const std::string body = Data(1, 100'000, 1);
  ClientSendsCalls({Headers(1), body, Headers(3)});
  const std::string picture = Picture(ClientSends());
  EXPECT_EQ(picture.size(), Hello().size() + Headers(1).size() + body.size() + Headers(3).size());
  EXPECT_EQ(picture.substr(picture.size() - Headers(3).size()), Headers(3));
  EXPECT_EQ(Copied(ClientSends()), Hello().size() + 2 * Headers(1).size() + kHeader + kDataCopied);
}

TEST_F(Http2Test, HeadersBehindALargeBodyInTheSameCallAreCopied) {
  START_CAPTURE();
  const std::string call = Headers(1) + Data(1, 16'384) + Headers(1, 20) + Headers(3);
  ClientSendsCalls({call});
  const std::string picture = Picture(ClientSends());
  ASSERT_EQ(picture.size(), Hello().size() + call.size());
  EXPECT_EQ(picture.substr(Hello().size(), Headers(1).size()), Headers(1));
  const std::string tail = Headers(1, 20) + Headers(3);
  EXPECT_EQ(picture.substr(picture.size() - tail.size()), tail);
  EXPECT_LT(Copied(ClientSends()), 300u);
}

// T45 and its like: a call may end anywhere.
TEST_F(Http2Test, FramesSplitOverCallsGiveTheSamePicture) {
  START_CAPTURE();
  const std::string stream = Headers(1) + Data(1, 30) + Headers(3) + Data(3, 5, 1) + Settings();
  for (size_t cut = 1; cut < stream.size(); cut += 3) {
    sink_.segments.clear();
    ClientSendsCalls({stream.substr(0, cut), stream.substr(cut)});
    std::string picture = Picture(ClientSends());
    ASSERT_EQ(picture.size(), Hello().size() + stream.size()) << cut;
    std::string seen = picture.substr(Hello().size());
    for (size_t i = 0; i < seen.size(); ++i) {
      const bool is_body = stream[i] == 'd';
      if (!is_body || seen[i] != '.') {
        EXPECT_EQ(seen[i], stream[i]) << "cut " << cut << " at " << i;
      }
    }
  }
}

TEST_F(Http2Test, ByteByByte) {
  START_CAPTURE();
  const std::string stream = Headers(1, 10) + Data(1, 30) + Headers(3, 10);
  std::vector<std::string> calls;
  for (char c : stream) calls.emplace_back(1, c);
  ClientSendsCalls(calls);
  std::string want = Hello() + stream;
  const std::string picture = Picture(ClientSends());
  ASSERT_EQ(picture.size(), want.size());
  EXPECT_EQ(picture.substr(picture.size() - 19), Headers(3, 10));
  EXPECT_LE(Copied(ClientSends()), want.size() - 30 + kDataCopied);
}

TEST_F(Http2Test, ManySmallFramesInOneCall) {
  START_CAPTURE();
  std::string call;
  for (unsigned i = 0; i < 40; ++i) call += Header(4, 8, 0, 2 * i + 1) + "wind";
  ClientSendsCalls({call});
  EXPECT_EQ(Picture(ClientSends()), Hello() + call);
}

TEST_F(Http2Test, BeyondTheBoundTheRestIsALengthAndLaterCallsAreUnderstoodAgain) {
  START_CAPTURE();
  std::string call;
  for (unsigned i = 0; i < 1'500; ++i) call += Header(4, 8, 0, 2 * i + 1) + "wind";
  ClientSendsCalls({call, Headers(7), Data(7, 1000)});
  const std::string picture = Picture(ClientSends());
  ASSERT_EQ(picture.size(), Hello().size() + call.size() + Headers(7).size() + 1009);
  EXPECT_EQ(picture[Hello().size() + call.size() - 1], '.');
  EXPECT_EQ(picture.substr(Hello().size() + call.size(), Headers(7).size()), Headers(7));
  EXPECT_EQ(picture.back(), '.');
}

TEST_F(Http2Test, ALongHeaderBlockIsCopiedToItsBound) {
  START_CAPTURE();
  ClientSendsCalls({Headers(1, 3000), Headers(3)});
  EXPECT_EQ(Picture(ClientSends()), Hello() + Headers(1, 3000) + Headers(3));
}

TEST_F(Http2Test, GatheredCalls) {
  START_CAPTURE();
  const std::string header = Header(5'000, 0, 1, 1), body(5'000, 'd');
  Exchange([&](int client, int server) {
    const std::string hello = Hello(), headers = Headers(1);
    iovec pieces[] = {{const_cast<char*>(hello.data()), hello.size()},
                      {const_cast<char*>(headers.data()), headers.size()},
                      {const_cast<char*>(header.data()), header.size()},
                      {const_cast<char*>(body.data()), body.size()}};
    const size_t all = hello.size() + headers.size() + header.size() + body.size();
    Must(writev(client, pieces, 4) == static_cast<ssize_t>(all), "writev");
    ReadAll(server, all);
    Write(client, Headers(3));
    ReadAll(server, Headers(3).size());
  });
  const std::string want =
      Hello() + Headers(1) + header + std::string(8, 'd') + std::string(4'992, '.') + Headers(3);
  EXPECT_EQ(Picture(ClientSends()), want);
}

// gRPC sends a header block in one piece for each name and value, and all its frames in one call.
class Http2PiecesTest : public Http2Test {
 protected:
  void ClientSendsPieces(const std::vector<std::string>& pieces) {
    std::string all;
    std::vector<iovec> call;
    for (const std::string& p : pieces) {
      all += p;
      call.push_back({const_cast<char*>(p.data()), p.size()});
    }
    Exchange([&](int client, int server) {
      Write(client, Hello());
      ReadAll(server, Hello().size());
      msghdr message = {};
      message.msg_iov = call.data();
      message.msg_iovlen = call.size();
      Must(sendmsg(client, &message, 0) == static_cast<ssize_t>(all.size()), "sendmsg");
      ReadAll(server, all.size());
      Write(client, Headers(9));
      ReadAll(server, Headers(9).size());
    });
  }
  static std::vector<std::string> Cut(const std::string& bytes, size_t size) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < bytes.size(); at += size) pieces.push_back(bytes.substr(at, size));
    return pieces;
  }
};

TEST_F(Http2PiecesTest, AHeaderBlockInDozensOfPieces) {
  START_CAPTURE();
  for (size_t size : {1, 2, 3, 7}) {
    sink_.segments.clear();
    ClientSendsPieces(Cut(Headers(1, 60) + Settings() + Headers(3, 60), size));
    EXPECT_EQ(Picture(ClientSends()),
              Hello() + Headers(1, 60) + Settings() + Headers(3, 60) + Headers(9))
        << "pieces of " << size;
  }
}

TEST_F(Http2PiecesTest, ABodyInPiecesBetweenHeadersInPieces) {
  START_CAPTURE();
  std::vector<std::string> pieces = Cut(Headers(1, 60), 3);
  pieces.push_back(Header(2'100, 0, 1, 1));
  for (const std::string& p : Cut(std::string(2'100, 'd'), 100)) pieces.push_back(p);
  for (const std::string& p : Cut(Headers(3, 60), 5)) pieces.push_back(p);
  ClientSendsPieces(pieces);
  EXPECT_EQ(Picture(ClientSends()), Hello() + Headers(1, 60) + Header(2'100, 0, 1, 1) +
                                        std::string(8, 'd') + std::string(2'092, '.') +
                                        Headers(3, 60) + Headers(9));
}

TEST_F(Http2PiecesTest, AHundredStreamsInOneCall) {
  START_CAPTURE();
  std::vector<std::string> pieces;
  std::string want = Hello();
  for (unsigned i = 0; i < 100; ++i) {
    const std::string headers = Headers(2 * i + 11, 8), body = Data(2 * i + 11, 12, 1);
    pieces.insert(pieces.end(), {headers, body.substr(0, 14), body.substr(14)});
    want += headers + body;
  }
  ClientSendsPieces(pieces);
  std::string picture = Picture(ClientSends());
  std::replace(picture.begin() + Hello().size(), picture.end(), '.', 'd');  // part of a body
  EXPECT_EQ(picture.size(), want.size() + Headers(9).size());
  EXPECT_TRUE(picture == want + Headers(9));
}

// A window that holds more frames than one walk goes over, in more pieces than one read covers.
TEST_F(Http2PiecesTest, SmallFramesInSmallPieces) {
  START_CAPTURE();
  std::string call;
  for (unsigned i = 0; i < 200; ++i)
    call += Header(i % 3, 1, 4, 2 * i + 11) + std::string(i % 3, 'h');
  for (size_t size : {5, 20, 70}) {
    sink_.segments.clear();
    ClientSendsPieces(Cut(call, size));
    EXPECT_TRUE(Picture(ClientSends()) == Hello() + call + Headers(9)) << "pieces of " << size;
  }
}

// However many frames there are before it, a payload of DATA is copied in part and never too far.
TEST_F(Http2Test, ABodyBehindAnyNumberOfFrames) {
  START_CAPTURE();
  std::string call;
  for (unsigned i = 0; i < 70; ++i) {
    sink_.segments.clear();
    const std::string body = Data(1, 300, 1);
    ClientSendsCalls({call + body + Headers(3)});
    const std::string picture = Picture(ClientSends());
    const std::string want = Hello() + call + body.substr(0, kHeader + kDataCopied);
    ASSERT_EQ(picture.size(), Hello().size() + call.size() + body.size() + Headers(3).size());
    EXPECT_EQ(picture.substr(0, want.size()), want) << i;
    EXPECT_EQ(picture.substr(picture.size() - Headers(3).size()), Headers(3)) << i;
    call += Header(0, 4, 1, 0);
  }
}

// A preface is no proof: yamux behind it makes no segment that says HTTP/2 once it is known.
TEST_F(Http2Test, YamuxBehindAPrefaceIsNotHttp2) {
  START_CAPTURE();
  const std::string yamux = "\0\1\0\1\0\0\0\1\0\0\0\0"s + "GET / HTTP/1.1\r\n\r\n";
  Exchange([&](int client, int server) {
    Write(client, kPreface);
    ReadAll(server, kPreface.size());
    Write(client, yamux);
    ReadAll(server, yamux.size());
    Write(server, yamux);
    ReadAll(client, yamux.size());
  });
  EXPECT_EQ(Bytes(ClientSends()), kPreface);
  EXPECT_THAT(ServerSends(), IsEmpty());
  sink_.segments.clear();
  Exchange([&](int client, int server) {
    Write(client, kPreface + yamux);
    ReadAll(server, kPreface.size() + yamux.size());
  });
  ExpectNoData();
}

// gRPC servers in Go greet before they have read the preface.
TEST_F(Http2Test, AServerMaySpeakFirst) {
  START_CAPTURE();
  Exchange([&](int client, int server) {
    Write(server, Settings());
    Write(client, Hello() + Headers(1));
    ReadAll(server, Hello().size() + Headers(1).size());
    ReadAll(client, Settings().size());
    Write(server, Headers(1, 20));
    ReadAll(client, 29);
  });
  EXPECT_EQ(Picture(ServerSends()), Settings() + Headers(1, 20));
  EXPECT_EQ(Picture(ServerReceives()), Hello() + Headers(1));
  EXPECT_EQ(Picture(ClientReceives()), Settings() + Headers(1, 20));
}

TEST_F(Http2Test, APrefaceOnAnHttp1ConnectionChangesIt) {
  START_CAPTURE();
  const std::string upgrade = "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n";
  const std::string switching = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
  Exchange([&](int client, int server) {
    Write(client, upgrade);
    ReadAll(server, upgrade.size());
    Write(server, switching);
    ReadAll(client, switching.size());
    Write(client, Hello());
    ReadAll(server, Hello().size());
    Write(server, Settings() + Headers(1));
    ReadAll(client, Settings().size() + Headers(1).size());
    Write(client, Headers(3));
    ReadAll(server, Headers(3).size());
  });
  std::vector<SeenSegment> sent = ClientSends();
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_EQ(sent[0].protocol, model::WireProtocol::kHttp1);
  EXPECT_EQ(sent[1].protocol, model::WireProtocol::kHttp2);
  EXPECT_EQ(sent[1].bytes, Hello());
  EXPECT_EQ(sent[2].bytes, Headers(3));
  EXPECT_EQ(sent[2].protocol, model::WireProtocol::kHttp2);
  EXPECT_EQ(ServerSends().back().bytes, Settings() + Headers(1));
  EXPECT_EQ(ServerSends().back().protocol, model::WireProtocol::kHttp2);
}

TEST_F(Http2Test, AConnectionOlderThanWeftIsKnownByItsFrames) {
  int go[2], done[2];
  ASSERT_EQ(pipe(go), 0);
  ASSERT_EQ(pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    int client = Connect();
    int server = accept(listener_, nullptr, nullptr);
    char byte;
    Write(client, Hello());
    ReadAll(server, Hello().size());
    Must(write(done[1], "x", 1) == 1 && read(go[0], &byte, 1) == 1, "wait");
    Write(client, Headers(5) + Data(5, 3000, 1));
    ReadAll(server, Headers(5).size() + 3009);
    Write(server, Headers(5));
    ReadAll(client, Headers(5).size());
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(done[0], &byte, 1), 1);
  bool started = StartCapture();
  ASSERT_EQ(write(go[1], "x", 1), 1);
  waitpid(child, nullptr, 0);
  if (!started) GTEST_SKIP() << skip_reason_;
  capture_->Drain();
  EXPECT_EQ(Bytes(ClientSends()), Headers(5) + Header(3000, 0, 1, 5) + std::string(8, 'd'));
  EXPECT_EQ(Picture(ServerSends()), Headers(5));
  EXPECT_TRUE(ServerSends().at(0).connection->joined_in_middle);
}

TEST_F(Http2Test, TlsMakesNoSegments) {
  START_CAPTURE();
  Exchange([](int client, int server) {
    const std::string record = "\x16\x03\x01\x00\x05hello"s;
    Write(client, record);
    ReadAll(server, record.size());
    Write(server, "HTTP/1.1 200 OK\r\n\r\n");
    ReadAll(client, 19);
    Write(client, "GET / HTTP/1.1\r\n\r\n");
    ReadAll(server, 18);
  });
  ExpectNoData();
}

}  // namespace
}  // namespace weft::sources::ebpf
