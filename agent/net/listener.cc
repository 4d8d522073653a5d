#include "net/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "net/address.h"
#include "net/http/connection.h"

namespace weft::net {
namespace {

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr int kBacklog = 1024;
constexpr int kAcceptsPerWake = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};

base::Metric& Counter(base::MetricRegistry& registry, const std::string& name,
                      const std::string& help, const base::Labels& labels) {
  return registry.Get(base::MetricKind::kCounter, name, help, labels);
}

// One accepted connection: finds out its protocol, then forwards to the session.
class ServerConnection final : public StreamHandler {
 public:
  ServerConnection(ServerContext& context, const Peers& peers, std::function<void()> on_closed)
      : context_(context),
        peers_(peers),
        on_closed_(std::move(on_closed)),
        deadline_(context.After(context.options.header_timeout)) {}
  ~ServerConnection() override {
    if (stream_ == nullptr) return;
    stream_->Detach();
    session_.reset();
    stream_->Close();
  }

  void Start(int fd) { stream_ = Stream::Adopt(context_.loop, fd, this); }

  void OnBytes(base::ByteView bytes) override {
    context_.metrics.received_bytes.Add(bytes.size());
    if (session_ != nullptr) return session_->OnBytes(bytes);
    // The preface may arrive in pieces.
    size_t want = kHttp2Preface.size() - head_.size();
    std::string_view text = base::AsText(bytes.first(std::min(want, bytes.size())));
    bool matches = kHttp2Preface.substr(head_.size(), text.size()) == text;
    if (matches && text.size() < want) {
      head_.append(text);
      return;
    }
    session_ = matches ? MakeHttp2Session(context_, *stream_, peers_)
                       : MakeHttp1Session(context_, *stream_, peers_);
    if (is_shut_down_) session_->Shutdown();
    if (!head_.empty()) session_->OnBytes(base::AsBytes(head_));
    if (!stream_->closed()) session_->OnBytes(bytes);
  }

  void OnEnd() override {
    if (session_ != nullptr) return session_->OnEnd();
    stream_->Close();
  }
  void OnDrained() override {
    if (session_ != nullptr) session_->OnDrained();
  }
  void OnClosed() override {
    auto on_closed = std::move(on_closed_);
    on_closed();  // destroys this
  }

  void Sweep(Deadline now) {
    if (stream_->closed()) return;
    if (session_ != nullptr) return session_->Sweep(now);
    if (now > deadline_) stream_->Close();
  }

  void Shutdown() {
    is_shut_down_ = true;
    if (session_ != nullptr) return session_->Shutdown();
    stream_->Close();
  }

 private:
  ServerContext& context_;
  const Peers peers_;
  std::function<void()> on_closed_;
  Deadline deadline_;
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<ProtocolSession> session_;
  std::string head_;
  bool is_shut_down_ = false;
};

}  // namespace

ListenerMetrics::ListenerMetrics(base::MetricRegistry& r, const std::string& listener)
    : connections(Counter(r, "weft_net_accepted_connections_total", "Connections accepted.",
                          {{"listener", listener}})),
      refused_connections(Counter(r, "weft_net_refused_connections_total",
                                  "Connections closed at once: too many, or no descriptors.",
                                  {{"listener", listener}})),
      open_connections(r.Get(base::MetricKind::kGauge, "weft_net_open_connections",
                             "Connections open now.", {{"listener", listener}})),
      closed_for_abuse(Counter(r, "weft_net_abusive_connections_total",
                               "HTTP/2 connections closed for floods or broken framing.",
                               {{"listener", listener}})),
      http1_requests(Counter(r, "weft_net_served_requests_total", "Complete requests served.",
                             {{"listener", listener}, {"protocol", "http1"}})),
      http2_requests(Counter(r, "weft_net_served_requests_total", "Complete requests served.",
                             {{"listener", listener}, {"protocol", "http2"}})),
      received_bytes(Counter(r, "weft_net_received_bytes_total", "Bytes received.",
                             {{"listener", listener}})) {
  for (size_t i = 0; i < kRefusals; ++i) {
    std::string reason(RefusalName(static_cast<Refusal>(i)));
    refusals[i] = i == 0 ? nullptr
                         : &Counter(r, "weft_net_refused_requests_total",
                                    "Requests refused before they reached a service.",
                                    {{"listener", listener}, {"reason", reason}});
  }
}

class Listener::Impl : public std::enable_shared_from_this<Listener::Impl> {
 public:
  Impl(EventLoop& loop, ListenerOptions options, base::ByteCredit& credit, Service service)
      : context_{loop, options, credit, std::move(service),
                 ListenerMetrics(options.metrics != nullptr ? *options.metrics : own_metrics_,
                                 options.name)} {}
  ~Impl() {
    Close();
    context_.loop.Cancel(sweep_timer_);
    connections_.clear();
  }

  base::Status Open() {
    auto fd = BindSocket(context_.options.endpoint, SOCK_STREAM, &port_);
    if (!fd.ok()) return fd.status();
    fd_ = *fd;
    if (listen(fd_, kBacklog) != 0) {
      return base::Error("listen on " + context_.options.endpoint + ": " + std::strerror(errno));
    }
    reserve_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    Watch();
    const ListenerOptions& o = context_.options;
    auto shortest = std::min({o.header_timeout, o.body_timeout, o.idle_timeout});
    auto period =
        std::clamp(shortest / 4, std::chrono::milliseconds(10), std::chrono::milliseconds(1000));
    sweep_timer_ = context_.loop.RunEvery(period, [this] { Sweep(); });
    return base::Ok();
  }

  void Close() {
    if (fd_ < 0) return;
    context_.loop.Cancel(resume_timer_);
    context_.loop.Unwatch(fd_);
    close(fd_);
    fd_ = -1;
    if (reserve_fd_ >= 0) close(reserve_fd_);
    reserve_fd_ = -1;
    for (auto& [id, connection] : connections_) connection->Shutdown();
  }

  uint16_t port() const { return port_; }
  size_t connections() const { return count_.load(std::memory_order_relaxed); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  void Watch() {
    context_.loop.WatchReadable(fd_, [this] { AcceptSome(); });
  }

  void AcceptSome() {
    for (int i = 0; i < kAcceptsPerWake && fd_ >= 0; ++i) {
      SocketAddress peer;
      peer.size = sizeof peer.storage;
      int fd = accept4(fd_, peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        Admit(fd, peer);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        return RefuseWithoutDescriptor();
      } else if (errno != ECONNABORTED && errno != EINTR) {
        return;
      }
    }
  }

  void Admit(int fd, const SocketAddress& peer) {
    if (connections_.size() >= context_.options.max_connections) {
      CountRefused();
      close(fd);
      return;
    }
    SocketAddress local;
    local.size = sizeof local.storage;
    getsockname(fd, local.get(), &local.size);
    uint64_t id = next_id_++;
    auto connection = std::make_unique<ServerConnection>(
        context_, Peers{FromSocketAddress(peer), FromSocketAddress(local)}, [this, id] {
          connections_.erase(id);
          CountOpen();
        });
    connection->Start(fd);
    connections_.emplace(id, std::move(connection));
    context_.metrics.connections.Add(1);
    CountOpen();
  }

  // Out of descriptors the accept queue would stay full and readable for ever. The reserve lets us
  // accept and close one, so that clients learn it; then a pause, so that the loop does not spin.
  void RefuseWithoutDescriptor() {
    if (reserve_fd_ >= 0) {
      close(reserve_fd_);
      int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) {
        CountRefused();
        close(fd);
      }
    }
    reserve_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
    context_.loop.Unwatch(fd_);
    resume_timer_ = context_.loop.RunAfter(kAcceptPause, [this] {
      if (reserve_fd_ < 0) reserve_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
      Watch();
    });
  }

  void Sweep() {
    Deadline now = std::chrono::steady_clock::now();
    for (auto& [id, connection] : connections_) connection->Sweep(now);
  }

  void CountRefused() {
    refused_.fetch_add(1, std::memory_order_relaxed);
    context_.metrics.refused_connections.Add(1);
  }
  void CountOpen() {
    count_.store(connections_.size(), std::memory_order_relaxed);
    context_.metrics.open_connections.Set(static_cast<int64_t>(connections_.size()));
  }

  base::MetricRegistry own_metrics_;
  ServerContext context_;
  std::unordered_map<uint64_t, std::unique_ptr<ServerConnection>> connections_;
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> refused_{0};
  uint64_t next_id_ = 1;
  EventLoop::TimerId sweep_timer_ = 0, resume_timer_ = 0;
  int fd_ = -1, reserve_fd_ = -1;
  uint16_t port_ = 0;
};

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;

base::Result<std::unique_ptr<Listener>> Listener::Open(EventLoop& loop, ListenerOptions options,
                                                       base::ByteCredit& credit, Service service) {
  auto impl = std::make_shared<Impl>(loop, std::move(options), credit, std::move(service));
  if (base::Status status = impl->Open(); !status.ok()) return status;
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

uint16_t Listener::port() const { return impl_->port(); }
void Listener::Close() { impl_->Close(); }
size_t Listener::connections() const { return impl_->connections(); }
uint64_t Listener::refused_connections() const { return impl_->refused(); }

std::string_view Request::Header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_name) return value;
  }
  return {};
}

void SetTarget(std::string_view target, Request* request) {
  if (!target.starts_with('/')) {
    size_t scheme = target.find("://");
    if (scheme != std::string_view::npos) {
      size_t path = target.find('/', scheme + 3);
      target = path == std::string_view::npos ? "/" : target.substr(path);
    }
  }
  size_t mark = target.find('?');
  request->path = target.substr(0, mark);
  if (mark != std::string_view::npos) request->query = target.substr(mark + 1);
}

Responder::Responder(Responder&& o) noexcept
    : target_(std::move(o.target_)), request_(o.request_), armed_(std::exchange(o.armed_, false)) {}

Responder& Responder::operator=(Responder&& o) noexcept {
  std::swap(target_, o.target_);
  std::swap(request_, o.request_);
  std::swap(armed_, o.armed_);
  return *this;
}

Responder::~Responder() {
  if (!armed_) return;
  Response failed;
  failed.status = 500;
  failed.grpc_status = kGrpcInternal;
  failed.grpc_message = "request was dropped";
  Send(std::move(failed));
}

void Responder::Send(Response&& response) {
  if (!std::exchange(armed_, false)) return;
  if (auto target = target_.lock()) target->Respond(request_, std::move(response));
}

}  // namespace weft::net
