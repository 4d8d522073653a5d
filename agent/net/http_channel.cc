#include "net/http_channel.h"

#include <algorithm>
#include <deque>
#include <random>

#include "net/address.h"
#include "net/event_loop.h"
#include "net/http/client_parts.h"
#include "net/http/http_connection.h"

namespace weft::net {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class HttpChannel::Impl final : public HttpConnection::Owner,
                                public std::enable_shared_from_this<HttpChannel::Impl> {
 public:
  Impl(EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {
    std::string_view rest = options_.endpoint;
    bool is_https = rest.starts_with("https://");
    if (size_t scheme = rest.find("://"); scheme != std::string_view::npos) {
      rest.remove_prefix(scheme + 3);
    }
    size_t path = std::min(rest.find('/'), rest.size());
    authority_ = rest.substr(0, path);
    base_path_ = rest.substr(path);
    while (base_path_.ends_with('/')) base_path_.pop_back();
    // A URL may leave its scheme's port out.
    if (authority_.find(':', authority_.rfind(']') + 1) == std::string::npos) {
      authority_ += is_https ? ":443" : ":80";
    }
    if (is_https && !options_.tls) options_.tls.emplace();
    if (options_.tls) {
      credentials_.emplace(*options_.tls, TlsSide::kClient, std::vector<std::string>{"http/1.1"});
    }
  }

  void Start() {
    auto period = std::clamp(std::min(options_.timeout, options_.idle_timeout) / 8, milliseconds(5),
                             milliseconds(500));
    sweep_timer_ = loop_.RunEvery(period, [this] { Sweep(); });
  }

  void Shutdown() {
    is_shut_down_ = true;
    loop_.Cancel(sweep_timer_);
    loop_.Cancel(attempt_timer_);
    loop_.Cancel(backoff_timer_);
    query_.reset();
    connections_.clear();
    waiting_.clear();
  }

  void Post(std::string_view path, base::Gathered&& body, std::string_view content_type,
            std::string_view content_encoding, std::function<void(HttpPostReply&&)> done) {
    auto post = std::make_shared<HttpPost>();
    std::string& head = post->head;
    head.append("POST ").append(base_path_).append(path).append(" HTTP/1.1\r\n");
    AddLine("host", options_.authority.empty() ? authority_ : options_.authority, &head);
    AddLine("user-agent", "weft", &head);
    AddLine("content-type", content_type, &head);
    if (!content_encoding.empty()) AddLine("content-encoding", content_encoding, &head);
    AddLine("content-length", std::to_string(body.size), &head);
    for (const auto& [name, value] : options_.headers) AddLine(name, value, &head);
    head.append("\r\n");
    post->body = std::move(body);
    post->done = std::move(done);
    post->deadline = Clock::now() + options_.timeout;
    ++open_;
    waiting_.push_back(std::move(post));
    PostDispatch();
  }

  void SetHeader(std::string_view name, std::string_view value) {
    SetHeaderIn(name, value, &options_.headers);
  }
  bool connected() const { return is_connected_; }
  size_t open() const { return open_; }

  void OnIdle(HttpConnection& connection) override {
    if (&connection == attempt_) {
      attempt_ = nullptr;
      loop_.Cancel(std::exchange(attempt_timer_, 0));
      is_connected_ = true;
      failures_ = 0;
    }
    PostDispatch();
  }

  void OnDone(HttpPostRef post, HttpPostReply&& reply) override {
    completed_.emplace_back(std::move(post), std::move(reply));
    if (std::exchange(drain_posted_, true)) return;
    loop_.Post([self = shared_from_this()] { self->Complete(); });
  }

  void OnConnectionClosed(HttpConnection& connection) override {
    const bool was_attempt = &connection == attempt_;
    std::string failure = connection.failure();
    std::erase_if(connections_, [&](const auto& c) { return c.get() == &connection; });
    if (!was_attempt) return PostDispatch();
    attempt_ = nullptr;
    loop_.Cancel(std::exchange(attempt_timer_, 0));
    TryNextAddress(failure.empty() ? "no connection" : failure);
  }

 private:
  // Values come from configuration and files: no line breaks out of them.
  static void AddLine(std::string_view name, std::string_view value, std::string* head) {
    head->append(name).append(": ");
    for (char c : value) head->push_back(c == '\r' || c == '\n' ? ' ' : c);
    head->append("\r\n");
  }

  static HttpPostReply NotSent(std::string reason) {
    HttpPostReply reply = HttpTransportFailure(std::move(reason));
    reply.unprocessed = true;
    return reply;
  }

  void Dispatch() {
    for (auto& connection : connections_) {
      if (waiting_.empty()) return;
      if (!connection->idle()) continue;
      HttpPostRef post = std::move(waiting_.front());
      waiting_.pop_front();
      connection->Start(std::move(post));
    }
    if (waiting_.empty() || connections_.size() >= options_.max_in_flight) return;
    if (attempt_ == nullptr && query_ == nullptr && backoff_timer_ == 0) BeginAttempt();
  }

  void PostDispatch() {
    if (std::exchange(dispatch_posted_, true)) return;
    loop_.Post([weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->is_shut_down_) return;
      self->dispatch_posted_ = false;
      self->Dispatch();
    });
  }

  // One attempt at a time: resolve when the addresses are old, then each address in turn.
  void BeginAttempt() {
    if (!addresses_.empty() && Clock::now() < resolve_again_) {
      left_ = addresses_;
      std::shuffle(left_.begin(), left_.end(), random_);
      return TryNextAddress("no address");
    }
    auto parts = SplitHostPort(authority_);
    if (!parts.ok()) return FailAttempt(std::string(parts.status().message()));
    query_ = Resolve(loop_, parts->first, parts->second, [this](base::Result<Addresses> found) {
      auto done = std::move(query_);
      if (!found.ok()) return FailAttempt(std::string(found.status().message()));
      resolve_again_ = Clock::now() + options_.resolve_interval;
      LeaveLostAddresses(*found);
      addresses_ = std::move(*found);
      left_ = addresses_;
      std::shuffle(left_.begin(), left_.end(), random_);
      TryNextAddress("no address");
    });
  }

  // A name may have moved: idle connections to where it no longer is are given up.
  void LeaveLostAddresses(const Addresses& found) {
    for (auto& connection : connections_) {
      if (!connection->idle()) continue;
      if (std::find(found.begin(), found.end(), connection->peer()) == found.end()) {
        connection->Close();
      }
    }
  }

  void TryNextAddress(const std::string& reason) {
    if (left_.empty()) return FailAttempt("connect " + authority_ + ": " + reason);
    std::unique_ptr<TlsSession> tls;
    if (credentials_) {
      auto made = MakeClientTls(*credentials_, authority_);
      if (!made.ok()) return FailAttempt(std::string(made.status().message()));
      tls = std::move(*made);
    }
    auto connection = std::make_unique<HttpConnection>(loop_, *this, options_.max_reply_bytes);
    const model::Endpoint peer = left_.back();
    left_.pop_back();
    if (!connection->Connect(peer, std::move(tls))) return FailAttempt("no file descriptor");
    attempt_ = connection.get();
    connections_.push_back(std::move(connection));
    attempt_timer_ = loop_.RunAfter(options_.connect_timeout, [this] {
      attempt_timer_ = 0;
      if (attempt_ != nullptr) attempt_->Close();
    });
  }

  // While other connections work, requests may go on waiting for them.
  void FailAttempt(const std::string& reason) {
    attempt_ = nullptr;
    addresses_.clear();
    if (connections_.empty()) {
      is_connected_ = false;
      for (auto& post : std::exchange(waiting_, {})) {
        OnDone(std::move(post), NotSent(reason));
      }
    }
    milliseconds pause = options_.backoff_max;
    if (failures_ < 16) pause = std::min(pause, options_.backoff_min * (1 << failures_));
    ++failures_;
    std::uniform_real_distribution<double> jitter(0.8, 1.2);
    backoff_timer_ = loop_.RunAfter(
        std::chrono::duration_cast<std::chrono::nanoseconds>(pause * jitter(random_)), [this] {
          backoff_timer_ = 0;
          Dispatch();
        });
  }

  void Complete() {
    drain_posted_ = false;
    auto completed = std::exchange(completed_, {});
    for (auto& [post, reply] : completed) {
      if (is_shut_down_) return;
      --open_;
      auto done = std::move(post->done);
      post.reset();
      done(std::move(reply));
    }
  }

  // Deadlines of requests, and connections that nobody needs.
  void Sweep() {
    auto now = Clock::now();
    std::erase_if(waiting_, [&](HttpPostRef& post) {
      if (post->deadline > now) return false;
      OnDone(std::move(post), NotSent("no connection in time"));
      return true;
    });
    for (auto& connection : connections_) {
      if (connection->post() != nullptr && connection->post()->deadline <= now) {
        connection->Abort("no answer in time");
      } else if (connection->idle() && now - connection->last_use() > options_.idle_timeout) {
        connection->Close();
      }
    }
  }

  EventLoop& loop_;
  Options options_;
  std::string authority_, base_path_;
  std::optional<TlsCredentials> credentials_;
  std::deque<HttpPostRef> waiting_;
  std::vector<std::pair<HttpPostRef, HttpPostReply>> completed_;
  std::vector<std::unique_ptr<HttpConnection>> connections_;
  HttpConnection* attempt_ = nullptr;  // the one that is being connected
  Addresses addresses_, left_;
  Clock::time_point resolve_again_{};
  std::shared_ptr<void> query_;
  std::minstd_rand random_{std::random_device{}()};
  size_t open_ = 0;
  int failures_ = 0;
  EventLoop::TimerId sweep_timer_ = 0, attempt_timer_ = 0, backoff_timer_ = 0;
  bool drain_posted_ = false, dispatch_posted_ = false, is_shut_down_ = false,
       is_connected_ = false;
};

HttpChannel::HttpChannel(EventLoop& loop, Options options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {
  impl_->Start();
}

HttpChannel::~HttpChannel() { impl_->Shutdown(); }

void HttpChannel::Post(std::string_view path, base::Gathered&& body, std::string_view content_type,
                       std::string_view content_encoding,
                       std::function<void(HttpPostReply&&)> done) {
  impl_->Post(path, std::move(body), content_type, content_encoding, std::move(done));
}

void HttpChannel::SetHeader(std::string_view lower_name, std::string_view value) {
  impl_->SetHeader(lower_name, value);
}

bool HttpChannel::connected() const { return impl_->connected(); }
size_t HttpChannel::open_requests() const { return impl_->open(); }

}  // namespace weft::net
