// A Stream against a reader that is slow but never quite stops.
#include "net/http/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "net/event_loop.h"

namespace weft::net {
namespace {

class Ignore : public StreamHandler {
 public:
  void OnBytes(base::ByteView) override {}
  void OnEnd() override {}
  void OnDrained() override {}
  void OnClosed() override {}
};

// A stream whose peer reads only when told. Output is flushed by hand, so the loop need not run.
class SlowReader : public testing::Test {
 protected:
  SlowReader() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair_), 0);
    int size = 32 << 10;
    setsockopt(pair_[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    stream_ = Stream::Adopt(loop_, pair_[0], &handler_);
  }
  ~SlowReader() override {
    stream_->Close();
    loop_.Post([this] { loop_.Stop(); });
    loop_.Run();
    close(pair_[1]);
  }
  // Fills the kernel's buffer, and `backlog` bytes more.
  void Stick(size_t backlog) {
    while (stream_->unsent() == 0) Write(1000);
    while (stream_->unsent() < backlog) Write(1000);
  }
  std::string Next(size_t size) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>('a' + written_++ % 23));
    return text;
  }
  void Write(size_t size) {
    stream_->Append(Next(size));
    stream_->Flush();
  }
  void Lend(size_t size) {
    auto text = std::make_shared<const std::string>(Next(size));
    lent_.push_back(text);
    base::ByteView views[] = {base::AsBytes(*text).first(size / 2),
                              base::AsBytes(*text).subspan(size / 2)};
    stream_->AppendBorrowed(views, text);
    stream_->Flush();
  }
  // Reads about `size` bytes and checks that they are the ones written.
  void Read(size_t size) {
    std::string got(size, '\0');
    ssize_t n = read(pair_[1], got.data(), size);
    for (ssize_t i = 0; i < n; ++i) {
      ASSERT_EQ(got[static_cast<size_t>(i)], static_cast<char>('a' + read_++ % 23));
    }
    stream_->Flush();
  }
  size_t LentAlive() const {
    size_t alive = 0;
    for (const auto& weak : lent_) alive += !weak.expired();
    return alive;
  }

  EventLoop loop_;
  Ignore handler_;
  int pair_[2];
  std::shared_ptr<Stream> stream_;
  std::vector<std::weak_ptr<const std::string>> lent_;
  size_t written_ = 0, read_ = 0;
};

TEST_F(SlowReader, CopiedOutputTakesMemoryForWhatIsUnsentOnly) {
  Stick(100'000);
  for (int i = 0; i < 5000; ++i) {
    Write(1000);
    while (stream_->unsent() > 100'000) Read(1000);
    ASSERT_GT(stream_->unsent(), 0u);
  }
  EXPECT_LE(stream_->output_memory(), 1u << 20);
  while (read_ < written_) Read(65536);
  EXPECT_EQ(stream_->unsent(), 0u);
}

TEST_F(SlowReader, LentOutputIsGivenBackWhenItHasLeft) {
  Stick(100'000);
  for (int i = 0; i < 5000; ++i) {
    Lend(1000);
    Write(10);
    while (stream_->unsent() > 100'000) Read(1000);
    ASSERT_GT(stream_->unsent(), 0u);
  }
  EXPECT_LE(LentAlive(), 101u);
  EXPECT_GE(LentAlive(), 50u);
  EXPECT_LE(stream_->output_memory(), 256u << 10);
  while (read_ < written_) Read(65536);
  EXPECT_EQ(LentAlive(), 0u);
}

}  // namespace
}  // namespace weft::net
