#include "exporters/file/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "protocols/otlp/gather.h"
#include "protocols/otlp/json_write.h"

namespace weft::exporters::file {
namespace {

using std::chrono::steady_clock;

constexpr int kPollMilliseconds = 50;
constexpr uint64_t kMoveCheckNs = 1'000'000'000;
constexpr size_t kKeptLineBytes = 4 << 20;

}  // namespace

base::ConfigBlock Describe(Options& o) {
  return {
      "exporters.file",
      {{.key = "path",
        .value = &o.path,
        .doc = "file to append to, one OTLP/JSON request per line; empty = off"},
       {.key = "queue_bytes",
        .value = &o.queue_bytes,
        .doc = "bytes; waiting to be written, beyond it spans are shed",
        .min = 64 << 10},
       {.key = "max_bytes",
        .value = &o.max_bytes,
        .doc = "bytes of the file, beyond it spans are shed until it has been moved; 0 = no limit",
        .min = 0}}};
}

File::File(Options options, Deps deps)
    : options_(std::move(options)),
      deps_(deps),
      written_bytes_(deps.metrics.Get(base::MetricKind::kCounter,
                                      "weft_exporter_file_written_bytes_total",
                                      "bytes appended to the file")),
      queue_(deps.ledger,
             deps.metrics.Get(base::MetricKind::kGauge, "weft_exporter_file_queue_bytes",
                              "bytes of batches that wait for the writer"),
             static_cast<uint64_t>(options_.queue_bytes), "file_queue_full",
             [this](model::OtlpBatch&& batch, uint64_t spans) { Write(batch, spans); }) {}

File::~File() { Stop(steady_clock::now()); }

void File::Stop(steady_clock::time_point deadline) {
  queue_.Stop(deadline);
  Close();
}

void File::Write(const model::OtlpBatch& batch, uint64_t spans) {
  line_.clear();
  base::Gathered request = protocols::otlp::Gather(batch);
  if (request.pieces.size() == 1) {
    protocols::otlp::AppendJson(request.pieces[0], &line_);
  } else {
    protocols::otlp::AppendJson(protocols::otlp::Flatten(request).view(), &line_);
  }
  line_.push_back('\n');
  CloseIfMoved();
  const bool is_open = EnsureOpen();
  if (is_open && IsFull()) {
    queue_.Shed("file_full", spans);
  } else if (is_open && WriteLine()) {
    written_bytes_.Add(line_.size());
    deps_.ledger.Out(spans);
    deps_.ledger.Held(-static_cast<int64_t>(spans));
  } else {
    int error = errno;
    if (error_log_.Allow(deps_.clock.MonotonicNs()))
      spdlog::warn("file exporter cannot write {}: {}", options_.path, std::strerror(error));
    queue_.Shed("write_error", spans);
    Close();
  }
  if (line_.capacity() > kKeptLineBytes) line_ = {};
}

// Non-blocking, so that a FIFO without a reader is an error and not a thread that cannot be
// stopped.
bool File::EnsureOpen() {
  if (fd_ >= 0) return true;
  fd_ = ::open(options_.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  return fd_ >= 0;
}

bool File::IsFull() const {
  struct stat now;
  return options_.max_bytes > 0 && ::fstat(fd_, &now) == 0 &&
         now.st_size + static_cast<off_t>(line_.size()) > options_.max_bytes;
}

bool File::WriteLine() {
  size_t written = 0;
  if (WriteSome(&written)) return true;
  int error = errno;
  // Takes back the part of a line, unless somebody else has written behind it.
  off_t here = ::lseek(fd_, 0, SEEK_CUR);
  struct stat now;
  bool cut = written == 0 || (here >= 0 && ::fstat(fd_, &now) == 0 && now.st_size == here &&
                              ::ftruncate(fd_, here - static_cast<off_t>(written)) == 0);
  if (!cut && ::write(fd_, "\n", 1) != 1) error = errno;
  errno = error;
  return false;
}

bool File::WriteSome(size_t* written) {
  while (*written < line_.size()) {
    ssize_t n = ::write(fd_, line_.data() + *written, line_.size() - *written);
    if (n >= 0) {
      *written += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd wait{.fd = fd_, .events = POLLOUT, .revents = 0};
      ::poll(&wait, 1, kPollMilliseconds);
      if (queue_.Expired()) return errno = EAGAIN, false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// A file that was renamed or deleted (log rotation) is left and the path opened anew.
void File::CloseIfMoved() {
  uint64_t now = deps_.clock.MonotonicNs();
  if (fd_ < 0 || now - checked_ns_ < kMoveCheckNs) return;
  checked_ns_ = now;
  struct stat ours, there;
  if (::fstat(fd_, &ours) != 0 || ::stat(options_.path.c_str(), &there) != 0 ||
      ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
    Close();
}

void File::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace weft::exporters::file
