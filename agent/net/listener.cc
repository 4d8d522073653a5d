#include "net/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <unordered_map>

#include "net/address.h"
#include "net/http/connection.h"
#include "net/http/tls_session.h"

namespace weft::net {
namespace {

constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr int kBacklog = 1024;
constexpr int kAcceptsPerWake = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};
// Between "go elsewhere" and the end of new requests: what was under way by then still arrives.
constexpr std::chrono::milliseconds kNoticeTime{1000};
constexpr std::string_view kUnixScheme = "unix://";

base::Metric& Counter(base::MetricRegistry& registry, const std::string& name,
                      const std::string& help, const base::Labels& labels) {
  return registry.Get(base::MetricKind::kCounter, name, help, labels);
}

bool IsLoopback(const model::Endpoint& at) {
  if (at.family == 4) return at.address[0] == 127;
  return std::all_of(at.address.begin(), at.address.end() - 1, [](uint8_t b) { return b == 0; }) &&
         at.address[15] == 1;
}

// One accepted connection: finds out its protocol, then forwards to the session.
class ServerConnection final : public StreamHandler {
 public:
  ServerConnection(ServerContext& context, const Peers& peers, std::function<void()> on_closed)
      : context_(context),
        peers_(peers),
        on_closed_(std::move(on_closed)),
        deadline_(context.After(context.options.header_timeout)) {
    const auto age = context.options.max_connection_age;
    if (age.count() > 0) {
      // Spread out, so that clients that came together do not come again together.
      std::uniform_real_distribution<double> spread(0.9, 1.1);
      static thread_local std::minstd_rand random{std::random_device{}()};
      old_at_ = context.After(std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::duration<double, std::milli>(age) * spread(random)));
    }
  }
  ~ServerConnection() override {
    if (stream_ == nullptr) return;
    stream_->Detach();
    session_.reset();
    stream_->Close();
  }

  void Start(int fd, std::unique_ptr<TlsSession> tls) {
    stream_ = Stream::Adopt(context_.loop, fd, this, std::move(tls));
  }

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
  void OnTlsFailed(std::string_view) override { context_.metrics.tls_failures.Add(1); }
  void OnClosed() override {
    auto on_closed = std::move(on_closed_);
    on_closed();  // destroys this
  }

  void Sweep(Deadline now) {
    if (stream_->closed()) return;
    if (now > old_at_) Retire(now);
    if (stream_->closed()) return;
    if (session_ != nullptr) return session_->Sweep(now);
    if (now > deadline_) stream_->Close();
  }

  void Shutdown() {
    is_shut_down_ = true;
    if (session_ != nullptr) return session_->Shutdown();
    stream_->Close();
  }

  const Peers& peers() const { return peers_; }

 private:
  // Notice, then no more requests, then the end.
  void Retire(Deadline now) {
    if (!is_retiring_ && !is_shut_down_) {
      is_retiring_ = true;
      context_.metrics.aged_connections.Add(1);
      if (session_ != nullptr) session_->AnnounceShutdown();
    } else if (!is_shut_down_ && now > old_at_ + kNoticeTime) {
      Shutdown();
    } else if (now > old_at_ + context_.options.max_connection_age_grace + kNoticeTime) {
      stream_->Close();
    }
  }

  ServerContext& context_;
  const Peers peers_;
  std::function<void()> on_closed_;
  Deadline deadline_, old_at_ = Deadline::max();
  std::shared_ptr<Stream> stream_;
  std::shared_ptr<ProtocolSession> session_;
  std::string head_;
  bool is_shut_down_ = false, is_retiring_ = false;
};

}  // namespace

std::string_view AbuseName(Abuse abuse) {
  switch (abuse) {
    case Abuse::kFrameFlood:
      return "frame_flood";
    case Abuse::kRapidReset:
      return "rapid_reset";
    case Abuse::kHeaderFlood:
      return "header_flood";
    case Abuse::kStalledWindow:
      return "stalled_window";
    case Abuse::kBrokenFraming:
      break;
  }
  return "broken_framing";
}

ListenerMetrics::ListenerMetrics(base::MetricRegistry& r, const std::string& listener)
    : connections(Counter(r, "weft_net_accepted_connections_total", "Connections accepted.",
                          {{"listener", listener}})),
      refused_connections(Counter(r, "weft_net_refused_connections_total",
                                  "Connections closed at once: too many, or no descriptors.",
                                  {{"listener", listener}, {"reason", "full"}})),
      peer_refused_connections(Counter(r, "weft_net_refused_connections_total",
                                       "Connections closed at once: too many, or no descriptors.",
                                       {{"listener", listener}, {"reason", "peer_share"}})),
      open_connections(r.Get(base::MetricKind::kGauge, "weft_net_open_connections",
                             "Connections open now.", {{"listener", listener}})),
      aged_connections(Counter(r, "weft_net_aged_connections_total",
                               "Connections asked to reconnect because of their age.",
                               {{"listener", listener}})),
      dead_connections(Counter(r, "weft_net_dead_connections_total",
                               "HTTP/2 connections closed because a ping was not answered.",
                               {{"listener", listener}})),
      http1_requests(Counter(r, "weft_net_served_requests_total", "Complete requests served.",
                             {{"listener", listener}, {"protocol", "http1"}})),
      http2_requests(Counter(r, "weft_net_served_requests_total", "Complete requests served.",
                             {{"listener", listener}, {"protocol", "http2"}})),
      received_bytes(
          Counter(r, "weft_net_received_bytes_total", "Bytes received.", {{"listener", listener}})),
      tls_failures(Counter(r, "weft_net_tls_failures_total",
                           "Connections that failed in TLS: no handshake, no or a bad certificate.",
                           {{"listener", listener}})),
      tls_reloads(Counter(r, "weft_net_tls_reloads_total",
                          "Changed TLS files that were read again.",
                          {{"listener", listener}, {"result", "used"}})),
      tls_failed_reloads(Counter(r, "weft_net_tls_reloads_total",
                                 "Changed TLS files that were read again.",
                                 {{"listener", listener}, {"result", "unusable"}})) {
  for (size_t i = 0; i < kAbuses; ++i) {
    std::string reason(AbuseName(static_cast<Abuse>(i)));
    abuses[i] = &Counter(r, "weft_net_abusive_connections_total",
                         "HTTP/2 connections closed for floods or broken framing.",
                         {{"listener", listener}, {"reason", reason}});
  }
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
    if (context_.options.tls) {
      credentials_.emplace(*context_.options.tls, TlsSide::kServer,
                           std::vector<std::string>{"h2", "http/1.1"});
      auto loaded = credentials_->Current(std::chrono::steady_clock::now());
      if (!loaded.ok()) return loaded.status();
    }
    const std::string& endpoint = context_.options.endpoint;
    if (endpoint.starts_with(kUnixScheme)) unix_path_ = endpoint.substr(kUnixScheme.size());
    auto fd = unix_path_.empty() ? BindSocket(endpoint, SOCK_STREAM, &port_)
                                 : BindUnixSocket(unix_path_, context_.options.unix_mode);
    if (!fd.ok()) return fd.status();
    fd_ = *fd;
    if (!unix_path_.empty()) lstat(unix_path_.c_str(), &unix_file_);
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
    RemoveUnixFile();
    if (reserve_fd_ >= 0) close(reserve_fd_);
    reserve_fd_ = -1;
    for (auto& [id, connection] : connections_) connection->Shutdown();
  }

  uint16_t port() const { return port_; }
  size_t connections() const { return count_.load(std::memory_order_relaxed); }
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  // Ours only: another agent may have taken the path over.
  void RemoveUnixFile() {
    struct stat now {};
    if (unix_path_.empty() || lstat(unix_path_.c_str(), &now) != 0) return;
    if (now.st_ino == unix_file_.st_ino && now.st_dev == unix_file_.st_dev) {
      unlink(unix_path_.c_str());
    }
  }

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

  // The account of a remote address. Loopback and unix peers share an address and are strangers to
  // one another: each connection has its own account.
  std::shared_ptr<PeerAccount> AccountOf(const model::Endpoint& peer) {
    if (!peer.known() || IsLoopback(peer)) return std::make_shared<PeerAccount>();
    auto& account = accounts_[peer.address];
    if (account == nullptr) account = std::make_shared<PeerAccount>();
    return account;
  }

  // Connections that come from the same address, loopback included.
  bool IsOverPeerShare(const model::Endpoint& peer) {
    if (!peer.known()) return false;
    const ListenerOptions& options = context_.options;
    auto found = per_address_.find(peer.address);
    const size_t held = found == per_address_.end() ? 0 : found->second;
    if (options.max_connections_per_peer > 0 && held >= options.max_connections_per_peer) {
      return true;
    }
    return connections_.size() >= options.max_connections / 4 * 3 &&
           held >= options.max_connections / 2 && options.max_connections >= 8;
  }

  void Admit(int fd, const SocketAddress& address) {
    const model::Endpoint peer = FromSocketAddress(address);
    const bool is_full = connections_.size() >= context_.options.max_connections;
    if (is_full || IsOverPeerShare(peer)) {
      CountRefused(is_full ? context_.metrics.refused_connections
                           : context_.metrics.peer_refused_connections);
      close(fd);
      return;
    }
    std::unique_ptr<TlsSession> tls;
    if (credentials_) {
      auto context = CurrentTls();
      if (context == nullptr) {
        close(fd);
        return;
      }
      tls = std::make_unique<TlsSession>(context, TlsSide::kServer, "", false);
    }
    SocketAddress local;
    local.size = sizeof local.storage;
    getsockname(fd, local.get(), &local.size);
    uint64_t id = next_id_++;
    auto connection = std::make_unique<ServerConnection>(
        context_, Peers{peer, FromSocketAddress(local), PidOf(fd), AccountOf(peer)}, [this, id] {
          Forget(id);
          CountOpen();
        });
    ++per_address_[peer.address];
    connection->Start(fd, std::move(tls));
    connections_.emplace(id, std::move(connection));
    context_.metrics.connections.Add(1);
    CountOpen();
  }

  void Forget(uint64_t id) {
    auto connection = connections_.extract(id);
    const auto& address = connection.mapped()->peers().peer.address;
    if (--per_address_[address] == 0) {
      per_address_.erase(address);
      accounts_.erase(address);  // the connection's bodies still hold it
    }
  }

  int32_t PidOf(int fd) const {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (unix_path_.empty() || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return 0;
    return peer.pid;
  }

  // Out of descriptors the accept queue would stay full and readable for ever. The reserve lets us
  // accept and close one, so that clients learn it; then a pause, so that the loop does not spin.
  void RefuseWithoutDescriptor() {
    if (reserve_fd_ >= 0) {
      close(reserve_fd_);
      int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) {
        CountRefused(context_.metrics.refused_connections);
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

  // The context for a new connection, and its reloads into the metrics.
  TlsContext CurrentTls() {
    const uint64_t good = credentials_->reloads(), bad = credentials_->failed_reloads();
    auto context = credentials_->Current(std::chrono::steady_clock::now());
    context_.metrics.tls_reloads.Add(credentials_->reloads() - good);
    context_.metrics.tls_failed_reloads.Add(credentials_->failed_reloads() - bad);
    return context.ok() ? *context : nullptr;
  }

  void Sweep() {
    Deadline now = std::chrono::steady_clock::now();
    for (auto& [id, connection] : connections_) connection->Sweep(now);
  }

  void CountRefused(base::Metric& reason) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    reason.Add(1);
  }
  void CountOpen() {
    count_.store(connections_.size(), std::memory_order_relaxed);
    context_.metrics.open_connections.Set(static_cast<int64_t>(connections_.size()));
  }

  base::MetricRegistry own_metrics_;
  ServerContext context_;
  std::optional<TlsCredentials> credentials_;
  std::unordered_map<uint64_t, std::unique_ptr<ServerConnection>> connections_;
  // By address; as many entries as there are connections at most.
  std::map<std::array<uint8_t, 16>, size_t> per_address_;
  std::map<std::array<uint8_t, 16>, std::shared_ptr<PeerAccount>> accounts_;
  std::string unix_path_;
  struct stat unix_file_ {};
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
