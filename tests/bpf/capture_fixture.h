// Runs a Capture against the real kernel and scripts of socket calls in child processes (the
// Capture does not trace the process that it lives in), and collects the segments of the script's
// connections. Skips where BPF cannot be had. With WEFT_SHARED_CAPTURE in the environment a test
// that starts with START_CAPTURE() takes over the running Capture of the one before it: on an
// emulated machine each load of the programs takes seconds.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "sources/ebpf/capture.h"

namespace weft::sources::ebpf {

struct SeenSegment : model::Segment {
  std::string bytes;  // of `captured`
};

class CollectingSink final : public model::Sink<model::SegmentBatch> {
 public:
  model::PushResult Push(model::SegmentBatch&& batch) override {
    if (busy) return model::PushResult::kBusy;
    largest = std::max(largest, batch.items.size());
    for (const model::Segment& s : batch.items) {
      SeenSegment seen{s, std::string(base::AsText(s.captured))};
      seen.captured = {};
      segments.push_back(std::move(seen));
    }
    return model::PushResult::kTaken;
  }
  std::vector<SeenSegment> segments;
  bool busy = false;
  size_t largest = 0;  // of the batches
};

class EchoWorkload final : public model::WorkloadLookup {
 public:
  model::ProcessRef Find(const model::ProcessKey& key, std::string_view) override {
    auto process = std::make_shared<model::Process>();
    process->key = key;
    return process;
  }
};

// One end of a script: plain blocking calls that give up the child on failure.
inline void Must(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  _exit(3);
}

// A Capture with what it needs around it.
struct Stage {
  net::EventLoop loop;
  base::SystemClock clock;
  EchoWorkload workload;
  CollectingSink sink;
  base::Ledger ledger;
  base::MetricRegistry metrics;
  std::unique_ptr<Capture> capture;
  bool is_shared = false;  // the capture is one for any test
  const pid_t owner = getpid();
};

class CaptureTest : public ::testing::Test {
 protected:
  void SetUp() override { Listen(AF_INET); }
  void TearDown() override {
    if (!stage_->is_shared) capture_.reset();
    EXPECT_TRUE(ledger_.Balanced()) << ledger_.Text();
    close(listener_);
  }

  // A Capture of this test only; the rung under test is WEFT_DATA_HOOK. False: skip the test.
  bool StartCapture(Options options = Options{}) {
    options.data_hook = DataHook();
    stage_->is_shared = false;
    if (getpid() != stage_->owner) capture_.release();  // in a child: the parent's goes on
    capture_.reset();
    sink_.segments.clear();
    capture_ = std::make_unique<Capture>(
        options, Capture::Deps{loop_, clock_, workload_, sink_, ledger_, metrics_});
    base::Status started = capture_->Start();
    skip_reason_ = std::string(started.message());
    return started.ok();
  }

  // The same, of a Capture that may run already.
  bool TakeCapture() {
    if (!stage_->is_shared || !capture_->running()) {
      const bool started = StartCapture();
      stage_->is_shared = started && SharesCapture();
      return started;
    }
    capture_->Drain();
    sink_.segments.clear();
    sink_.busy = false;
    return true;
  }
  bool TakeCapture(const Options& options) { return StartCapture(options); }

  static bool SharesCapture() { return std::getenv("WEFT_SHARED_CAPTURE") != nullptr; }
  static std::shared_ptr<Stage> MakeStage() {
    if (!SharesCapture()) return std::make_shared<Stage>();
    static auto& kept = *new std::shared_ptr<Stage>(std::make_shared<Stage>());  // to the very end
    return kept;
  }
  static std::string DataHook() {
    const char* hook = std::getenv("WEFT_DATA_HOOK");
    return hook == nullptr ? "auto" : hook;
  }

  // A listener of the script on an address of its own, made before the fork so that its port is
  // known.
  void Listen(int family, bool only_v6 = false) {
    if (listener_ >= 0) close(listener_);
    listener_ = socket(family, SOCK_STREAM, 0);
    sockaddr_in6 v6 = {};
    sockaddr_in v4 = {};
    socklen_t size;
    int off = only_v6;
    if (family == AF_INET6) {
      v6.sin6_family = AF_INET6;
      setsockopt(listener_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&v6), sizeof v6), 0);
      size = sizeof v6;
      getsockname(listener_, reinterpret_cast<sockaddr*>(&v6), &size);
      port_ = ntohs(v6.sin6_port);
    } else {
      v4.sin_family = AF_INET;
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      ASSERT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&v4), sizeof v4), 0);
      size = sizeof v4;
      getsockname(listener_, reinterpret_cast<sockaddr*>(&v4), &size);
      port_ = ntohs(v4.sin_port);
    }
    ASSERT_EQ(listen(listener_, 16), 0);
  }

  int Connect() const {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port_);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    Must(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0, "connect");
    return fd;
  }

  // Runs `script` in a child to its end.
  void Run(const std::function<void()>& script) {
    child_ = fork();
    if (child_ == 0) {
      script();
      _exit(0);
    }
    int status = 0;
    waitpid(child_, &status, 0);
    ASSERT_EQ(status, 0) << "the script failed";
    capture_->Drain();
  }
  // The same with a connection: both ends live in the child.
  void Exchange(const std::function<void(int client, int server)>& script) {
    Run([&] {
      int client = Connect();
      int server = accept(listener_, nullptr, nullptr);
      Must(server >= 0, "accept");
      script(client, server);
      close(client);
      close(server);
    });
  }

  static void Write(int fd, std::string_view text) {
    Must(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write");
  }
  static std::string ReadAll(int fd, size_t n) {
    std::string text(n, 0);
    size_t have = 0;
    while (have < n) {
      ssize_t got = read(fd, text.data() + have, n - have);
      Must(got > 0, "read");
      have += static_cast<size_t>(got);
    }
    return text;
  }

  // The segments of one side and direction, of the script's connections.
  std::vector<SeenSegment> Seen(bool of_server, model::Direction direction,
                                model::SegmentKind kind = model::SegmentKind::kData) const {
    std::vector<SeenSegment> out;
    for (const SeenSegment& s : sink_.segments) {
      const model::Connection& c = *s.connection;
      if ((of_server ? c.local.port : c.remote.port) != port_) continue;
      if (s.kind == kind && (s.direction == direction || kind == model::SegmentKind::kClosed)) {
        out.push_back(s);
      }
    }
    return out;
  }
  std::vector<SeenSegment> ClientSends() const { return Seen(false, model::Direction::kSend); }
  std::vector<SeenSegment> ClientReceives() const {
    return Seen(false, model::Direction::kReceive);
  }
  std::vector<SeenSegment> ServerSends() const { return Seen(true, model::Direction::kSend); }
  std::vector<SeenSegment> ServerReceives() const { return Seen(true, model::Direction::kReceive); }
  static std::string Bytes(const std::vector<SeenSegment>& segments) {
    std::string all;
    for (const SeenSegment& s : segments) all += s.bytes;
    return all;
  }
  static std::vector<std::string> Texts(const std::vector<SeenSegment>& segments) {
    std::vector<std::string> all;
    for (const SeenSegment& s : segments) all.push_back(s.bytes);
    return all;
  }

  const std::shared_ptr<Stage> stage_ = MakeStage();
  net::EventLoop& loop_ = stage_->loop;
  base::SystemClock& clock_ = stage_->clock;
  EchoWorkload& workload_ = stage_->workload;
  CollectingSink& sink_ = stage_->sink;
  base::Ledger& ledger_ = stage_->ledger;
  base::MetricRegistry& metrics_ = stage_->metrics;
  std::unique_ptr<Capture>& capture_ = stage_->capture;
  std::string skip_reason_;
  int listener_ = -1;
  uint16_t port_ = 0;
  pid_t child_ = 0;
};

#define START_CAPTURE(...) \
  if (!TakeCapture(__VA_ARGS__)) GTEST_SKIP() << skip_reason_

}  // namespace weft::sources::ebpf
